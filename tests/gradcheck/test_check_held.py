"""Gradient checks of networks whose layers hold parameters in other ways: views, blocks, lists; and what came apart."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Affine, Relu, Sigmoid, SoftmaxWithLoss, Trainer, check_gradients
from fastbp.copies import float64_copy

RNG = np.random.default_rng(71)
X, T = RNG.random((4, 8)), np.array([0, 2, 1, 2])


class Squared:
    """½·Σ(y − t)²/N."""

    def forward(self, y: Any, t: Any) -> Any:
        self.y, self.t = y, t
        return 0.5 * np.sum((y - t) ** 2) / len(y)

    def backward(self, dout: Any = 1) -> Any:
        return (self.y - self.t) / len(self.y)


class Chain:
    """A network with `loss`; subclasses have layers, parameters and a gradient. `right` plants a mistake."""

    def __init__(self, right: bool = True, dtype: str = "float64") -> None:
        self.right, self.last_layer = right, SoftmaxWithLoss()
        self.build(np.random.default_rng(72), dtype)

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values() if isinstance(self.layers, dict) else self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        return self.last_layer.forward(self.predict(x), t)

    def backward(self, x: Any, t: Any) -> None:
        self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(list(self.layers.values() if isinstance(self.layers, dict) else self.layers)):
            dout = layer.backward(dout)


class Tied(Chain):
    """An autoencoder: its decoder uses the encoder's matrix, transposed."""

    def build(self, rng: Any, dtype: str) -> None:
        W, b, c = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 3), 3, 8))
        self.params = {"W": W, "b": b, "c": c}
        self.layers = {"encoder": Affine(W, b), "sigmoid": Sigmoid(), "decoder": Affine(W.T, c)}
        self.last_layer = Squared()

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        encoder, decoder = self.layers["encoder"], self.layers["decoder"]
        return {"W": encoder.dW + (decoder.dW.T if self.right else 0), "b": encoder.db, "c": decoder.db}


class Shared(Chain):
    """Two layers with one matrix."""

    def build(self, rng: Any, dtype: str) -> None:
        W, b, V = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 8), 8, (8, 3)))
        self.params = {"W": W, "b": b, "V": V}
        self.layers = [Affine(W, b), Relu(), Affine(W, b), Affine(V, np.zeros(3, dtype))]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        first, _, second, last = self.layers
        both = (first.dW + second.dW, first.db + second.db) if self.right else (first.dW, first.db)
        return {"W": both[0], "b": both[1], "V": last.dW}


class Sliced(Chain):
    """One matrix of which two layers use parts; and its rows as another shape."""

    def build(self, rng: Any, dtype: str) -> None:
        W = rng.standard_normal((8, 8)).astype(dtype)
        self.params = {"W": W}
        zeros = [np.zeros(n, dtype) for n in (5, 3)]
        self.layers = [Affine(W[:, :5], zeros[0]), Sigmoid(), Affine(W[3:, 5:], zeros[1])]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        dW = np.zeros_like(self.params["W"], dtype=self.layers[0].dW.dtype)
        dW[:, :5] = self.layers[0].dW
        dW[3:, 5:] = self.layers[2].dW * (1 if self.right else 1.01)
        return {"W": dW}


class Flat(Chain):
    """All parameters are views of one vector, which is a parameter too where `whole` says so."""

    def build(self, rng: Any, dtype: str) -> None:
        self.flat = rng.standard_normal(8 * 5 + 5 + 5 * 3 + 3).astype(dtype)
        W1, b1, W2, b2 = np.split(self.flat, [40, 45, 60])
        self.params = {"W1": W1.reshape(8, 5), "b1": b1, "W2": W2.reshape(5, 3), "b2": b2}
        self.layers = [Affine(self.params["W1"], b1), Relu(), Affine(W2.reshape(5, 3)[:], b2)]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        first, _, second = self.layers
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db * (1 if self.right else 0.99)}


class Residual:
    """x + relu(x @ W + b) @ V: a block with layers inside."""

    def __init__(self, W: Any, b: Any, V: Any) -> None:
        self.inner = [Affine(W, b), Relu()]
        self.parts = {"out": Affine(V, np.zeros(V.shape[1], V.dtype))}

    def forward(self, x: Any) -> Any:
        return x + self.parts["out"].forward(self.inner[1].forward(self.inner[0].forward(x)))

    def backward(self, dout: Any) -> Any:
        return dout + self.inner[0].backward(self.inner[1].backward(self.parts["out"].backward(dout)))


class Blocks(Chain):
    def build(self, rng: Any, dtype: str) -> None:
        W, b, V, U = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 6), 6, (6, 8), (8, 3)))
        self.params = {"W": W, "b": b, "V": V, "U": U}
        self.layers = {"block": Residual(W, b, V), "out": Affine(U, np.zeros(3, dtype))}

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        block = self.layers["block"]
        dV = block.parts["out"].dW if self.right else block.parts["out"].dW * 0.5
        return {"W": block.inner[0].dW, "b": block.inner[0].db, "V": dV, "U": self.layers["out"].dW}


class MatMul:
    """A layer of the second book: its parameters and gradients are lists."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x: Any) -> Any:
        self.x = x
        W, b = self.params
        return x @ W + b

    def backward(self, dout: Any) -> Any:
        self.grads[0], self.grads[1] = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.params[0].T


class SecondBook(Chain):
    def build(self, rng: Any, dtype: str) -> None:
        W, b, V, c = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 5), 5, (5, 3), 3))
        self.params = {"W": W, "b": b, "V": V, "c": c}
        self.layers = [MatMul(W, b), Sigmoid(), MatMul(V, c)]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        (dW, db), (dV, dc) = self.layers[0].grads, self.layers[2].grads
        return {"W": dW, "b": db, "V": dV, "c": dc if self.right else dc + 0.1}


class WithoutLayers(Chain):
    """The book's chapter 4: it computes with its parameters."""

    def build(self, rng: Any, dtype: str) -> None:
        self.params = {"W": rng.standard_normal((8, 3)).astype(dtype)}
        self.layers: Any = []

    def predict(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"]

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        return {"W": self.x.T @ self.last_layer.backward() * (1 if self.right else 1.1)}


class Holder:
    """A layer that holds the whole dict of parameters, and a network's."""

    def __init__(self, params: Any, network: Any) -> None:
        self.params, self.network = params, network

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"]

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return dout @ self.network.params["W"].T


class ByDict(Chain):
    def build(self, rng: Any, dtype: str) -> None:
        self.params = {"W": rng.standard_normal((8, 3)).astype(dtype)}
        self.layers = [Holder(self.params, self)]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        return {"W": self.layers[0].dW * (1 if self.right else -1)}


NETWORKS: list[type[Chain]] = [Tied, Shared, Sliced, Flat, Blocks, SecondBook, WithoutLayers, ByDict]


def labels(network: Any) -> Any:
    return X if isinstance(network, Tied) else T


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
