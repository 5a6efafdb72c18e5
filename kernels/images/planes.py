"""Images unfolded along their rows, and folded again.

Unfolded, an image has a plane for each channel, each column of the filter, and each of the rows that a stride keeps
apart: what that column of the filter sees at each of its places, (rows, OW). So what a whole filter sees at pixel
(fh, fw) at all of its places, OH · OW numbers, lies in a row, beginning fh // stride rows into a plane. `im2col` writes
every number FH · FW times, this FW times (the layout of MEC, Cho and Brand 2017, with the stride taken out).
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.images.shape import plane_width
from fastbp.kernels.tiles import (
    add,
    lanes_of,
    load_row,
    load_row_masked,
    moved,
    splat,
    store,
    store_row_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.strided import (
    load_between,
    load_every_between,
    load_second_between,
    store_between,
    zipped,
)


@inlined
def clear(target, size):
    """target[:size] = 0."""
    line = zeros(1, 4, target)
    for i in range(0, size, width_of(line)):
        store_row_masked(line, target, i, size - i)


@inlined
def _adjacent(tile, x, at, stride, first, width):
    return load_between(tile, x, at, first, width)


@inlined
def _second(tile, x, at, stride, first, width):
    return load_second_between(tile, x, at, first, width)


@inlined
def _every(tile, x, at, stride, first, width):
    return load_every_between(tile, x, at, stride, first, width)


def _unfold(load):
    @inlined
    def unfold_plane(s, x, rows, row, column, to):
        """Rows row, row + stride, ... of a channel, seen by a column of the filter."""
        tile, stride = zeros(1, 1, to), s.stride
        # Of these rows those from `top` on and before `bottom` lie inside of the image, and of their pixels some.
        top = min(rows, max(0, (stride - 1 - row) // stride))
        bottom = max(top, min(rows, (s.H - row + stride - 1) // stride))
        left, right = (stride - 1 - column) // stride, (s.W - column + stride - 1) // stride
        clear(to, top * s.OW)
        clear(moved(to, bottom * s.OW), (rows - bottom) * s.OW)
        for j in range(0, s.OW, width_of(tile)):
            first, width, columns = left - j, min(right, s.OW) - j, s.OW - j
            for i in range(top, bottom):
                at = (row + i * stride) * s.W + column + j * stride
                store_row_masked(load(tile, x, at, stride, first, width), to, i * s.OW + j, columns)

    @inlined
    def unfold(s, x, to):
        phases, rows = min(s.stride, s.FH), s.OH + (s.FH - 1) // s.stride
        for c in range(s.C):
            for fw in range(s.FW):
                for phase in range(phases):
                    plane = moved(to, ((c * s.FW + fw) * phases + phase) * rows * s.OW)
                    unfold_plane(s, moved(x, c * s.H * s.W), rows, phase - s.pad, fw - s.pad, plane)

    return unfold


_unfold_adjacent, _unfold_second, _unfold_every = _unfold(_adjacent), _unfold(_second), _unfold(_every)


@shared
def unfold_image(s, x, to):
    """An image (C, H, W), unfolded."""
    if s.stride == 1:
        _unfold_adjacent(s, x, to)
    elif s.stride == 2:
        _unfold_second(s, x, to)
    else:
        _unfold_every(s, x, to)


@inlined
def places_of_terms(s, places):
    """Where in an unfolded image each of the K = C · FH · FW rows of its columns begins, and the ones behind it.

    Filled up to a multiple of 8 with the last one.
    """
    phases, rows, k = min(s.stride, s.FH), s.OH + (s.FH - 1) // s.stride, 0
    for c in range(s.C):
        for fh in range(s.FH):
            for fw in range(s.FW):
                plane = (c * s.FW + fw) * phases + fh % s.stride
                places[k] = (plane * rows + fh // s.stride) * s.OW
                k += 1
    for last in range(k, (k + 8) // 8 * 8):
        places[last] = s.C * s.FW * phases * rows * s.OW


@inlined
def _add_columns(s, columns, plane):
    """Adds what the filter saw to the pixels that it saw, of a channel: `plane` has every stride-th column apart."""
    tile, high, wide = zeros(1, 1, plane), (s.OH - 1) * s.stride + s.FH, plane_width(s, lanes_of(plane))
    for fh in range(s.FH):
        for fw in range(s.FW):
            source = moved(columns, (fh * s.FW + fw) * s.OH * s.OW)
            target = moved(plane, (fw % s.stride * high + fh) * wide + fw // s.stride)
            for j in range(0, s.OW, width_of(tile)):
                for i in range(s.OH):
                    at, seen = i * s.stride * wide + j, load_row_masked(tile, source, i * s.OW + j, s.OW - j)
                    store(add(load_row(tile, target, at), seen), target, at, 0)


@inlined
def _put_pixels(s, plane, dx):
    """The image (H, W) from its columns that lie apart; what no filter saw is 0."""
    tile, high, wide = zeros(1, 1, plane), (s.OH - 1) * s.stride + s.FH, plane_width(s, lanes_of(plane))
    for h in range(s.H):
        row, to = (h + s.pad) * wide, h * s.W
        if h + s.pad >= high:
            clear(moved(dx, to), s.W)
        elif s.stride == 1:
            for w in range(0, s.W, width_of(tile)):
                at = s.pad + w
                store_row_masked(load_row_masked(tile, plane, row + at, wide - at), dx, to + w, s.W - w)
        elif s.stride == 2:
            for j in range(0, (s.W + s.pad + 1) // 2, width_of(tile)):
                even = load_row_masked(tile, plane, row + j, wide - j)
                odd = load_row_masked(tile, plane, high * wide + row + j, wide - j)
                at = 2 * j - s.pad
                store_between(zipped(even, odd), dx, to + at, -at, s.W - at)
        else:
            for w in range(s.W):
                j, phase = (w + s.pad) // s.stride, (w + s.pad) % s.stride
                dx[to + w] = plane[phase * high * wide + row + j] if j < wide else 0.0


@shared
def fold_columns(s, channels, columns, plane, dx):
    """dx (channels, H, W) from columns (channels · FH · FW, OH · OW): the transpose of `im2col`."""
    high, wide = (s.OH - 1) * s.stride + s.FH, plane_width(s, lanes_of(plane))
    for c in range(channels):
        clear(plane, s.stride * high * wide)
        _add_columns(s, moved(columns, c * s.FH * s.FW * s.OH * s.OW), plane)
        _put_pixels(s, plane, moved(dx, c * s.H * s.W))


@inlined
def fill_with_ones(target, size):
    line = splat(zeros(1, 1, target), 1.0)
    for i in range(0, size, width_of(line)):
        store_row_masked(line, target, i, size - i)
