"""dx of images with few channels: what the filters saw, W.T @ dout, is added to the pixels that they saw.

Tiles of pixels (`images.products`) have a channel a lane; of one channel they would use one of sixteen.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.images.planes import clear, fill_up
from fastbp.kernels.images.products import multiply_panel, panel_vectors
from fastbp.kernels.images.shape import DEPTH, FILLED, channels_at_a_time, filled, folded_width
from fastbp.kernels.tiles import (
    add,
    lanes_of,
    load_row,
    load_row_masked,
    moved,
    store,
    store_row_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.strided import store_between, zipped


@inlined
def tables_of_columns(s, wide, starts, starts_to, offsets):
    """W.T and its product with dout (rows of `wide` elements), as the inner loop takes them."""
    K = s.C * s.FH * s.FW
    for k in range(K):
        starts[k], starts_to[k] = k, k * wide
    for k in range(K, K + FILLED - 1):  # tiles begin at any channel, and so end further on than at a whole tile
        starts[k] = K - 1
    fill_up(starts_to, K)
    for f in range(s.FN):
        offsets[f] = f * K


@shared
def multiply_dout(rows, filters, pixels, W, starts, offsets, dout, panel, columns, places):
    """columns (rows, pixels) = rows of W.T @ dout (filters, pixels)."""
    line, blocks, j = zeros(1, 1, columns), (filters + DEPTH - 1) // DEPTH, 0
    while j < pixels:
        vectors = panel_vectors(pixels - j, width_of(line))
        full = vectors * width_of(line)
        for block in range(blocks):
            f = filters * block // blocks
            depth = filters * (block + 1) // blocks - f
            for k in range(depth):
                for v in range(0, full, width_of(line)):
                    values = load_row_masked(line, dout, (f + k) * pixels + j + v, pixels - j - v)
                    store(values, panel, k * full + v, 0)
            multiply_panel(
                vectors, rows, depth, W, starts, moved(offsets, f), panel, moved(columns, j), places, block > 0
            )
        j += full


@inlined
def _add_columns(s, columns, plane):
    """Adds what the filter saw to the pixels that it saw, of a channel: `plane` has every stride-th column apart."""
    tile, high, wide = zeros(1, 1, plane), (s.OH - 1) * s.stride + s.FH, folded_width(s, lanes_of(plane))
    places = filled(s.OH * s.OW, lanes_of(plane))
    for fh in range(s.FH):
        for fw in range(s.FW):
            source = moved(columns, (fh * s.FW + fw) * places)
            target = moved(plane, (fw % s.stride * high + fh) * wide + fw // s.stride)
            for j in range(0, s.OW, width_of(tile)):
                for i in range(s.OH):
                    at, seen = i * s.stride * wide + j, load_row_masked(tile, source, i * s.OW + j, s.OW - j)
                    store(add(load_row(tile, target, at), seen), target, at, 0)


@inlined
def _put_pixels(s, plane, dx):
    """The image (H, W) from its columns that lie apart; what no filter saw is 0."""
    tile, high, wide = zeros(1, 1, plane), (s.OH - 1) * s.stride + s.FH, folded_width(s, lanes_of(plane))
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
    high, wide, places = (
        (s.OH - 1) * s.stride + s.FH,
        folded_width(s, lanes_of(plane)),
        filled(s.OH * s.OW, lanes_of(plane)),
    )
    for c in range(channels):
        clear(plane, s.stride * high * wide)
        _add_columns(s, moved(columns, c * s.FH * s.FW * places), plane)
        _put_pixels(s, plane, moved(dx, c * s.H * s.W))


@shared
def gradient_of_few_channels(s, W, dout, starts, starts_to, offsets, panel, columns, plane, dx):
    """dx of an image."""
    channels, window = channels_at_a_time(s), s.FH * s.FW
    for c in range(0, s.C, channels):
        count = min(channels, s.C - c)
        rows = moved(starts, c * window)
        multiply_dout(count * window, s.FN, s.OH * s.OW, W, rows, offsets, dout, panel, columns, starts_to)
        fold_columns(s, count, columns, plane, moved(dx, c * s.H * s.W))
