"""Layers of kinds that the library may come to have, in the compiled loop: what each needs has its place there."""

import copy
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, Chain, by_layers, compiled
from checks import close
from nets import same_bits

if not COMPILES:
    pytest.skip("the parts are compiled", allow_module_level=True)

from toy_layers import Center, Halve, Noise, Squares

import fastbp
from fastbp import Affine, Relu, SoftmaxWithLoss
from fastbp.originals import original


def affine(params: dict[str, Any], number: int, inputs: int, outputs: int) -> Affine:
    rng = np.random.default_rng(number)
    params[f"W{number}"] = rng.standard_normal((inputs, outputs)) / inputs**0.5
    params[f"b{number}"] = np.zeros(outputs)
    return Affine(params[f"W{number}"], params[f"b{number}"])


def with_center() -> tuple[Chain, Any]:
    params: dict[str, Any] = {"gamma": np.linspace(-1, 1, 5)}
    layers = [affine(params, 1, 6, 5), Center(params["gamma"]), Relu(), affine(params, 2, 5, 3)]
    return Chain(layers, params, SoftmaxWithLoss()), (40, 6)


def with_center_first() -> tuple[Chain, Any]:
    params: dict[str, Any] = {"gamma": np.linspace(-1, 1, 6)}
    return Chain([Center(params["gamma"]), affine(params, 1, 6, 3)], params, SoftmaxWithLoss()), (40, 6)


def with_noise() -> tuple[Chain, Any]:
    params: dict[str, Any] = {}
    layers = [affine(params, 1, 6, 5), Noise(4), affine(params, 2, 5, 4), Noise(5), affine(params, 3, 4, 3)]
    return Chain(layers, params, SoftmaxWithLoss()), (40, 6)


def with_images() -> tuple[Chain, Any]:
    params: dict[str, Any] = {}
    return Chain([Halve(2), Relu(), Halve(1), affine(params, 1, 12, 3)], params, SoftmaxWithLoss()), (40, 2, 5, 4)


def with_squares() -> tuple[Chain, Any]:
    params: dict[str, Any] = {}
    return Chain([affine(params, 1, 6, 5), Relu(), affine(params, 2, 5, 3)], params, Squares(0.7)), (40, 6)


NETWORKS = {each.__name__: each for each in (with_center, with_center_first, with_noise, with_images, with_squares)}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_compiled_loop_does_what_its_methods_do(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastbp.engine.launch.FLOPS_PER_THREAD", 1e-3)
    monkeypatch.setattr("fastbp.system.threads.launched", lambda: 2)
    ours, shape = NETWORKS[name]()
    theirs, rng = copy.deepcopy(ours), np.random.default_rng(7)
    x = rng.standard_normal(shape)
    t = rng.standard_normal((40, 3)) if name == "with_squares" else rng.integers(0, 3, 40)
    order = rng.integers(0, 40, (7, 16))
    with fastbp.threads(threads):
        losses = compiled(ours, fastbp.Momentum(0.1)).run(x, t, order)
    expected = by_layers(theirs, fastbp.Momentum(0.1)).run(x, t, order)
    close(losses, expected, 1e-12, "losses")
    for key, array in theirs.params.items():
        close(ours.params[key], array, 1e-12, key)
    for layer, twin in zip(ours.layers, theirs.layers, strict=True):
        if isinstance(layer, Center):
            close(layer.running, twin.running, 1e-12, "the running mean")
        if isinstance(layer, Noise):
            assert layer.rng.random() == twin.rng.random()


class Plain:
    """A network without methods."""

    def __init__(self, network: Chain) -> None:
        self.params, self.layers, self.last_layer = network.params, network.layers, network.last_layer


class Flagged(Plain):
    """As the book writes one."""

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        for layer in self.layers:
            x = layer.forward(x, train_flg) if isinstance(layer, Center) else layer.forward(x)
        return x

    def loss(self, x: Any, t: Any, train_flg: bool = False) -> Any:
        return self.last_layer.forward(self.predict(x, train_flg), t)


@pytest.mark.parametrize("kind", [Plain, Flagged])
def test_prediction_is_another_pass(kind: type) -> None:
    network, shape = with_center()
    x = np.random.default_rng(7).standard_normal(shape)
    compiled(network, fastbp.SGD(0.1)).run(x, np.arange(40) % 3, np.arange(40).reshape(4, 10))
    before = network.layers[1].running.copy()
    expected = Flagged(network).predict(x)
    close(fastbp.predict(kind(network), x), expected, 1e-12, "scores")
    same_bits({"running": network.layers[1].running}, {"running": before})


def test_methods_that_train_where_they_predict_are_not_stood_in_for() -> None:
    """Chain's predict passes samples through the layers as in training; Flagged's loss as in prediction."""
    network, shape = with_center()
    x = np.random.default_rng(7).standard_normal(shape)
    twin = copy.deepcopy(network)
    close(fastbp.predict(network, x), twin.predict(x), 1e-12, "scores")
    assert not np.array_equal(network.layers[1].running, np.zeros(5))
    reason = fastbp.compile(Flagged(network), fastbp.SGD(0.1)).reason
    assert "it passes the samples through layers with train_flg=False" in reason


def test_samples_that_do_not_fit_are_refused() -> None:
    network, _ = with_images()
    step = compiled(network, fastbp.SGD(0.1))
    with pytest.raises(ValueError, match=r"x must hold images, \(C, H, W\) each, got \(40,\)"):
        step.run(np.zeros((10, 40)), np.zeros(10, int), [[0]])
    with pytest.raises(ValueError, match=r"W1 of shape \(12, 3\) and b1 of shape \(3,\) don't go with 18 inputs"):
        step.run(np.zeros((10, 2, 5, 6)), np.zeros(10, int), [[0]])


def test_a_number_that_is_none_is_found() -> None:
    network, _ = with_center()
    network.layers[1].momentum = "much"
    assert fastbp.compile(network, fastbp.SGD(0.1)).reason == "momentum of Center is no plain number"
    del network.layers[1].momentum
    assert fastbp.compile(network, fastbp.SGD(0.1)).reason == "Center has no attribute momentum"


def test_what_a_class_inherits_is_not_taken_for_its_own() -> None:
    """A layer of the library on top of another says itself what the loop calls, or runs by its methods."""

    @original
    class Twice(Relu):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    network, _ = with_squares()
    network.layers[1] = Twice()
    reason = fastbp.compile(network, fastbp.SGD(0.1)).reason
    assert "Twice" in reason
