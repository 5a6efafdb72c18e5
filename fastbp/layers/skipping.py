"""Affine products of samples that are mostly zeros, as images are: by the kernels that skip these, where they win."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels import affine_skipping as kernels
from fastbp.kernels.affine_skipping import (
    affine_backward_params_skipping,
    affine_forward_skipping,
    affine_forward_skipping_threads,
)
from fastbp.kernels.loop.compress import PACKS
from fastbp.kernels.tiles.target import lanes
from fastbp.system import threads

# Where it wins, by shape: of MNIST's images forward takes 0.5 of the time at 100 x 784 x 50 in float64 and 0.7 in
# float32, dW 0.55 and 0.9; with shorter rows of W in float32 both take longer (EPYC of Zen 5).
FEW_SAMPLES, FEW_INPUTS, FEW_BYTES_OF_ROW = 32, 128, 200
MOST_INPUTS, MOST_OUTPUTS = 4096, 256
# By zeros: of so many numbers of x, in equal distances, less than this share is not zero. Of MNIST's it is 0.19.
LOOKED_AT, BELOW = 256, 0.3

# What it computes in; None: the dtype of W.
precision: np.dtype[Any] | None = None

_BYTES, _INT32, _INT64 = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.int64)


def pays(x: NDArray[Any], W: NDArray[Any]) -> bool:
    """Whether zeros are skipped in products of samples x (N, ...) and W (D, M): the same for any number of threads."""
    D, M = W.shape
    size = (precision or W.dtype).itemsize
    if len(x) < FEW_SAMPLES or D < FEW_INPUTS or D > MOST_INPUTS or M * size < FEW_BYTES_OF_ROW or M > MOST_OUTPUTS:
        return False
    if not PACKS:  # compressed number by number, it never wins
        return False
    seen = x.reshape(-1)[:: x.size // LOOKED_AT | 1]
    return int(np.count_nonzero(seen)) < BELOW * seen.size


def forward(x: NDArray[Any], W: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> bool:
    """Whether out = x @ W + b was computed, of arrays as kernels take them."""
    if not pays(x, W):
        return False
    n = threads.for_work(2.0 * x.shape[0] * W.size)
    if n == 1:
        return bool(affine_forward_skipping(x, W, b, *_around(1, x, W, out)))
    with threads.running(n) as launcher:
        return bool(affine_forward_skipping_threads(x, W, b, *_around(n, x, W, out), n, launcher))


def backward_params(dout: NDArray[Any], x: NDArray[Any], dW: NDArray[Any], db: NDArray[Any]) -> bool:
    """Whether dW = x.T @ dout and db = the column sums of dout were computed, likewise; by one thread."""
    return pays(x, dW) and bool(affine_backward_params_skipping(dout, x, *_around(1, x, dW, dW, db)))


def _around(n: int, x: NDArray[Any], W: NDArray[Any], *outputs: NDArray[Any]) -> tuple[Any, ...]:
    """The outputs, before them the stride of copies, and behind them memory for n threads to work in."""
    dtype = precision or W.dtype
    stride, copies, room, marks = _sizes(*W.shape, dtype)
    memory = 2 * n * room * x.itemsize
    values = threads.scratch(memory, _BYTES)[:memory].view(x.dtype)
    columns = threads.scratch(2 * n * room, _INT32)
    return stride, *outputs, threads.scratch(n * copies, dtype), values, columns, threads.scratch(n * marks, _INT64)


@lru_cache(maxsize=64)
def _sizes(D: int, M: int, dtype: np.dtype[Any]) -> tuple[int, int, int, int]:
    width = lanes(dtype)
    stride = kernels.padded_columns(M, width)
    return stride, kernels.copies_size(D, stride, width), kernels.PITCH * D + kernels.OVERRUN, kernels.marks_size(D)
