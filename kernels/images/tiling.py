"""How a convolution of 3 x 3 filters is cut into tiles of 2 x 2 results, and where what that takes lies in scratch.

See `kernels.images.winograd`. A tile of results sees 4 x 4 pixels, every second one of which lies in the same phase: an
image is kept as four planes, of the pixels of even or odd rows and columns, in which the tiles of a row see neighbours.
"""

from typing import NamedTuple

from fastbp.kernels.build.flags import inlined

TERMS = 16  # of a tile, each of which is a product of matrices
TILES = 256  # at a time, at most: so many terms a sum has before it is added to what there is
# Tiles times channels, in and out: what they take stays in a second-level cache of 1 MB. A quarter of it, or twice as
# many, took 1 % longer (DeepConvNet, EPYC of Zen 4).
AT_A_TIME = 8192
IMAGES = 32  # at a time, at most: those to be computed in another way are the bits of a number
# Fewer channels don't pay for the sums: at 28 x 28, forward and backward, 8 to 8 channels gained 2 %, 12 to 12 a fifth
# (EPYC of Zen 4, AVX-512).
FEW = 12
LEAST = 4  # pixels and results a side: tiles took up to 4.5 times as long for fewer (64 channels, EPYC of Zen 4)
SIDE = 512  # of an image, at most: a row of tiles is taken at once
# Channels, at most, in or out. Of more the rounding adds up to more than a result may have: where two halves of them
# cancel, 1.5e-5 of the largest one with 256, 3.4e-5 with 512 (EPYC of Zen 5). At 8 x 8 256 to 256 take 1.3 times as
# long directly, 512 to 512 0.8 times (EPYC of Zen 4).
MANY = 128
FILLED = 8  # tables of rows are filled up to a multiple of this, which all tiles' rows divide
ALIGNED = 16  # elements: each share of the memory begins a cache line


class Tiling(NamedTuple):
    """Of results (outer, OH, OW) from images (inner, H, W) with so many zeros around them."""

    inner: int
    outer: int
    H: int
    W: int
    pad: int
    OH: int
    OW: int
    high: int  # rows of tiles, and
    wide: int  # tiles in a row
    images: int  # at a time
    rows: int  # of tiles at a time, of each image
    step: int  # elements from what the tiles see of a channel to the next channel


@inlined
def filled(count, to):
    """The next multiple."""
    return (count + to - 1) // to * to


@inlined
def is_tiled(s):
    """Whether sums of tiles pay: 16 multiplications instead of 36, for additions that each channel has once."""
    places = min(min(s.OH, s.OW), min(s.H, s.W)) >= LEAST
    small = s.pad <= 2 and max(s.H, s.W) + 4 <= SIDE
    channels = FEW <= min(s.C, s.FN) and max(s.C, s.FN) <= MANY
    return s.FH == 3 and s.FW == 3 and s.stride == 1 and channels and small and places


@inlined
def seen_size(rows, wide):
    """Elements of a term of what rows of tiles see of a channel of an image: of each row one tile more, whole lines."""
    return filled(rows * (wide + 1), ALIGNED)


@inlined
def _tiling(inner, outer, H, W, pad, OH, OW):
    high, wide, most = (OH + 1) // 2, (OW + 1) // 2, min(TILES, AT_A_TIME // (inner + outer))
    images = max(1, min(IMAGES, most // (high * wide)))
    rows = max(1, min(high, most // wide))
    # An odd number of cache lines: what the tiles see of all channels would else lie in a few sets of a cache.
    lines = images * seen_size(rows, wide) // ALIGNED
    return Tiling(inner, outer, H, W, pad, OH, OW, high, wide, images, rows, (lines + 1 - lines % 2) * ALIGNED)


@inlined
def tiling_of_x(s):
    """Of out from x, and of dW from both."""
    return _tiling(s.C, s.FN, s.H, s.W, s.pad, s.OH, s.OW)


@inlined
def tiling_of_dout(s):
    """Of dx from dout."""
    return _tiling(s.FN, s.C, s.OH, s.OW, 2 - s.pad, s.H, s.W)


@inlined
def phase_size(t):
    """Elements of one of the four planes of a channel: the tiles see one row and column more than there are tiles.

    And what whole vectors that begin there reach.
    """
    return filled((t.high + 1) * (t.wide + 1), ALIGNED) + ALIGNED


@inlined
def tiles_at_a_time(t):
    return t.images * t.rows * t.wide


@inlined
def term_size(t, width):
    """Elements of one term of all the results of tiles; with a line more, terms lie in different sets of a cache."""
    return tiles_at_a_time(t) * filled(t.outer, width) + ALIGNED


class TilingShares(NamedTuple):
    """Where what tiles take begins in scratch, in elements."""

    factors: int  # of filters, (TERMS, inner, outer)
    gradients: int  # of these
    planes: int
    seen: int  # terms of what the tiles see, (TERMS, inner, tiles)
    terms: int  # of their results, (TERMS, tiles, outer), or of the gradients of these
    sums: int  # (pixels, outer) of the results, or of their gradients
    tiles: int  # tables of int64: where in a channel of what is seen a tile lies, and
    tiles_to: int  # where its result
    channels: int  # and where a channel
    channels_to: int
    end: int


@inlined
def tiling_shares(s, begin, width):
    """The `TilingShares` from `begin` on, for vectors of so many elements."""
    x, dout = tiling_of_x(s), tiling_of_dout(s)
    FN, C, both = filled(s.FN, width), filled(s.C, width), max(s.C, s.FN)
    factors = filled(begin, ALIGNED)
    gradients = factors + filled(TERMS * max(s.C * FN, s.FN * C), ALIGNED)
    planes = gradients + filled(TERMS * s.C * FN, ALIGNED)
    size = max(x.images * s.C * phase_size(x), dout.images * s.FN * phase_size(dout))
    seen = planes + filled(4 * size + 4 * width, ALIGNED)
    terms = seen + TERMS * max(s.C * x.step, s.FN * dout.step)
    sums = terms + filled(TERMS * max(term_size(x, width), term_size(dout, width)), ALIGNED)
    of_x, of_dout = (x.images * s.OH * s.OW + width) * FN, (dout.images * s.H * s.W + width) * C
    tiles = sums + filled(max(of_x, of_dout, (2 * x.rows * s.OW + 2) * 3 * width), ALIGNED)
    # int64 is two elements at most.
    entries = filled(2 * (max(tiles_at_a_time(x), tiles_at_a_time(dout)) + FILLED), ALIGNED)
    of_channels = filled(2 * (both + FILLED), ALIGNED)
    channels = tiles + 2 * entries
    end = channels + 2 * of_channels
    return TilingShares(
        factors, gradients, planes, seen, terms, sums, tiles, tiles + entries, channels, channels + of_channels, end
    )
