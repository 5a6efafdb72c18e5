"""A matrix product as the loops see it: its operands, how it is cut, and how a tile of it begins and is finished.

i, j, k count rows of the result, its columns, and the terms of a sum; M is the result's number of columns and K the
number of terms; lo and hi are a range of rows; `at` is an offset in elements.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from fastbp.kernels.build.flags import merged
from fastbp.kernels.tiles import (
    equal,
    fma,
    less_equal,
    load_masked,
    load_row_masked,
    same_dtype,
    select,
    splat,
    store_masked,
)
from fastbp.kernels.tiles.target import TARGET, lanes

MANY = TARGET.registers == 32

# Vectors and rows of a tile: the accumulators, one row of the panel and one broadcast must fit the registers.
# Share of the multiply-add peak at 784 terms: 8 x 3 all of it, 6 x 4 and 12 x 2 0.95, 16 x 1 0.78 (bound by loads).
WIDE, ROWS = (3, 8) if MANY else (2, 6 if TARGET.fma else 4)
# Of the tiles for the last columns. That of two vectors makes 512 columns 1 to 4 % faster, and compiles 20 % longer.
ROWS_TWO, ROWS_NARROW = 12, 12 if MANY else 8
FEW = 4  # rows of the tiles for the rows left over; 8 rows of one vector lose 7 % at 4096 x 10 x 10 dW
# Rows of a tile of dot products, and of the one that is taken where it wastes fewer. Of np.dot at 10 x 10 x 4096 dx,
# float32: 1.14 by 5 rows (10 are two whole tiles), 0.70 by 8; at 16 x 16 x 1024 0.77 and 0.92. More than FEW_DOT rows
# pay for transposing W.
ROWS_DOT, FEW_DOT = (5, 8) if MANY else (4, 4)
DOT_DEPTH = 1024  # terms of a dot product before it is added to the result
SHORT = 4 if MANY else 2  # vectors of the tile of FEW rows that reads B where it lies; 6 lose a fifth
# Vectors of the tile of one row, and of the one for the columns left over: long stretches of B, unmasked, as memory
# gives them. Of np.dot at 1 x 784 x 512, float32: 0.97, by 6 masked vectors 0.69; at 1 x 784 x 50 1.42 and 0.80.
LINE, SHORT_LINE = (16, 4) if MANY else (8, 2)
# Where B is larger than a second-level cache: rows at a time, and columns. Of np.dot at 1 x 1024 x 1024: 0.99, by long
# lines 0.72 in float32 and 0.76 in float64; prefetching them 8 rows ahead 0.6. At 1 x 512 x 512: 0.77, by lines 1.13.
STREAMED, STREAM_ROWS, STRETCH = 7 << 18, 8, 2048
TURNED = 6 if MANY else 4  # vectors of a tile along the rows of dW; 8 and 10 no faster, 12 spill masks

# Terms of a panel. 24 KiB leave room beside it in the first-level cache: 131,000 cycles at 100 x 784 x 48, with 192 KiB
# 146,000. Where many rows pass over it fewer and longer tiles win: 4 % at 1024 cubed.
DEPTH = 24 * 1024 // (WIDE * TARGET.vector_bytes)
DEEP = 4 * DEPTH
HEIGHT = 240  # rows of A that pass over a panel before the next: with their results in the second-level cache

# In dW a cache line from each of many rows of x is read: where enough columns of the result use it, a part of x is
# copied first, its rows side by side. At 1024 cubed, float32, 128 such lines fall on one set of the first-level cache:
# 0.80 of np.dot's rate without the copy, 0.95 with it.
PACK_COLUMNS = 192
FAR = 100_000  # elements of B from which on the next panel is asked for ahead: 4 % of a step of 784-512-512-10
# Twice the terms where a strip of results outgrows the second-level cache: 0.91 instead of 0.78 of np.dot at 1024 cubed
# in float64; 5 % slower at 512 columns.
PACK_DEPTH, PACK_DEEP_COLUMNS = 2 * DEPTH, 768
PACK_ROW = PACK_DEPTH + 8  # elements from one packed row of forward to the next: not a power of two


@lru_cache(maxsize=2)
def scratch_size(dtype):
    """Elements of scratch any of the products needs: what aligns it, a panel, and a part of A."""
    own = lanes(dtype)
    return own + max(DEEP * WIDE * own, PACK_DEPTH * WIDE * own + PACK_ROW * HEIGHT, DOT_DEPTH * max(1, own // 4))


class Ahead(NamedTuple):
    """What the tiles of dW ask for meanwhile: rows of the data set for the next batch, one for each tile."""

    x: Any  # as bytes
    size: int  # bytes of a row, 0 where there is nothing to ask for
    rows: Any  # indices of the batch's samples, of which [lo, hi)
    lo: int
    hi: int
    start: int  # the tiles are those of the rows [start, stop) of the result, and the first of its columns
    stop: int
    left: int


class Product(NamedTuple):
    """out = A @ B as all the loops see it: pointers, and strides in elements; None where it has no use for one."""

    a: Any  # A[i, k] = a[i * a_row + k * a_k]
    a_row: int
    a_k: int
    N: int  # rows of the result, all of them
    K: int  # terms of each sum
    b: Any  # B (K, M), or its transpose (M, K)
    out: Any
    M: int
    bias: Any  # (M,)
    mask: Any  # as out: written by ReLU, read by its backward
    alpha: Any  # what the sums are multiplied with before they are added to out
    fused: Any  # whether a finished tile goes through what is fused with the product
    sums: Any  # (M,): takes the column sums of B
    scratch: Any
    ahead: Any  # an Ahead


# --- how a tile begins, and how it is finished ---


@merged
def begin_zero(tile, p, j, width):
    return splat(tile, 0.0)


@merged
def begin_bias(tile, p, j, width):
    return splat(tile, load_row_masked(tile, p.bias, j, width))


# A finished tile. `fused` may be known when a kernel is compiled, or be a number at run time: one branch a tile.


@merged
def relu(acc, last, p, at, rows, width):
    """If fused max(acc, 0), NaN kept, and where it stopped."""
    if last and p.fused:
        stop = less_equal(acc, 0.0)
        store_masked(stop, p.mask, at, p.M, rows, width)
        acc = select(stop, 0.0, acc)
    return acc


@merged
def unmasked(acc, last, p, at, rows, width):
    """If fused 0 where the mask of the layer below is on."""
    if last and p.fused:
        acc = select(equal(load_masked(acc, p.mask, at, p.M, rows, width), 0.0), acc, 0.0)
    return acc


@merged
def added(acc, last, p, at, rows, width):
    """If fused out + alpha * acc."""
    if p.fused:
        acc = fma(acc, p.alpha, load_masked(acc, p.out, at, p.M, rows, width))
    return acc


@merged
def chain_length(p):
    """Terms of a panel in forward and dx, and so of a chain: by the rows of the whole product, not those of a range."""
    if p.N <= HEIGHT:
        return DEPTH
    return DEEP if same_dtype(p.a, p.out) else PACK_DEPTH
