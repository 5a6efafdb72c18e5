"""The identity and half the mean squared error: y, t, dx (size,), of N samples."""

import numpy as np

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.tiles import address_as, load_row_masked, pointer, splat, total, width_of, zeros
from fastbp.kernels.tiles.elementwise import elementwise

VECTORS = 4  # a step
CHAIN = 64  # steps whose squares are added in the array's precision, before they are in float64


@inlined
def gradient(y, t, factor):
    """dx = factor · (y − t)."""
    return (y - t) * factor


gradient_elements = elementwise(gradient, VECTORS)


@inlined
def squared_error(lo, hi, y, t):
    """Σ(y − t)² of the elements [lo, hi)."""
    step, squares = zeros(1, VECTORS, y), 0.0
    for start in range(lo, hi, CHAIN * width_of(step)):
        end = min(start + CHAIN * width_of(step), hi)
        some = splat(step, 0.0)
        for i in range(start, end, width_of(step)):
            error = load_row_masked(step, y, i, end - i) - load_row_masked(step, t, i, end - i)
            some = some + error * error
        squares += np.float64(total(some))
    return squares


@kernel("real[::1], real[::1], int64")
def identity_loss_forward(y, t, N):
    """½·Σ(y − t)² / N."""
    return 0.5 * squared_error(0, y.size, pointer(y), pointer(t)) / N


@kernel("float64, real[::1], real[::1], int64, real[::1]")
def identity_loss_backward(dout, y, t, N, dx):
    """dx = dout · (y − t) / N; dout is a scalar."""
    gradient_elements(0, y.size, (pointer(y), pointer(t)), (pointer(dx),), (dout / N,))


@part
def loss_of_values(lo, hi, left, right, op, step):
    """Rows [lo, hi): the loss of each, and the gradient of their mean."""
    t, M = address_as(step.batch.labels, op.out), op.M
    for i in range(lo, hi):
        step.costs[i] = 0.5 * squared_error(i * M, (i + 1) * M, op.out, t)
    gradient_elements(lo * M, hi * M, (op.out, t), (op.dout,), (1.0 / step.N,))
