"""What changes between the steps of a training: parameters apart from their layers, and what callbacks put in."""

import copy
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, chain
from recorder import Recorder, real_data, trainer

import fastbp
from fastbp import SGD, Relu, Sigmoid, SoftmaxWithLoss, Trainer, TwoLayerNet
from fastbp.networks.accuracy import share_right

# Parameters and their layers


def rebind_parameter(network: TwoLayerNet, name: str) -> None:
    network.params[name] = network.params[name].copy()


def rebind_attribute(network: TwoLayerNet, name: str) -> None:
    layer = network.layers[f"Affine{name[1]}"]
    setattr(layer, name[0], getattr(layer, name[0]).copy())


def as_a_list(network: TwoLayerNet) -> None:
    network.layers = list(network.layers.values())
    network.gradient = lambda x, t: {name: np.ones_like(p) for name, p in network.params.items()}
    network.loss = lambda x, t: 1.0


def classifier() -> tuple[TwoLayerNet, Trainer]:
    network = TwoLayerNet(5, 4, 3, 0.5, rng=np.random.default_rng(94))
    return network, Trainer(network, *real_data(), 2, 4, verbose=False, rng=np.random.default_rng(95))


@pytest.mark.parametrize("start", ["train", "train_step"])
@pytest.mark.parametrize("in_a_list", [False, True], ids=["dict", "list"])
@pytest.mark.parametrize("steps", [0, 1], ids=["at once", "after a step"])
@pytest.mark.parametrize("name", ["W1", "b2"])
@pytest.mark.parametrize("rebind", [rebind_parameter, rebind_attribute])
def test_a_parameter_that_no_layer_holds(rebind: Any, name: str, steps: int, in_a_list: bool, start: str) -> None:
    network, loop = classifier()
    for _ in range(steps):
        loop.train_step()
    rebind(network, name)
    if in_a_list:
        as_a_list(network)
    before = copy.deepcopy(network.params)
    with pytest.raises(ValueError, match=rf"no layer holds params\['{name}'\]: .* change parameters in place"):
        getattr(loop, start)()
    assert len(loop.train_loss_list) == steps
    for key, value in before.items():
        np.testing.assert_array_equal(network.params[key], value)


class Rebinding:
    """An optimizer that makes new arrays: the layers keep the old ones."""

    def update(self, params: Any, grads: Any) -> None:
        for key in params:
            params[key] = params[key] - 0.1 * grads[key]


def test_an_optimizer_that_changes_nothing_in_place_is_found() -> None:
    network = TwoLayerNet(5, 4, 3, 0.5, rng=np.random.default_rng(94))
    loop = Trainer(network, *real_data(), 2, 4, Rebinding(), verbose=False)
    with pytest.raises(ValueError, match="no layer holds params"):
        loop.train()
    assert len(loop.train_loss_list) == 1


def test_both_rebound_to_one_array_is_fine() -> None:
    network, loop = classifier()
    loop.train_step()
    network.params["W1"] = network.layers["Affine1"].W = network.params["W1"] * 2
    before = network.params["W1"].copy()
    loop.train()
    assert not np.array_equal(network.params["W1"], before)


@pytest.mark.parametrize("kept", [None, 3, [784, 50, 10], ["relu"], {"first": 784}], ids=str)
def test_foreign_layers_are_let_alone(kept: Any) -> None:
    network = Recorder()
    network.layers = kept
    trainer(network).train()
    np.testing.assert_allclose(network.params["p"], [-0.06, -0.12])


# What is replaced on the way


@pytest.mark.parametrize("what", ["optimizer", "x_train", "network"])
def test_what_a_callback_replaces_is_used(what: str) -> None:
    """As by the layers' own methods, where an optimizer of a user's own takes the steps."""

    class Own(SGD):
        """Foreign to the compiled loop."""

    def replace(loop: Trainer) -> None:
        if loop.current_epoch == 1:
            new: dict[str, Any] = {
                "optimizer": type(loop.optimizer)(lr=0.3),
                "x_train": loop.x_train[::-1].copy(),
                "network": TwoLayerNet(5, 4, 3, 0.5, rng=np.random.default_rng(95)),
            }
            setattr(loop, what, new[what])

    losses = []
    for steps in (SGD(lr=0.1), Own(lr=0.1)):
        network = TwoLayerNet(5, 4, 3, 0.5, rng=np.random.default_rng(87))
        rng = np.random.default_rng(88)
        loop = Trainer(network, *real_data(), 3, 4, steps, verbose=False, rng=rng, callbacks=[replace])
        loop.train()
        losses.append(loop.train_loss_list)
    np.testing.assert_allclose(*losses, rtol=1e-12)


@pytest.mark.parametrize("what", ["layer", "dtype", "last layer", "a layer's method", "a method"])
def test_what_the_compiled_loop_cannot_run_goes_on_by_the_layers(what: str) -> None:
    """A callback puts it in after the first epoch; and by the layers from the start, the same losses come."""

    class Doubled(Relu):
        def forward(self, x: Any) -> Any:
            return super().forward(2 * x)

    class Loss(SoftmaxWithLoss):
        def forward(self, x: Any, t: Any) -> float:
            return 2 * super().forward(x, t)

    def replace(loop: Trainer) -> None:
        network = loop.network
        if loop.current_epoch == 1 and what == "layer":
            network.layers["Relu1"] = Doubled()
        elif loop.current_epoch == 1 and what == "last layer":
            network.last_layer = Loss()
        elif loop.current_epoch == 1 and what == "a method":
            gradient = network.gradient
            network.gradient = lambda x, t: {name: 2 * value for name, value in gradient(x, t).items()}
        elif loop.current_epoch == 1 and what == "a layer's method":
            network.layers["Affine1"].backward = frozen(network.layers["Affine1"])
        elif loop.current_epoch == 1:
            network.params["W2"] = network.layers["Affine2"].W = network.params["W2"].astype("float32")

    def frozen(layer: Any) -> Any:
        backward = layer.backward

        def without_gradients(dout: Any) -> Any:
            dx = backward(dout)
            layer.dW, layer.db = np.zeros_like(layer.dW), np.zeros_like(layer.db)
            return dx

        return without_gradients

    class Own(SGD):
        """Foreign to the compiled loop."""

    losses = []
    for steps in (SGD(lr=0.1), Own(lr=0.1)):
        steps_are_own = not COMPILES or type(steps) is Own
        network = TwoLayerNet(5, 4, 3, 0.5, rng=np.random.default_rng(87))
        rng = np.random.default_rng(88)
        loop = Trainer(network, *real_data(), 3, 4, steps, verbose=False, rng=rng, callbacks=[replace])
        loop.train()
        losses.append(loop.train_loss_list)
        assert loop.runs.startswith(
            "layer by layer: " if steps_are_own else "2 steps compiled loop; 4 steps layer by layer"
        )
    np.testing.assert_allclose(*losses, rtol=1e-7)


@pytest.mark.parametrize("foreign", [False, True])
def test_a_network_without_methods(foreign: bool) -> None:
    """Layers, a last layer and params are enough; but for the accuracy, which the book's networks have."""

    class Halves(Sigmoid):
        def forward(self, x: Any) -> Any:
            return super().forward(x) / 2

    network = chain("ASA", (5, 4, 3))
    network.accuracy = lambda x, t: share_right(fastbp.predict(network, x), t)
    if foreign:
        network.layers[1] = Halves()
    x, t, *test = real_data()
    loop = Trainer(network, x, t, *test, 40, 4, SGD(0.5), verbose=False, rng=np.random.default_rng(88))
    assert loop.runs == "no step yet"
    loop.train()
    assert loop.runs.startswith("layer by layer: Halves" if foreign else "compiled loop") or not COMPILES
    assert loop.train_loss_list[-1] < 0.8 * loop.train_loss_list[0]
