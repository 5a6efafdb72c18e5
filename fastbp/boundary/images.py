"""The boundary of the layers that take images, (N, C, H, W): their sizes, strides and pads, and the arrays."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import whole_number
from fastbp.boundary.arrays import FLOAT64, FloatArray

# What a pooling kernel numbers the places of its window by: float32 tells these apart.
MOST_PLACES = 2**24


def output_size(
    size: tuple[int, ...], window: tuple[int, int], stride: Any, pad: Any, name: str = "filter"
) -> tuple[int, int]:
    """The places (OH, OW) of a filter or window (height, width) on images (H, W); ValueError where it has none."""
    stride, pad = whole_number(stride, "stride", 1), whole_number(pad, "pad", 0)
    height, width = (whole_number(each, f"{name} size", 1) for each in window)
    rows, columns = size[0] + 2 * pad - height, size[1] + 2 * pad - width
    if rows < 0 or columns < 0:
        raise ValueError(
            f"a {name} of {height} x {width} is larger than images of {size[0]} x {size[1]}"
            + (f" with a pad of {pad}" if pad else "")
        )
    return rows // stride + 1, columns // stride + 1


def four_dimensional(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The array; ValueError when it holds no images."""
    if array.ndim != 4:
        raise ValueError(f"{name} must be images of shape (N, C, H, W), got shape {array.shape}{flat(array.shape[1:])}")
    return array


def flat(sample: tuple[int, ...]) -> str:
    """What to say of samples of this shape that should be images: how flat ones become some."""
    hint = "; if these are flat samples, load_mnist(flatten=False) or a reshape to (N, C, H, W) makes images of them"
    return hint * (len(sample) == 1)


def batch(x: ArrayLike, name: str = "x") -> FloatArray:
    """A batch of images as a layer without parameters takes them, in the dtype that it computes with."""
    array = arrays.inputs(x, name)
    four_dimensional(array, name)
    return array


def convolution_operands(x: ArrayLike, W: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """x (N, C, H, W), W (FN, C, FH, FW), b (FN,): of one dtype, but for float32 x beside float64 W and b.

    b may be a number.
    """
    filters = _filters(W)
    samples = four_dimensional(arrays.real_array(x, "x"), "x")
    if samples.shape[1] != filters.shape[1]:
        raise ValueError(
            f"x of shape {samples.shape} has {samples.shape[1]} channels, "
            f"but W of shape {filters.shape} takes {filters.shape[1]}"
        )
    return arrays.factors(samples, filters, arrays.bias_of(arrays.real_array(b, "b"), filters, filters.shape[:1]))


def convolution_gradients(
    dout: ArrayLike, x: FloatArray, W: ArrayLike, stride: Any, pad: Any
) -> tuple[FloatArray, FloatArray]:
    """dout (N, FN, OH, OW) and W (FN, C, FH, FW) in one dtype, the widest of dout, W and forward's x."""
    four_dimensional(x, "x")
    filters = _filters(W)
    if filters.shape[1] != x.shape[1]:
        raise ValueError(f"W must have {x.shape[1]} channels as in the forward pass, got shape {filters.shape}")
    places = output_size(x.shape[2:], filters.shape[2:], stride, pad)
    dtype = FLOAT64 if x.dtype == FLOAT64 else arrays.float_dtype(filters)
    gradient = arrays.output_gradient(dout, (x.shape[0], filters.shape[0], *places), dtype)
    return gradient, arrays.kernel_array(filters, gradient.dtype)


def _filters(W: ArrayLike) -> NDArray[Any]:
    filters = W if arrays.ready(W) else arrays.real_array(W, "W")
    if filters.ndim != 4:
        raise ValueError(f"W must have shape (filters, channels, height, width), got {filters.shape}")
    return filters


def window_places(size: tuple[int, ...], window: tuple[Any, Any], stride: Any, pad: Any) -> tuple[int, int]:
    """`output_size` of a pooling window; ValueError for one with more places than can be told apart."""
    places = output_size(size, window, stride, pad, "window")
    if window[0] * (size[1] + 2 * pad) > MOST_PLACES:
        raise ValueError(
            f"a window of {window[0]} rows of {size[1] + 2 * pad} pixels is more than {MOST_PLACES} pixels"
        )
    return places


def pixels_of_windows(arg_max: Any, shape: tuple[int, ...], window: tuple[int, int]) -> NDArray[np.int64]:
    """`arg_max` of a caller, the number of a pixel of each window, in the shape (N, OH, OW, C) of the windows.

    ValueError for another number of them, and for one that is none of the window's pixels.
    """
    which = arrays.real_array(arg_max, "arg_max")
    if which.size != np.prod(shape):
        raise ValueError(f"arg_max must have a number for each of {np.prod(shape)} windows, got shape {which.shape}")
    if which.dtype.kind not in "iu":
        raise TypeError(f"arg_max must hold integers, got dtype {which.dtype}")
    if which.min() < 0 or which.max() >= window[0] * window[1]:
        raise ValueError(f"arg_max must hold numbers from 0 to {window[0] * window[1] - 1}, the pixels of a window")
    return np.asarray(which, np.int64).reshape(shape)
