"""What a convolution is: its sizes, and how the memory that it works in is shared out."""

from typing import NamedTuple

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.images.tiling import ALIGNED, FILLED, filled, is_tiled, tiling_shares
from fastbp.kernels.loop.groups import GROUPS
from fastbp.kernels.tiles.target import TARGET, lanes

MANY_REGISTERS = TARGET.registers == 32

# Vectors and rows of a tile, as in `kernels.matmul`: without fused multiply-adds a product takes one register more, and
# a tile of 4 x 3 spills.
WIDE, ROWS = 3 if TARGET.fma else 2, 8 if MANY_REGISTERS else 4
DEPTH = 256  # terms of a panel, and of a sum before it is added to what there is
PIXELS_TOGETHER = 256  # images smaller than that are taken several at a time,
PLANES = 1 << 16  # where those, with their borders, have no more elements
FOLDED = 1 << 16  # elements that are folded at a time: they stay in the second-level cache


class Shape(NamedTuple):
    """x (C, H, W), W (FN, C, FH, FW), out (FN, OH, OW): of one image, as all are alike."""

    C: int
    H: int
    W: int
    FN: int
    FH: int
    FW: int
    stride: int
    pad: int
    OH: int
    OW: int


@inlined
def shape_of(sizes):
    """The `Shape` whose fields lie one after the other."""
    return Shape(*(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9]))


class Planes(NamedTuple):
    """Images with a border of zeros around each of their planes."""

    channels: int
    top: int  # rows of the border above
    left: int
    high: int  # with the border
    wide: int
    images: int  # at a time


@inlined
def images_at_a_time(pixels, size):
    """How many images are taken at a time."""
    return max(1, min(PIXELS_TOGETHER // pixels, PLANES // size))


@inlined
def planes_of_x(s):
    """What the filters move over."""
    high, wide = s.H + 2 * s.pad, s.W + 2 * s.pad
    return Planes(s.C, s.pad, s.pad, high, wide, images_at_a_time(s.OH * s.OW, s.C * high * wide))


@inlined
def planes_of_dout(s):
    """What is seen of dout by the pixels of x."""
    top, left = (s.FH - 1) // s.stride, (s.FW - 1) // s.stride
    high = top + max(s.OH, (s.H - 1 + s.pad) // s.stride + 1)
    wide = left + max(s.OW, (s.W - 1 + s.pad) // s.stride + 1)
    return Planes(s.FN, top, left, high, wide, images_at_a_time(s.H * s.W, s.FN * high * wide))


@inlined
def has_few_channels(s, width):
    """Whether dx is always folded: where most lanes of a vector of channels would be empty."""
    return 2 * s.C <= width


@inlined
def channels_at_a_time(s):
    """How many are folded together."""
    return max(1, min(s.C, FOLDED // (s.FH * s.FW * s.OH * s.OW)))


@inlined
def folded_width(s, width):
    """Elements from a row of what is folded to the next: no vector of a row reaches into the next one.

    Where they did, a store was waited for by the next load.
    """
    return (s.FW - 1) // s.stride + filled(s.OW, width)


class Shares(NamedTuple):
    """Where what a thread works with begins in its scratch, in elements."""

    filters: int  # as panels
    bias: int
    planes: int
    sums: int  # (pixels, channels) of the result
    panel: int  # of dout
    pixels: int  # tables of int64: where tiles find their factors, and where their rows go
    pixels_to: int
    terms: int
    terms_to: int
    columns: int  # what is folded
    plane: int  # what it is folded to
    end: int


@inlined
def shares(s, width):
    """The `Shares` for vectors of so many elements."""
    x, dout = planes_of_x(s), planes_of_dout(s)
    K, window, FN, C = s.C * s.FH * s.FW, s.FH * s.FW, filled(s.FN, width), filled(s.C, width)
    P, D = x.images * s.OH * s.OW, dout.images * s.H * s.W
    bias = filled(max(K * FN, s.FN * window * C), ALIGNED)
    planes = bias + filled(FN, ALIGNED)
    size, result = x.images * s.C * x.high * x.wide, (P + width) * FN
    if not has_few_channels(s, width):  # see `kernels.images.fold`
        size = max(size, dout.images * s.FN * dout.high * dout.wide)
        result = max(result, (D + width) * C)
    sums = planes + filled(size + width, ALIGNED)
    panel = sums + filled(result, ALIGNED)
    pixels = panel + DEPTH * WIDE * width
    # int64 is two elements at most.
    entries = max(P, K, D + FILLED * min(s.stride, s.H) * min(s.stride, s.W)) + FILLED
    pixels_to = pixels + filled(2 * entries, ALIGNED)
    terms = pixels_to + filled(2 * entries, ALIGNED)
    terms_to = terms + filled(2 * (max(K, s.FN * window) + FILLED), ALIGNED)
    columns = terms_to + filled(2 * (K + FILLED), ALIGNED)
    plane = columns + filled((channels_at_a_time(s) * window + FILLED) * filled(s.OH * s.OW, width), ALIGNED)
    end = plane + s.stride * ((s.OH - 1) * s.stride + s.FH) * folded_width(s, width) + 2 * width
    return Shares(0, bias, planes, sums, panel, pixels, pixels_to, terms, terms_to, columns, plane, end)


@inlined
def gradient_size(s, width):
    """Elements of one part's gradients of filters and bias, (K + 1, FN), whose rows are filled up to whole vectors."""
    return (s.C * s.FH * s.FW + 1) * filled(s.FN, width)


def gradient_elements(shape, dtype):
    """Elements of the gradients of one group of images."""
    return gradient_size(Shape(*shape), lanes(dtype))


def scratch_sizes(shape, batch, dtype):
    """Elements of scratch a convolution needs: (for each thread, in backward for all together)."""
    s, width = Shape(*shape), lanes(dtype)
    own = shares(s, width).end
    if is_tiled(s):
        own = tiling_shares(s, own, width).end
    own += width
    return own, min(batch, GROUPS) * gradient_elements(shape, dtype) + lanes(dtype)
