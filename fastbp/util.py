"""The helpers of the book's `common/util.py`: images as rows of columns, shuffled data, smoothed curves."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arguments, arrays, images


def conv_output_size(input_size: int, filter_size: int, stride: int = 1, pad: int = 0) -> int:
    """How many places a filter has along one side of an image: (input_size + 2·pad − filter_size) // stride + 1.

    The book's section 7.2.4. ValueError when the filter is larger than the padded image.
    """
    return images.output_size((input_size, input_size), (filter_size, filter_size), stride, pad)[0]


def im2col(input_data: ArrayLike, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> NDArray[Any]:
    """What a filter sees at each of its places, a row a place (the book's section 7.4.3).

    From images (N, C, H, W) an array (N·OH·OW, C·filter_h·filter_w), in the images' dtype: rows in the order of n, oh,
    ow, columns in that of c, fh, fw. Images are padded with zeros. ValueError when the filter is larger than that.
    """
    samples = images.four_dimensional(arrays.real_array(input_data, "input_data"), "input_data")
    places = images.output_size(samples.shape[2:], (filter_h, filter_w), stride, pad)
    padded = np.pad(samples, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, (filter_h, filter_w), axis=(2, 3))[:, :, ::stride, ::stride]
    rows: NDArray[Any] = windows.transpose(0, 2, 3, 1, 4, 5)
    return rows.reshape(samples.shape[0] * places[0] * places[1], samples.shape[1] * filter_h * filter_w)


def col2im(
    col: ArrayLike, input_shape: tuple[int, int, int, int], filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> NDArray[Any]:
    """The sums of what `im2col` took from each pixel: images of `input_shape` from rows of columns.

    `col` holds N·OH·OW rows of C·filter_h·filter_w numbers, in any shape. It is the transpose of `im2col`, and what
    backpropagation needs. ValueError when the sizes don't fit.
    """
    rows = arrays.real_array(col, "col")
    n, c, h, w = input_shape
    out_h, out_w = images.output_size((h, w), (filter_h, filter_w), stride, pad)
    shape = (n, out_h, out_w, c, filter_h, filter_w)
    if rows.size != np.prod(shape):
        raise ValueError(
            f"col of shape {rows.shape} does not fit images of shape {tuple(input_shape)}: im2col makes "
            f"({n * out_h * out_w}, {c * filter_h * filter_w}) of them"
        )
    windows = rows.reshape(shape).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((n, c, h + 2 * pad, w + 2 * pad), rows.dtype)
    for i in range(filter_h):
        for j in range(filter_w):
            padded[:, :, i : i + stride * out_h : stride, j : j + stride * out_w : stride] += windows[:, :, i, j]
    return np.ascontiguousarray(padded[:, :, pad : pad + h, pad : pad + w])


def smooth_curve(x: ArrayLike) -> NDArray[Any]:
    """The values x (N,) of a curve, each averaged with its ten neighbours under a Kaiser window of β = 2, in float64.

    The curve is mirrored at its ends. N must be at least 11: ValueError.
    """
    values = np.asarray(x, np.float64)
    window = np.kaiser(11, 2)
    reach = len(window) - 1
    if values.ndim != 1 or len(values) <= reach:
        raise ValueError(f"x must hold at least {reach + 1} values in one axis, got shape {values.shape}")
    mirrored = np.concatenate([values[reach:0:-1], values, values[::-1][:reach]])
    return np.convolve(window / window.sum(), mirrored, mode="valid")[reach // 2 : -(reach // 2)]


def shuffle_dataset(
    x: ArrayLike, t: ArrayLike, rng: np.random.Generator | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples x (N, ...) and labels t (N, ...) in one new order, as copies; `rng=None`: from NumPy's global state.

    ValueError when their numbers differ, TypeError for another kind of rng.
    """
    samples, labels = np.asarray(x), np.asarray(t)
    if len(samples) != len(labels):
        raise ValueError(f"x has {len(samples)} samples, but t has {len(labels)} labels")
    draw: Any = arguments.generator(rng) or np.random
    order = draw.permutation(len(samples))
    return samples[order], labels[order]
