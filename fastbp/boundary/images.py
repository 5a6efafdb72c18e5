"""The boundary of the layers that take images, (N, C, H, W): their sizes, strides and pads, and the arrays."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import whole_number
from fastbp.boundary.arrays import FloatArray

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
        raise ValueError(f"{name} must be images of shape (N, C, H, W), got shape {array.shape}")
    return array


def batch(x: ArrayLike, name: str = "x") -> FloatArray:
    """A batch of images as a layer without parameters takes them, in the dtype that it computes with."""
    array = arrays.inputs(x, name)
    four_dimensional(array, name)
    return array


def window_places(size: tuple[int, ...], window: tuple[Any, Any], stride: Any, pad: Any) -> tuple[int, int]:
    """`output_size` of a pooling window; ValueError for one with more places than can be told apart."""
    places = output_size(size, window, stride, pad, "window")
    if window[0] * (size[1] + 2 * pad) > MOST_PLACES:
        raise ValueError(
            f"a window of {window[0]} rows of {size[1] + 2 * pad} pixels is more than {MOST_PLACES} pixels"
        )
    return places
