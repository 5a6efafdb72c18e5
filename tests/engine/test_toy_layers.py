"""Layers of kinds that the library may come to have, in the compiled loop: what each needs has its place there.

Their parts are compiled here, in this process; everything else is as for a layer of the library.
"""

import copy
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, Chain, by_layers, compiled
from checks import close
from nets import same_bits

if not COMPILES:
    pytest.skip("the parts are compiled", allow_module_level=True)

from numba import cfunc, types

import fastbp
from fastbp import Affine, Relu, SoftmaxWithLoss
from fastbp.kernels.loop import gather
from fastbp.kernels.loop.calls import call
from fastbp.kernels.tiles import address_as
from fastbp.layers.compiled import Compiled, CompiledLoss
from fastbp.originals import original


class Part:
    """A Python function as a part of the loop."""

    def __init__(self, function: Any) -> None:
        self.function, self.made = function, {}

    def of(self, *types_: Any) -> "Part":
        made = Part(self.function)
        made.made = {None: self.made.setdefault(types_, cfunc(types.int64(*types_))(self.function))}
        return self.made.setdefault((types_, "part"), made)

    def address(self) -> int:
        return int(self.made[None].address)


# A parameter that isn't W or b, an average, and results that depend on the whole batch ------------------------------


@Part
def center_forward(lo, hi, left, right, op, step):
    gamma, running = op.parameters[0].value, address_as(op.averages[0], op.x)
    for j in range(left, right):
        mean = 0.0
        for i in range(step.N):
            mean += op.x[i * op.D + j]
        mean /= step.N
        running[j] = op.numbers[0] * running[j] + (1 - op.numbers[0]) * mean
        for i in range(step.N):
            op.out[i * op.M + j] = op.x[i * op.D + j] - mean + gamma[j]
    return 0


@Part
def center_predict(lo, hi, left, right, op, step):
    gamma, running = op.parameters[0].value, address_as(op.averages[0], op.x)
    for i in range(lo, hi):
        for j in range(op.M):
            op.out[i * op.M + j] = op.x[i * op.D + j] - running[j] + gamma[j]
    return 0


@Part
def center_backward(lo, hi, left, right, op, step):
    gradient = op.parameters[0].gradient
    for j in range(left, right):
        gradient[j] = 0.0
        for i in range(step.N):
            gradient[j] += op.dout[i * op.M + j]
        for i in range(step.N):
            op.dx[i * op.D + j] = op.dout[i * op.M + j] - gradient[j] / step.N
    return 0


@Part
def center_update(lo, hi, left, right, op, step):
    call(step.settings.optimize, lo, hi, 0, 0, op.parameters, step)
    return 0


def make_running(layer: Any, inputs: Any, dtype: Any) -> None:
    if layer.running is None:
        layer.running = np.zeros(layer.gamma.size, dtype)


@original
class Center:
    """x − mean of each column of the batch + gamma; in prediction the running mean instead."""

    compiled = Compiled(
        forward=center_forward,
        predict=center_predict,
        backward=center_backward,
        update=center_update,
        parameters=("gamma",),
        averages=("running",),
        make_ready=make_running,
        numbers=("momentum",),
        has_flag=True,
        backward_is_dx=False,
        whole_batches=True,
        input_size=lambda layer: int(layer.gamma.size),
        update_rows=lambda layer, inputs: int(layer.gamma.size),
    )

    def __init__(self, gamma: Any) -> None:
        self.gamma, self.momentum, self.running, self.dgamma = gamma, 0.75, None, None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        make_running(self, None, x.dtype)
        if not train_flg:
            return x - self.running + self.gamma
        mean = x.mean(axis=0)
        self.running = self.momentum * self.running + (1 - self.momentum) * mean
        return x - mean + self.gamma

    def backward(self, dout: Any) -> Any:
        self.dgamma = dout.sum(axis=0)
        return dout - dout.mean(axis=0)


# Random numbers -----------------------------------------------------------------------------------------------------


@Part
def noise_forward(lo, hi, left, right, op, step):
    kept, first = address_as(op.keeps[0], op.x), step.number * step.N * op.D
    for e in range(lo * op.D, hi * op.D):
        kept[e] = op.draws[first + e]
        op.out[e] = op.x[e] * kept[e]
    return 0


@Part
def noise_backward(lo, hi, left, right, op, step):
    kept = address_as(op.keeps[0], op.x)
    for e in range(lo * op.D, hi * op.D):
        op.dx[e] = op.dout[e] * kept[e]
    return 0


@Part
def noise_predict(lo, hi, left, right, op, step):
    for e in range(lo * op.D, hi * op.D):
        op.out[e] = op.x[e] * 0.5
    return 0


@original
class Noise:
    """x · u, u uniform in [0, 1); in prediction x / 2."""

    compiled = Compiled(
        forward=noise_forward,
        predict=noise_predict,
        backward=noise_backward,
        keeps={"drawn": (None, None)},
        has_flag=True,
        draws=lambda layer, shape: layer.rng.random(shape),
    )

    def __init__(self, seed: int) -> None:
        self.rng, self.drawn = np.random.default_rng(seed), None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if not train_flg:
            return x * 0.5
        self.drawn = self.rng.random(x.shape)
        return x * self.drawn

    def backward(self, dout: Any) -> Any:
        return dout * self.drawn


# Images, whose size the samples alone say ---------------------------------------------------------------------------


@Part
def halve_forward(lo, hi, left, right, op, step):
    C, H, W, every = op.sizes[0], op.sizes[1], op.sizes[2], op.sizes[3]
    for i in range(lo, hi):
        at = i * op.M
        for c in range(C):
            for h in range(0, H, every):
                for w in range(0, W, every):
                    op.out[at] = op.x[i * op.D + (c * H + h) * W + w]
                    at += 1
    return 0


@Part
def halve_backward(lo, hi, left, right, op, step):
    C, H, W, every = op.sizes[0], op.sizes[1], op.sizes[2], op.sizes[3]
    for i in range(lo, hi):
        at = i * op.M
        for e in range(i * op.D, (i + 1) * op.D):
            op.dx[e] = 0
        for c in range(C):
            for h in range(0, H, every):
                for w in range(0, W, every):
                    op.dx[i * op.D + (c * H + h) * W + w] = op.dout[at]
                    at += 1
    return 0


def halved(layer: Any, inputs: Any) -> Any:
    if len(inputs) != 3:
        raise ValueError(f"x must hold images, (C, H, W) each, got {inputs}")
    C, H, W = inputs
    return C, -(-H // layer.every), -(-W // layer.every)


@original
class Halve:
    """Every so many pixels of each row and column."""

    compiled = Compiled(
        forward=halve_forward,
        backward=halve_backward,
        options=("every",),
        sizes=lambda layer, inputs: (*inputs, layer.every),
        output_shape=halved,
    )

    def __init__(self, every: int) -> None:
        self.every, self.shape = every, None

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x[:, :, :: self.every, :: self.every].copy()

    def backward(self, dout: Any) -> Any:
        dx = np.zeros(self.shape, dout.dtype)
        dx[:, :, :: self.every, :: self.every] = dout
        return dx


# Another loss -------------------------------------------------------------------------------------------------------


@Part
def weighted_squares(lo, hi, left, right, op, step):
    t, factor = address_as(step.batch.labels, op.out), step.settings.loss_numbers[0]
    for i in range(lo, hi):
        step.costs[i] = 0.0
        for e in range(i * op.M, (i + 1) * op.M):
            error = op.out[e] - t[e]
            step.costs[i] += factor * error * error
            op.dout[e] = 2 * factor * error / step.N
    return 0


def values(t: Any, shape: Any, dtype: Any) -> Any:
    array = np.asarray(t, dtype)
    if array.shape != shape:
        raise ValueError(f"t must have the shape {shape}, got {array.shape}")
    return array.copy()


@original
class Squares:
    """factor · Σ(x − t)², mean over the batch."""

    compiled = CompiledLoss(
        labels={2: gather.labels_as_probabilities}, parts={2: weighted_squares}, targets=values, numbers=("factor",)
    )

    def __init__(self, factor: float) -> None:
        self.factor, self.error = factor, None

    def forward(self, x: Any, t: Any) -> float:
        self.error = x - t
        return float(self.factor * np.sum(self.error**2) / len(x))

    def backward(self, dout: Any = 1) -> Any:
        return 2 * self.factor * self.error / len(self.error) * dout


# --------------------------------------------------------------------------------------------------------------------


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
