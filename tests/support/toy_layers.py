"""Layers of kinds that the library may come to have, with parts for the compiled loop.

The parts are compiled where they are used, in that process; everything else is as for a layer of the library.
"""

from typing import Any

import numpy as np
from numba import cfunc, types

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
        stream=lambda layer: layer.rng.bit_generator,
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
