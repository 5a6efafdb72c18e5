"""Max pooling: x, dx (N, C, H, W); out, places, dout (N, C, OH, OW); scratch (H + 2·pad, W + 2·pad), a padded plane.

`places` says where in its window each maximum lies: how far behind the window's first pixel, in pixels of the padded
plane. It is kept in the dtype of x, whose vectors it is found in: as whole numbers below 2^24.
"""

from typing import NamedTuple

from fastbp.kernels.build.flags import inlined, kernel, part, shared
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.relu import backward_elements
from fastbp.kernels.tiles import (
    address_as,
    load_row_masked,
    moved,
    pointer,
    pointer_if,
    select,
    splat,
    store_row_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.strided import evens, load_every_between, load_second_between, odds, zipped

VECTORS = 1  # of results at a time: a row of 12 needs no more


class Windows(NamedTuple):
    """Where the windows of a plane lie; all the planes are alike."""

    H: int
    W: int
    pool_h: int
    pool_w: int
    stride: int
    pad: int
    OH: int
    OW: int


@inlined
def _are_pairs(windows):
    """Whether the windows are 2 x 2 pixels, side by side."""
    return windows.pool_h == 2 and windows.pool_w == 2 and windows.stride == 2


@inlined
def _adjacent(tile, x, at, stride, width):
    return load_row_masked(tile, x, at, width)


@inlined
def _second(tile, x, at, stride, width):
    return load_second_between(tile, x, at, 0, width)


@inlined
def _every(tile, x, at, stride, width):
    return load_every_between(tile, x, at, stride, 0, width)


@inlined
def _larger(value, number, best, place):
    """The larger one of each pair and its number: the first one, or NaN."""
    larger = (value > best) | ((value != value) & (best == best))
    return select(larger, value, best), select(larger, float(number), place)


def _maxima(load):
    @inlined
    def maxima(x, wide, windows, out, places):
        """One plane of results from one plane of pixels, whose rows have `wide`. As argmax: the first one, or NaN."""
        tile, stride = zeros(1, VECTORS, out), windows.stride
        for i in range(windows.OH):
            for j in range(0, windows.OW, width_of(tile)):
                corner, width = i * stride * wide + j * stride, windows.OW - j
                best, place = load(tile, x, corner, stride, width), splat(tile, 0.0)
                for fh in range(windows.pool_h):
                    for fw in range(windows.pool_w):
                        value = load(tile, x, corner + fh * wide + fw, stride, width)
                        best, place = _larger(value, fh * wide + fw, best, place)
                store_row_masked(best, out, i * windows.OW + j, width)
                store_row_masked(place, places, i * windows.OW + j, width)

    return maxima


_maxima_of_adjacent, _maxima_of_second, _maxima_of_every = _maxima(_adjacent), _maxima(_second), _maxima(_every)


@inlined
def _maxima_of_pairs(x, wide, windows, out, places):
    """The same of windows of 2 x 2 pixels that don't overlap: each pixel is loaded once."""
    tile, pair = zeros(1, 1, out), zeros(1, 2, out)
    for i in range(windows.OH):
        for j in range(0, windows.OW, width_of(tile)):
            at, width = 2 * (i * wide + j), windows.OW - j
            upper, lower = load_row_masked(pair, x, at, 2 * width), load_row_masked(pair, x, at + wide, 2 * width)
            best, place = _larger(odds(upper), 1, evens(upper), splat(tile, 0.0))
            best, place = _larger(evens(lower), wide, best, place)
            best, place = _larger(odds(lower), wide + 1, best, place)
            store_row_masked(best, out, i * windows.OW + j, width)
            store_row_masked(place, places, i * windows.OW + j, width)


@inlined
def _copy_rows(source, source_row, target, target_row, rows, columns):
    line = zeros(1, 1, target)
    for i in range(rows):
        for j in range(0, columns, width_of(line)):
            store_row_masked(
                load_row_masked(line, source, i * source_row + j, columns - j), target, i * target_row + j, columns - j
            )


@inlined
def _clear(target, size):
    line = zeros(1, 4, target)
    for i in range(0, size, width_of(line)):
        store_row_masked(line, target, i, size - i)


@shared
def max_of_planes(lo, hi, windows, x, out, places, scratch):
    """The planes [lo, hi), of all samples and channels in a row."""
    H, W, pad = windows.H, windows.W, windows.pad
    wide, results = W + 2 * pad, windows.OH * windows.OW
    if pad > 0:
        _clear(scratch, (H + 2 * pad) * wide)
    for n in range(lo, hi):
        pixels = moved(x, n * H * W)
        if pad > 0:
            _copy_rows(pixels, W, moved(scratch, pad * wide + pad), wide, H, W)
        source, to, where = pointer_if(pad > 0, scratch, pixels), moved(out, n * results), moved(places, n * results)
        if _are_pairs(windows):
            _maxima_of_pairs(source, wide, windows, to, where)
        elif windows.stride == 1:
            _maxima_of_adjacent(source, wide, windows, to, where)
        elif windows.stride == 2:
            _maxima_of_second(source, wide, windows, to, where)
        else:
            _maxima_of_every(source, wide, windows, to, where)


@inlined
def _gradient_of_pairs(windows, dout, places, dx):
    """A plane of windows of 2 x 2 pixels that don't overlap: each row of pixels is written once."""
    line, W, OW = zeros(1, 1, dx), windows.W, windows.OW
    for i in range(windows.OH):
        for j in range(0, OW, width_of(line)):
            at, width = i * OW + j, OW - j
            value, place = load_row_masked(line, dout, at, width), load_row_masked(line, places, at, width)
            for fh in range(2):
                left, right = select(place == float(fh * W), value, 0.0), select(place == float(fh * W + 1), value, 0.0)
                store_row_masked(zipped(left, right), dx, (2 * i + fh) * W + 2 * j, 2 * width)
        if W > 2 * OW:
            dx[2 * i * W + W - 1] = dx[(2 * i + 1) * W + W - 1] = 0.0
    if windows.H > 2 * windows.OH:
        _clear(moved(dx, (windows.H - 1) * W), W)


@shared
def gradient_of_planes(lo, hi, windows, dout, places, dx, scratch):
    """The planes [lo, hi): each dout is added where its maximum lies, in the order of the windows."""
    H, W, pad, stride = windows.H, windows.W, windows.pad, windows.stride
    wide, OW, size = W + 2 * pad, windows.OW, windows.OH * windows.OW
    pairs = _are_pairs(windows) and pad == 0
    for n in range(lo, hi):
        pixels = moved(dx, n * H * W)
        if pairs:
            _gradient_of_pairs(windows, moved(dout, n * size), moved(places, n * size), pixels)
            continue
        target = pointer_if(pad > 0, scratch, pixels)
        _clear(target, (H + 2 * pad) * wide)
        for i in range(windows.OH):
            at, corner = (n * windows.OH + i) * OW, i * stride * wide
            for j in range(OW):
                place = corner + j * stride + int(places[at + j])
                target[place] = target[place] + dout[at + j]
        if pad > 0:
            _copy_rows(moved(scratch, pad * wide + pad), wide, pixels, W, H, W)


@kernel("real[:, :, :, ::1], int64, int64, int64, int64, real[:, :, :, ::1], real[:, :, :, ::1], real[::1]")
def pooling_forward(x, pool_h, pool_w, stride, pad, out, places, scratch):
    """out = the largest of each window of x, NaN where there is one; pixels outside of x are 0."""
    (N, C, H, W), (_, _, OH, OW) = x.shape, out.shape
    windows = Windows(H, W, pool_h, pool_w, stride, pad, OH, OW)
    max_of_planes(0, N * C, windows, pointer(x), pointer(out), pointer(places), pointer(scratch))


@kernel("real[:, :, :, ::1], real[:, :, :, ::1], int64, int64, int64, int64, real[:, :, :, ::1], real[::1]")
def pooling_backward(dout, places, pool_h, pool_w, stride, pad, dx, scratch):
    """dx = the sum of dout over the windows whose maximum a pixel is."""
    (N, C, H, W), (_, _, OH, OW) = dx.shape, dout.shape
    windows = Windows(H, W, pool_h, pool_w, stride, pad, OH, OW)
    gradient_of_planes(0, N * C, windows, pointer(dout), pointer(places), pointer(dx), pointer(scratch))


# --- parts of the loop ---


@inlined
def _windows_of(sizes):
    """(Channels, the windows of each)."""
    return sizes[0], Windows(sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8])


@part
def forward(lo, hi, left, right, op, step):
    """Images [lo, hi)."""
    (C, windows), places = _windows_of(op.sizes), address_as(op.keeps[0], op.out)
    max_of_planes(lo * C, hi * C, windows, op.x, op.out, places, step.scratch)


@part
def backward(lo, hi, left, right, op, step):
    """Images [lo, hi) of the gradient, 0 where the mask of the operation below is on."""
    (C, windows), places, below = _windows_of(op.sizes), address_as(op.keeps[0], op.dout), op.below
    for n in range(lo, hi):
        gradient_of_planes(n * C, (n + 1) * C, windows, op.dout, places, op.dx, step.scratch)
        if is_there(below):
            backward_elements(n * op.D, (n + 1) * op.D, (op.dx, below), (op.dx,), ())
