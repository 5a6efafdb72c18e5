"""A matrix product as the loops see it: its operands, how it is cut, and how a tile of it is finished.

i, j, k count rows of the result, its columns, and the terms of a sum; M is the result's number of columns and K the
number of terms; lo and hi are a range of rows; `at` is an offset in elements.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.tiles import (
    add,
    equal,
    fma,
    lanes_of,
    less_equal,
    load_masked,
    load_row_masked,
    same_dtype,
    select,
    store_masked,
)
from fastbp.kernels.tiles.target import CACHE_LINE, TARGET, lanes

MANY_REGISTERS = TARGET.registers == 32

# Vectors and rows of a tile: the accumulators, one row of the panel and one broadcast must fit the registers. Share of
# the multiply-add peak of the inner loop alone, float32. AVX-512: 8 x 3, 6 x 4 and 12 x 2 0.98, 12 x 1 0.81 (bound by
# loads). AVX2: 4 x 3 0.90, 6 x 2 0.81, 5 x 2 0.74; 3 x 4 spills, 0.52. Of 8 x 3 and 12 x 2 LLVM spills some for ARM.
# ROWS_TWO and ROWS_NARROW are those of the tiles of two vectors and of one, for the last columns.
if TARGET.vector_bytes == 64:
    WIDE, ROWS, ROWS_TWO, ROWS_NARROW = 3, 8, 12, 12
elif MANY_REGISTERS:
    WIDE, ROWS, ROWS_TWO, ROWS_NARROW = 3, 6, 10, 12
elif TARGET.fma:
    WIDE, ROWS, ROWS_TWO, ROWS_NARROW = 3, 4, 6, 8
else:
    WIDE, ROWS, ROWS_TWO, ROWS_NARROW = 2, 4, 4, 8
TILE_VECTORS = max(ROWS * WIDE, ROWS_TWO * 2, ROWS_NARROW)  # of the largest
FEW_ROWS = 4  # rows of the tiles for the rows left over; 8 rows of one vector lose 7 % at 4096 x 10 x 10 dW
# Rows of a tile of dot products, and of the one that is taken where it wastes fewer. Of np.dot at 10 x 10 x 4096 dx,
# float32: 1.14 by 5 rows (10 are two whole tiles), 0.70 by 8; at 16 x 16 x 1024 0.77 and 0.92. More than FEW_DOT rows
# pay for transposing W.
ROWS_DOT, FEW_DOT = (5, 8) if MANY_REGISTERS else (4, 4)
DOT_DEPTH = 1024  # terms of a dot product before it is added to the result, at most
DOT_VECTORS = 64  # the same in vectors: rows of A of that length stay in the first-level cache
# So many rows and columns of dx are dot products too, where a vector holds fewer columns: at 10 x 10 x 1000, float64,
# 0.88 and by panels 0.66; with 16 rows and 16 columns 0.75 and 1.1.
FEW_ROWS_OF_DOTS, COLUMNS_OF_DOTS = 12, 16
# A product reads B where it lies with up to so many terms or rows, by tiles of so many rows. With 130 terms dW takes
# 1.2 times as long at 100 x 784 x 512, in float64 1.4. With 8 rows panels take 1.2 times as long at 8 x 784 x 50.
FEW_TERMS, FEW_ROWS_OF_RESULT = 64, 16
ROWS_IN_PLACE = 8 if MANY_REGISTERS else 4
# So many terms where B has no more columns: of np.dot in forward, 65 cubed, float32: 1.11 instead of 0.94. In dW with
# AVX-512 alone, and more columns than a tile: 0.93 instead of 0.87 at 100 x 50 x 100; with AVX2 0.85 and 1.18 at 128
# cubed in float64, and where there are few columns 0.79 and 0.89 at 100 x 784 x 10.
SMALL_SIDE, SMALL_PARAMS = 130, TARGET.vector_bytes == 64
# With up to so many terms all columns of a row of tiles are made before the next row: down the columns, lines of the
# result left the caches between their two parts. Of np.dot at dW 1 x 1024 x 1024, float32, AVX2: 2.8 instead of 0.3.
VERY_FEW_TERMS = 16
# So many terms, FEW_TERMS else, where lines of a column of B, or of a row of x in dW, fall on one or two sets of the
# first-level cache; with more they are copied. Of np.dot with AVX2, float32: 0.99 instead of 0.77 at 64 x 32 x 2048
# (Zen 5), 1.01 instead of 0.66 at dW 16 x 16 x 1024 (Zen 4), 1.23 instead of 0.85 at dW 32 x 2048 x 64; with AVX-512 B
# in place is better by 15 %.
COLLIDING_TERMS, COLLIDING_TERMS_OF_X = FEW_TERMS if TARGET.vector_bytes == 64 else 8, 8
# Whether rows left over are done by fives where these are fewer than eights and fours. Of np.dot in forward with
# AVX-512, float32: 1.12 instead of 0.93 at 13 x 97 x 201, 1.15 and 0.96 at 10 x 10 x 1000 (Zen 4).
FIVES = MANY_REGISTERS
VECTORS_OF_FEW_ROWS = 4 if MANY_REGISTERS else 2  # of the tile for at most FEW_ROWS of forward; 6 lose a fifth
# The same of the tile for two rows, where there are more columns. Of np.dot at 2 x 784 x 50, AVX-512: 1.15 in float64
# and 1.81 in float32, by tiles of four rows 0.75 and 0.99 (Zen 4).
VECTORS_OF_TWO_ROWS = 8 if MANY_REGISTERS else 4
# Vectors of the tile of one row, and of the one for the columns left over: long stretches of B, unmasked, as memory
# gives them. Of np.dot at 1 x 784 x 512, float32: 0.97, by 6 masked vectors 0.69; at 1 x 784 x 50 1.42 and 0.80.
VECTORS_OF_ROW, LAST_VECTORS_OF_ROW = (16, 4) if MANY_REGISTERS else (8, 2)
# From how many bytes of B on eight whole rows of it are read side by side instead, so many columns, by tiles of so many
# vectors. Of np.dot at 1 x 512 x 512, float32, AVX2: 1.02, by lines 0.78; at 1 x 1024 x 1024 1.04 and 0.77. With
# AVX-512 a line is twice as long and as good (Zen 5), but where B is beyond the caches (a Xeon: 0.72).
STREAMED_BYTES = 15 << 18 if MANY_REGISTERS else 1 << 16
STREAM_VECTORS, STREAM_COLUMNS = 4, 2048
# Vectors of a tile along the rows of dW; 8 and 10 no faster, 12 spill masks.
LAST_COLUMNS_VECTORS = 6 if MANY_REGISTERS else 4

# So many columns of dW, and more than half as many, are made as rows of its transpose where a vector holds more, by
# tiles of so many vectors. Of np.dot with AVX-512, float32: 1.26 instead of 0.80 at 100 x 784 x 10, 1.30 instead of
# 0.95 at 1000 x 50 x 10; two columns at a time, by six vectors, 0.85 and 0.89 (Zen 4).
TURNED_COLUMNS, TURNED_VECTORS = 10, 2

# Terms of a panel. 24 KiB leave room beside it in the first-level cache: 131,000 cycles at 100 x 784 x 48, with 192 KiB
# 146,000. Where many rows pass over it fewer and longer tiles win: 4 % at 1024 cubed.
DEPTH = 24 * 1024 // (WIDE * TARGET.vector_bytes)
LONG_DEPTH = 4 * DEPTH
HEIGHT = 240  # rows of A that pass over a panel before the next: with their results in the second-level cache

# In dW a cache line from each of many rows of x is read: where enough columns of the result use it, a part of x is
# copied first, its columns turned to rows. At 1024 cubed, float32, 128 such lines fall on one set of the first-level
# cache: 0.80 of np.dot's rate without the copy, 0.95 with it. With AVX2 a tile is half a line or a quarter wide: copied
# but not turned, 512 cubed in float64 has 0.92 of np.dot's rate, turned 0.99 (Zen 4).
PACK_COLUMNS = 192
# Elements of B from which on the next panel is prefetched: 4 % of a step of 784-512-512-10; of np.dot at dW of 1000
# cubed, float64, AVX2: 0.96 instead of 0.81 (Zen 4).
PREFETCHED_SIZE = 100_000
# Twice the terms in dW, where x is copied and many rows pass over a panel: its result passes through the caches half as
# often. Four times 1 % faster with AVX-512 and as much slower with AVX2.
PACK_DEPTH = 2 * DEPTH
PACK_ROW = PACK_DEPTH + 8  # elements from one packed row to the next: not a power of two


@lru_cache(maxsize=2)
def scratch_size(dtype):
    """Elements of scratch any of the products needs: what aligns it, a tile, a panel, and a part of A."""
    own = lanes(dtype)
    return (
        own
        + TILE_VECTORS * own
        + max(LONG_DEPTH * WIDE * own, PACK_DEPTH * WIDE * own + PACK_ROW * HEIGHT, DOT_DEPTH * max(1, own // 4))
    )


FORWARD, PARAMS, INPUT = range(3)  # kinds of products: out = x @ W + b, dW = x.T @ dout, dx = dout @ W.T


class Ahead(NamedTuple):
    """What the tiles of dW ask for meanwhile: rows of the data set for the next batch, one for each tile."""

    x: Any  # as bytes
    size: int  # bytes of a row, 0 where there is nothing to ask for
    rows: Any  # indices of the batch's samples, of which [lo, hi)
    lo: int
    hi: int
    start: int  # the tiles are those of the rows [start, stop) of the result, and the first of its columns; or none
    stop: int
    left: int


class Next(NamedTuple):
    """Samples of the next batch, which are asked for meanwhile."""

    x: Any  # as bytes
    size: int  # bytes of a sample, 0 where there is nothing to ask for
    rows: Any  # which samples, of which [lo, hi)
    lo: int
    hi: int


class Product(NamedTuple):
    """out = A @ B as all the loops see it: pointers, and strides in elements; any where it has no use for one."""

    kind: int
    a: Any  # A[i, k] = a[i * a_row + k * a_k]
    a_row: int
    a_k: int
    N: int  # rows of the result, all of them
    K: int  # terms of each sum
    b: Any  # B (K, M), or its transpose (M, K)
    out: Any
    M: int
    bias: Any  # (M,); in dW where the sums of the columns of B go
    mask: Any  # as out: written by ReLU, read by its backward
    alpha: Any  # what the sums are multiplied with before they are added to out
    fused: Any  # whether a finished tile goes through what is fused with the product
    scratch: Any


@inlined
def few_last_columns(columns, terms, like):
    """How many last columns a vector would hold so few of that they are better computed in another way.

    A fourth, masked vector for 2 columns of 50 gave 0.66 of the peak at 100 x 784 x 50; dot products give 0.84.
    """
    lanes = lanes_of(like)
    return columns % lanes if columns % lanes <= lanes // 4 and terms >= 4 * lanes else 0


# --- how a tile is finished ---


@inlined
def bias_of(tile, p, j, width):
    """What is added to the columns [j, j + width): a row, of zeros where there is no bias."""
    return load_row_masked(tile, p.bias, j, width if p.kind == FORWARD else 0)


@inlined
def finish(acc, bias, p, at, rows, width):
    """Forward: + bias, if fused max(acc, 0), NaN kept, and where it stopped. dx: if fused 0 where the mask is on."""
    if p.kind == FORWARD:
        acc = add(acc, bias)
        if p.fused:
            stop = less_equal(acc, 0.0)
            store_masked(stop, p.mask, at, p.M, rows, width)
            acc = select(stop, 0.0, acc)
    elif p.kind == INPUT and p.fused:
        acc = select(equal(load_masked(acc, p.mask, at, p.M, rows, width), 0.0), acc, 0.0)
    return acc


@inlined
def add_or_finish(acc, bias, p, at, rows, width):
    """The same for any product. dW: if fused out + alpha * acc."""
    if p.kind == PARAMS and p.fused:
        acc = fma(acc, p.alpha, load_masked(acc, p.out, at, p.M, rows, width))
    return finish(acc, bias, p, at, rows, width)


@inlined
def lines_collide(stride, like):
    """Whether rows so many elements apart begin in one or two sets of a first-level cache of 64 sets."""
    return stride * (TARGET.vector_bytes // lanes_of(like)) % (32 * CACHE_LINE) == 0


@inlined
def chain_length(p):
    """Terms of a panel in forward and dx, and so of a chain: by the rows of the whole product, not those of a range."""
    if p.N <= HEIGHT:
        return DEPTH
    return LONG_DEPTH if same_dtype(p.a, p.out) else PACK_DEPTH
