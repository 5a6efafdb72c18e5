"""Affine products of samples that are mostly zeros, as images are: by the kernels that skip these, where they win."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels import affine_skipping as kernels
from fastbp.kernels.affine_skipping import (
    affine_backward_params_skipping,
    affine_forward_skipping,
    affine_forward_skipping_threads,
)
from fastbp.kernels.nonzero_products import columns_size, padded_columns, words_size
from fastbp.kernels.packing import PACKS
from fastbp.kernels.tiles.target import lanes
from fastbp.system import threads

# Where it wins, by shape: of MNIST's images at 100 x 784 x 50 forward takes 0.6 of the time in float64 and 0.8 in
# float32, dW 0.4 and 0.6, with AVX2 0.5 and 0.6 each; with shorter rows of W in float32, half of it takes longer with
# AVX-512 (EPYC of Zen 5, each batch another one).
FEW_SAMPLES, FEW_INPUTS, FEW_BYTES_OF_ROW = 32, 128, 200
MOST_INPUTS, MOST_OUTPUTS = 4096, 256
# By zeros: of so many numbers of x, in equal distances, less than this share is not zero. Of MNIST's it is 0.19.
LOOKED_AT, BELOW = 256, 0.3

# What it computes in; None: the dtype of W.
precision: np.dtype[Any] | None = None

_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


def pays(x: NDArray[Any], W: NDArray[Any], *, anew: bool = False) -> bool:
    """Whether zeros are skipped in products of samples x (N, ...) and W (D, M): the same for any number of threads.

    A forward pass looks at x anew; what comes after it takes what was found then.
    """
    D, M = W.shape
    if D < FEW_INPUTS or D > MOST_INPUTS or M > MOST_OUTPUTS or len(x) < FEW_SAMPLES:
        return False
    if M * (precision or W.dtype).itemsize < FEW_BYTES_OF_ROW:
        return False
    if not PACKS:  # compressed number by number, it never wins
        return False
    return _is_mostly_zeros(x, anew)


def _is_mostly_zeros(x: NDArray[Any], anew: bool) -> bool:
    """What is found of this array, in 2.5 µs, or was when it was last looked at."""
    global _last
    array, found = _last
    if anew or array() is not x:
        seen = x.reshape(-1)[:: x.size // LOOKED_AT | 1]
        found = int(np.count_nonzero(seen)) < BELOW * seen.size
        _last = ref(x), found
    return found


_last: tuple[Callable[[], Any], bool] = (lambda: None), False


def forward(x: NDArray[Any], W: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> bool:
    """Whether out = x @ W + b was computed, of arrays as kernels take them."""
    if not pays(x, W, anew=True):
        return False
    n = threads.for_work(2.0 * x.shape[0] * W.size)
    dtype = precision or W.dtype
    sizes = _sizes(*W.shape, dtype)
    copies, columns = threads.scratch(n * sizes.copies, dtype), threads.scratch(n * sizes.columns, _INT32)
    marks = threads.scratch(n * kernels.MARKS, _INT64)
    if n == 1:
        return bool(affine_forward_skipping(x, W, b, sizes.stride, out, copies, columns, marks))
    with threads.running(n) as launcher:
        return bool(affine_forward_skipping_threads(x, W, b, sizes.stride, out, copies, columns, marks, n, launcher))


def backward_params(dout: NDArray[Any], x: NDArray[Any], dW: NDArray[Any], db: NDArray[Any]) -> bool:
    """Whether dW = x.T @ dout and db = the column sums of dout were computed, likewise; by one thread."""
    if not pays(x, dW):
        return False
    dtype = precision or dW.dtype
    sizes = _sizes(*dW.shape, dtype)
    scratch, words = threads.scratch(sizes.gradient, dtype), threads.scratch(sizes.words, _INT64)
    return bool(affine_backward_params_skipping(dout, x, sizes.stride, dW, db, scratch, words))


class _Sizes(NamedTuple):
    """Elements, by the names that the kernels give them."""

    stride: int
    copies: int
    columns: int
    gradient: int
    words: int


@lru_cache(maxsize=64)
def _sizes(D: int, M: int, dtype: np.dtype[Any]) -> _Sizes:
    width = lanes(dtype)
    stride = padded_columns(M, width)
    copies, gradient = kernels.copies_size(D, stride, width), kernels.gradient_size(stride, width)
    return _Sizes(stride, copies, columns_size(D), gradient, words_size(D))
