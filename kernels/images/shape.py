"""What a convolution is: its sizes, and how the memory that it works in is shared out."""

from typing import NamedTuple

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.loop.groups import GROUPS
from fastbp.kernels.tiles.target import TARGET, lanes

MANY_REGISTERS = TARGET.registers == 32

# Vectors and rows of a tile, as in `kernels.matmul`; FEW_ROWS rows where no more are left.
WIDE, ROWS = 3, 8 if MANY_REGISTERS else 4
FEW_ROWS = 4
DEPTH = 24 * 1024 // (WIDE * TARGET.vector_bytes)  # terms of a panel: it stays in the first-level cache
FOLDED = 1 << 16  # elements that are folded at a time: they stay in the second-level cache
ALIGNED = 16  # elements: each share of the memory begins a cache line


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


class Shares(NamedTuple):
    """Where what a thread works with begins in its scratch, in elements."""

    filters: int  # as rows of one factor: (FN, K + 1) with the bias last; for dx (K, FN)
    unfolded: int  # an image, and a row of ones
    panel: int
    tile: int  # a tile that isn't stored in its place
    places: int  # int64: where each row of the other factor begins
    columns: int  # what is folded
    plane: int  # what it is folded to
    end: int


def _shares(s, width):
    """The `Shares` for vectors of so many elements."""
    K, P = s.C * s.FH * s.FW, s.OH * s.OW
    rows = s.OH + (s.FH - 1) // s.stride
    filters = max((s.FN + 7) // 8 * 8 * (K + 1), (K + 7) // 8 * 8 * s.FN)
    unfolded = (filters + ALIGNED - 1) // ALIGNED * ALIGNED
    panel = unfolded + (s.C * s.FW * min(s.stride, s.FH) * rows * s.OW + P + 2 * ALIGNED) // ALIGNED * ALIGNED
    tile = panel + DEPTH * WIDE * width
    places = tile + 8 * WIDE * width
    columns = places + 2 * ((max(K + 1, s.FN) + ALIGNED + 7) // ALIGNED * ALIGNED)
    channels = max(1, min(s.C, FOLDED // (s.FH * s.FW * P)))
    plane = columns + ((channels * s.FH * s.FW + 7) // 8 * 8 * P + ALIGNED) // ALIGNED * ALIGNED
    wide = (s.FW - 1) // s.stride + (s.OW + width - 1) // width * width
    size = s.stride * ((s.OH - 1) * s.stride + s.FH) * wide
    end = plane + (size + 2 * width + ALIGNED) // ALIGNED * ALIGNED
    return Shares(0, unfolded, panel, tile, places, columns, plane, end)


shares = inlined(_shares)


@inlined
def plane_width(s, width):
    """Elements from a row of what is folded to the next: no vector of a row reaches into the next one.

    Where they did, a store was waited for by the next load.
    """
    return (s.FW - 1) // s.stride + (s.OW + width - 1) // width * width


def _padded_filters(FN, width):
    return (FN + width - 1) // width * width


padded_filters = inlined(_padded_filters)


def _gradient_size(s, width):
    """Elements of one part's gradients of filters and bias, (K + 1, FN), filled up to whole tiles."""
    return (s.C * s.FH * s.FW + 8) // 8 * 8 * ((s.FN + width - 1) // width * width)


gradient_size = inlined(_gradient_size)


def gradient_elements(shape, dtype):
    """Elements of the gradients of one group of images."""
    return _gradient_size(Shape(*shape), lanes(dtype))


def scratch_sizes(shape, batch, dtype):
    """Elements of scratch a convolution needs: (for each thread, in backward for all together)."""
    own = _shares(Shape(*shape), lanes(dtype)).end + lanes(dtype)
    return own, min(batch, GROUPS) * gradient_elements(shape, dtype) + lanes(dtype)
