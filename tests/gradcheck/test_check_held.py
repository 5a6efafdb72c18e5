"""Gradient checks of networks whose layers hold parameters in other ways: views, blocks, lists; and what came apart."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from held_networks import NETWORKS, Blocks, Flat, SecondBook, Shared, T, Tied, X, labels

import fastbp
from fastbp import SGD, Trainer, check_gradients
from fastbp.copies import float64_copy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", NETWORKS)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("steps", [0, 1], ids=["new", "used"])
def test_the_verdict(cls: Any, dtype: str, right: bool, steps: int) -> None:
    network = cls(right, dtype)
    for _ in range(steps):
        network.gradient(X, labels(network))  # layers hold gradients now
    before = copy.deepcopy(network.params)
    report = check_gradients(network, X, labels(network))
    assert report.ok is right, f"\n{report}"
    for name, array in before.items():
        np.testing.assert_array_equal(network.params[name], array)


@pytest.mark.parametrize("cls", NETWORKS)
def test_the_copy_keeps_every_relation(cls: Any) -> None:
    network = cls(True, "float32")
    twin = float64_copy(network)
    value = float(network.loss(X, labels(network)))
    for name, array in twin.params.items():
        assert (array.dtype, array.shape) == (np.float64, network.params[name].shape)
        assert not np.shares_memory(array, network.params[name])
    assert float(twin.loss(X, labels(network))) == pytest.approx(value, rel=1e-5)
    for name, array in network.params.items():  # what changes one changes the other, as in the network itself
        change = np.linspace(-0.5, 0.25, array.size).reshape(array.shape).astype("float32")
        array += change
        twin.params[name][...] += change
        changed = float(network.loss(X, labels(network)))
        assert changed != value
        assert float(twin.loss(X, labels(network))) == pytest.approx(changed, rel=1e-5)
        value = changed


@pytest.mark.parametrize("cls", NETWORKS)
def test_the_trainer_trains_them_by_their_methods(cls: Any) -> None:
    network, expected = cls(), cls()
    network.accuracy = lambda x, t: 0.0
    loop = Trainer(network, X, labels(network), X, labels(network), 3, 4, SGD(0.05), verbose=False)
    losses = []
    for _ in range(3):
        losses.append(float(expected.loss(X, labels(network))))
        SGD(0.05).update(expected.params, expected.gradient(X, labels(network)))
    loop.train()
    np.testing.assert_allclose(loop.train_loss_list, losses, rtol=1e-12)
    assert loop.runs.startswith("layer by layer: ")
    for name, array in network.params.items():
        np.testing.assert_allclose(array, expected.params[name], rtol=1e-12)


@pytest.mark.parametrize("cls", NETWORKS)
def test_the_compiled_loop_leaves_them_alone(cls: Any) -> None:
    step = fastbp.compile(cls(), SGD(0.05))
    assert not step.compiled


# What came apart ------------------------------------------------------------------------------------------------------


def apart_after_pickling(network: Any) -> Any:
    """As after joblib.load, which writes each array by itself."""
    twin = copy.copy(network)
    twin.params = {name: array.copy() for name, array in network.params.items()}
    return twin


def rebound(network: Any) -> Any:
    name = next(iter(network.params))
    network.params[name] = network.params[name] + 1.0
    return network


USES: dict[str, Callable[[Any], Any]] = {
    "check": lambda network: check_gradients(network, X, labels(network)),
    "train": lambda network: Trainer(network, X, labels(network), X, labels(network), 1, 4, verbose=False).train(),
    "step": lambda network: Trainer(network, X, labels(network), X, labels(network), verbose=False).train_step(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("cls", [Tied, Shared, Blocks, SecondBook])
@pytest.mark.parametrize("part", [apart_after_pickling, rebound])
def test_parameters_that_came_apart(cls: Any, part: Any, use: Any) -> None:
    with pytest.raises(ValueError, match=r"^no layer holds params\['W'\]: network\.layers\[") as raised:
        use(part(cls()))
    assert ("as after a copy or joblib.load" in str(raised.value)) == (part is apart_after_pickling)
    assert "Tie them again (network.layers[" in str(raised.value)


def test_the_message_ties_them_again() -> None:
    network = apart_after_pickling(Blocks())
    for _ in range(5):
        try:
            assert check_gradients(network, X, T).ok
            break
        except ValueError as error:
            line = str(error).split("Tie them again (")[1].split("), and change")[0]
            exec(line, {"network": network})
    else:
        raise AssertionError("still apart after a line for each parameter")


def test_compile_names_them_too() -> None:
    network = apart_after_pickling(fastbp.TwoLayerNet(8, 5, 3))
    with pytest.raises(ValueError, match=r"no layer holds params\['W1'\].* as after a copy or joblib\.load"):
        fastbp.compile(network, SGD())


def test_joblib_itself(tmp_path: Any) -> None:
    joblib = pytest.importorskip("joblib")
    joblib.dump(fastbp.TwoLayerNet(8, 5, 3), tmp_path / "net.joblib")
    network = joblib.load(tmp_path / "net.joblib")
    if network.params["W1"] is network.layers["Affine1"].W:
        assert check_gradients(network, X, T).ok
    else:
        with pytest.raises(ValueError, match="as after a copy or joblib"):
            check_gradients(network, X, T)


def test_a_gradient_of_a_parameters_shape_is_no_stray() -> None:
    """A parameter without a layer, beside layers that keep gradients, masks and outputs of its shape."""

    class Scaled(Shared):
        def build(self, rng: Any, dtype: str) -> None:
            super().build(rng, dtype)
            self.params["scale"] = np.ones((8, 8))

        def loss(self, x: Any, t: Any) -> Any:
            return super().loss(x, t) + float(np.sum(self.params["scale"]))

        def gradient(self, x: Any, t: Any) -> Any:
            return super().gradient(x, t) | {"scale": np.ones((8, 8))}

    network = Scaled()
    network.gradient(np.ones((8, 8)), np.zeros(8, int))
    assert check_gradients(network, X, T).ok


# What can't be copied -------------------------------------------------------------------------------------------------


def test_a_closure_gives_no_verdict() -> None:
    network = Flat()
    W1, b1 = network.params["W1"], network.params["b1"]

    class Captured:
        def forward(self, x: Any) -> Any:
            self.x = x
            return forward(x)

        def backward(self, dout: Any) -> Any:
            self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
            return dout @ W1.T

    def forward(x: Any) -> Any:
        return x @ W1 + b1

    network.layers[0] = Captured()
    before = copy.deepcopy(network.params)
    with pytest.raises(ValueError, match=r"still computes with params\['W1'\] of the network itself"):
        check_gradients(network, X, T)
    for name, array in before.items():
        np.testing.assert_array_equal(network.params[name], array)


def number(network: Any) -> str:
    network.params["b"] = 0.5
    return r"params\['b'\] is a float, but only an array can be changed in place .*: write np.array\(0.5\)"


def halves(network: Any) -> str:
    network.layers["encoder"].halves = network.params["W"].view(np.float32)
    return r"params\['W'\] shares its memory with an array of float32|float64: it can't be copied"


def masked(network: Any) -> str:
    network.params["b"] = network.layers["encoder"].b = np.ma.masked_array(network.params["b"])
    return r"params\['b'\] is, or is held as, a MaskedArray, which can't be copied"


@pytest.mark.parametrize("change", [number, halves, masked])
def test_no_verdict_rather_than_a_wrong_one(change: Any) -> None:
    network = Tied()
    message = change(network)
    with pytest.raises(ValueError, match=message):
        check_gradients(network, X, X)


def test_a_stream_of_bytes_is_no_network() -> None:
    with pytest.raises(AttributeError):
        check_gradients(io.BytesIO(), X, T)
