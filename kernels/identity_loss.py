"""The identity and half the mean squared error: y, t, dx (size,), of N samples."""

import numpy as np

from fastbp.kernels.build.flags import inlined, kernel
from fastbp.kernels.tiles import load_row_masked, pointer, splat, total, width_of, zeros
from fastbp.kernels.tiles.elementwise import elementwise

VECTORS = 4  # a step
CHAIN = 64  # steps whose squares are added in the array's precision, before they are in float64


@inlined
def gradient(y, t, factor):
    """dx = factor · (y − t)."""
    return (y - t) * factor


gradient_elements = elementwise(gradient, VECTORS)


@kernel
def identity_loss_forward(y, t, N):
    """½·Σ(y − t)² / N."""
    step, squares = zeros(1, VECTORS, y), 0.0
    for start in range(0, y.size, CHAIN * width_of(step)):
        end = min(start + CHAIN * width_of(step), y.size)
        some = splat(step, 0.0)
        for i in range(start, end, width_of(step)):
            error = load_row_masked(step, y, i, end - i) - load_row_masked(step, t, i, end - i)
            some = some + error * error
        squares += np.float64(total(some))
    return 0.5 * squares / N


@kernel
def identity_loss_backward(dout, y, t, N, dx):
    """dx = dout · (y − t) / N; dout is a scalar."""
    gradient_elements(0, y.size, (pointer(y), pointer(t)), (pointer(dx),), (dout / N,))
