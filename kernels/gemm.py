"""The three matrix products of backpropagation, as register tiles.

    affine_forward          out = x @ W + b               (N, M) = (N, D) @ (D, M)
    affine_backward_params  dW = x.T @ dout, db           (D, M) = (D, N) @ (N, M)
    affine_backward_input   dx = dout @ W.T               (N, D) = (N, M) @ (M, D)

All three are one loop: a panel of B, a few vectors wide, is copied to scratch in the order in which it is read, and
tiles of rows of A sweep over it. A is read where it lies, but for a wide dW, and its elements are converted as they are
broadcast. What differs between the products is put in as functions when this module is loaded: how a tile
begins, how it is finished, how a panel is filled. `kernels.affine` gives them their signatures.

Every element of a result is summed in one order, which depends on the shapes of the whole product and not on the tile
it was computed in: chains of multiply-adds in the order of k, one for each panel, or for a few last columns and very
small batches a dot product, a vector of terms at a time. So a product may be cut into ranges [lo, hi) of rows anywhere:
the bits stay. One chain for all terms would be wrong in the fifth digit of float32 after 60,000 terms of one sign.

What the names mean: i, j, k count rows of the result, its columns, and the terms of a sum; M is the result's number of
columns and K the number of terms; lo and hi are a range of rows; `at` is an offset in elements.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from fastbp.kernels.codegen import TARGET, lanes
from fastbp.kernels.flags import inlined, merged
from fastbp.kernels.simd import (
    add,
    add_row_sums,
    aligned,
    equal,
    fma,
    fma_step,
    lanes_of,
    less_equal,
    load_clamped,
    load_masked,
    load_row,
    load_row_masked,
    pointer,
    reinterpret,
    row,
    rows_of,
    select,
    splat,
    store,
    store_masked,
    transpose,
    width_of,
    zeros,
)

MANY = TARGET.registers == 32

# Vectors and rows of a tile: the accumulators, one row of the panel and one broadcast must fit the registers.
# Share of the multiply-add peak at 784 terms: 8 x 3 all of it, 6 x 4 and 12 x 2 0.95, 16 x 1 0.78 (bound by loads).
# Two vectors for widths such as 16 or 32 columns more than a multiple: 3 to 6 % faster there, 1.2 s more to compile.
WIDE, ROWS = (3, 8) if MANY else (2, 6 if TARGET.fma else 4)
ROWS_NARROW = 12 if MANY else 8  # of the tile of one vector, for the last columns
FEW = 4  # rows of the tiles for the rows left over; 8 rows of one vector lose 7 % at 4096 x 10 x 10 dW
# Rows of a tile of dot products, and of the one for 6 to 8 rows. Of np.dot at 10 x 10 x 4096 dx, float32: 1.14 by
# 5 rows (10 are two whole tiles), 0.70 by 8; at 7 x 100 x 300 0.72 and 0.86. More rows pay for transposing W.
ROWS_DOT, FEW_DOT = (5, 8) if MANY else (4, 4)
DOT_DEPTH = 1024  # terms of a dot product before it is added to the result
SHORT = 4 if MANY else 2  # vectors of the tile of FEW rows that reads B where it lies; 6 lose a fifth
# Vectors of the tile of one row, and of the one for the columns left over: long stretches of B, unmasked, as memory
# gives them. Of np.dot at 1 x 784 x 512, float32: 0.97, by 6 masked vectors 0.69; at 1 x 784 x 50 1.42 and 0.80.
LINE, SHORT_LINE = (16, 4) if MANY else (8, 2)
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
# Twice the terms where a strip of results outgrows the second-level cache: 0.91 instead of 0.78 of np.dot at 1024 cubed
# in float64; 5 % slower at 512 columns.
PACK_DEPTH, PACK_DEEP_COLUMNS = 2 * DEPTH, 768


@lru_cache(maxsize=2)
def scratch_size(dtype):
    """Elements of scratch any of the products needs: what aligns it, a panel, and a part of A."""
    own = lanes(dtype)
    return own + max(DEEP * WIDE * own, PACK_DEPTH * (WIDE * own + HEIGHT), DOT_DEPTH * max(1, own // 4))


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
    sums: Any  # (M,): takes the column sums of B
    scratch: Any


class Panel(NamedTuple):
    """A part of B: the terms [k, k + depth) of the columns [j, j + width), filled up with zeros to whole vectors."""

    k: int
    depth: int
    first: bool  # the first terms of the sums
    last: bool  # the last ones: the result is finished
    j: int
    width: int
    summed: int  # columns whose sums are taken on the way: all, or none
    at: int  # in scratch
    a_at: int  # where in p.a the panel's first term of row 0 of A lies


# --- how a tile begins, and how it is finished ---


@merged
def _zero(tile, p, j, width):
    return splat(tile, 0.0)


@merged
def _bias(tile, p, j, width):
    return splat(tile, load_row_masked(tile, p.bias, j, width))


@merged
def _plain(acc, last, p, at, rows, width):
    return acc


@merged
def _relu(acc, last, p, at, rows, width):
    """max(acc, 0), NaN kept, and where it stopped."""
    if last:
        stop = less_equal(acc, 0.0)
        store_masked(stop, p.mask, at, p.M, rows, width)
        acc = select(stop, 0.0, acc)
    return acc


@merged
def _unmasked(acc, last, p, at, rows, width):
    """0 where the mask of the layer below is on."""
    if last:
        acc = select(equal(load_masked(acc, p.mask, at, p.M, rows, width), 0.0), acc, 0.0)
    return acc


@merged
def _added(acc, last, p, at, rows, width):
    """out + alpha * acc."""
    return fma(acc, p.alpha, load_masked(acc, p.out, at, p.M, rows, width))


# --- how a panel is filled: by the first tile that passes over it, or beforehand ---
# A copy of its own took 14,000 of 141,000 cycles at 100 x 784 x 48. Prefetching B ahead of the copy: no difference.


@merged
def _as_it_lies(tile, p, panel):
    pass


@inlined
def _transposed(tile, p, panel):
    """The panel from the transpose of B: square blocks, transposed in registers."""
    full, lanes = width_of(tile), lanes_of(tile)
    block = zeros(lanes_of(tile), 1, tile)
    for v in range(0, full, lanes):
        for k in range(0, panel.depth, lanes):
            at = (panel.j + v) * p.K + panel.k + k
            columns = load_masked(block, p.b, at, p.K, panel.width - v, panel.depth - k)
            store(transpose(columns), p.scratch, panel.at + k * full + v, full)


@merged
def _copying(tile, acc, rows, a_at, p, panel):
    """acc + A @ B for one tile, which fills the panel on the way."""
    for k in range(panel.depth):
        terms = load_row_masked(tile, p.b, (panel.k + k) * p.M + panel.j, panel.width)
        store(terms, p.scratch, panel.at + k * width_of(tile), 0)
        acc = fma_step(acc, p.a, a_at + k * p.a_k, p.a_row, rows, terms)
    return acc


@merged
def _copying_and_summing(tile, acc, rows, a_at, p, panel):
    """As _copying, and takes the column sums of B."""
    sums = splat(row(acc, 0), 0.0)
    for k in range(panel.depth):
        terms = load_row_masked(tile, p.b, (panel.k + k) * p.M + panel.j, panel.width)
        store(terms, p.scratch, panel.at + k * width_of(tile), 0)
        sums = add(sums, terms)
        acc = fma_step(acc, p.a, a_at + k * p.a_k, p.a_row, rows, terms)
    sums = add(sums, load_row_masked(tile, p.sums, panel.j, 0 if panel.first else panel.summed))
    store_masked(sums, p.sums, panel.j, 0, 1, panel.summed)
    return acc


@merged
def _reading(tile, acc, rows, a_at, p, panel):
    """acc + A @ B for one tile, with B from the panel."""
    for k in range(panel.depth):
        terms = load_row(tile, p.scratch, panel.at + k * width_of(tile))
        acc = fma_step(acc, p.a, a_at + k * p.a_k, p.a_row, rows, terms)
    return acc


# --- the loops ---


@merged
def _packed(p, k, depth, i, end, at):
    """The product with a copy of the terms [k, k + depth) of the rows [i, end) for A, the rows side by side."""
    a = reinterpret(p.scratch, at, p.a)
    tile = zeros(1, 1, a)
    for each in range(depth):
        for r in range(0, end - i, lanes_of(tile)):
            values = load_row_masked(tile, p.a, (k + each) * p.a_k + i + r, end - i - r)
            store(values, a, each * HEIGHT + r, 0)
    return Product(a, 1, HEIGHT, p.N, p.K, p.b, p.out, p.M, p.bias, p.mask, p.alpha, p.sums, p.scratch)


@merged
def _terms(p):
    """Terms of a panel in forward and dx, and so of a chain: by the rows of the whole product, not those of a range."""
    return DEEP if p.N > HEIGHT else DEPTH


def _product(begin, finish, fill, first_pass, packs=False, adds=False):
    """The function (tail, lo, hi, p): rows [lo, hi) of all but the last `tail` columns of a product."""

    @inlined
    def tile_step(tile, rows, i, fresh, p, panel):
        """Rows [i, i + rows) times one panel, which holds nothing yet if fresh."""
        at, a_at = i * p.M + panel.j, panel.a_at + i * p.a_row
        acc = splat(tile, 0.0)
        if panel.first:
            acc = begin(tile, p, panel.j, panel.width)
        if fresh:
            acc = first_pass(tile, acc, rows, a_at, p, panel)
        else:
            acc = _reading(tile, acc, rows, a_at, p, panel)
        if not (panel.first or adds):
            acc = add(acc, load_masked(tile, p.out, at, p.M, rows, panel.width))
        store_masked(finish(acc, panel.last, p, at, rows, panel.width), p.out, at, p.M, rows, panel.width)

    @merged
    def sweep(tile, few, lo, hi, p, panel):
        """Rows [lo, hi) times one panel."""
        fill(tile, p, panel)
        i = lo
        while i < hi:
            if hi - i >= rows_of(tile):
                tile_step(tile, rows_of(tile), i, i == lo, p, panel)
                i += rows_of(tile)
            else:
                tile_step(few, min(hi - i, rows_of(few)), i, i == lo, p, panel)
                i += rows_of(few)

    @merged
    def product(tail, lo, hi, p):
        at, lanes, columns = aligned(p.scratch), lanes_of(p.out), p.M - tail
        packed = packs and p.M >= PACK_COLUMNS
        most = DEPTH
        if packed and p.M >= PACK_DEEP_COLUMNS:
            most = PACK_DEPTH
        if not packs:
            most = _terms(p)
        blocks = max(1, (p.K + most - 1) // most)
        for i in range(lo, hi, HEIGHT):
            end = min(hi, i + HEIGHT)
            for block in range(blocks):
                k = p.K * block // blocks
                depth, first, last = p.K * (block + 1) // blocks - k, block == 0, block == blocks - 1
                q, a_at = p, k * p.a_k
                if packed:
                    q, a_at = _packed(p, k, depth, i, end, at + PACK_DEPTH * WIDE * lanes), -i
                j = 0
                while j < columns:
                    if columns - j > (WIDE - 1) * lanes:
                        width = min(WIDE * lanes, columns - j)
                        panel = Panel(k, depth, first, last, j, width, width if i == 0 else 0, at, a_at)
                        sweep(zeros(ROWS, WIDE, p.out), zeros(FEW, WIDE, p.out), i, end, q, panel)
                    else:
                        width = min(lanes, columns - j)
                        panel = Panel(k, depth, first, last, j, width, width if i == 0 else 0, at, a_at)
                        sweep(zeros(ROWS_NARROW, 1, p.out), zeros(FEW, 1, p.out), i, end, q, panel)
                    j += width

    return product


def _short(begin, finish):
    """The function (lo, hi, p): the product for a few rows; wide tiles read B once, where it lies."""

    @inlined
    def columns(tile, start, stop, lo, hi, p):
        full, rows = width_of(tile), hi - lo
        for j in range(start, stop, full):
            width, at = min(full, stop - j), lo * p.M + j
            total, chain = begin(tile, p, j, width), _terms(p)
            blocks = max(1, (p.K + chain - 1) // chain)
            for block in range(blocks):
                acc = splat(tile, 0.0)
                if block == 0:
                    acc = total
                for k in range(p.K * block // blocks, p.K * (block + 1) // blocks):
                    terms = load_row_masked(tile, p.b, k * p.M + j, width)
                    acc = fma_step(acc, p.a, lo * p.a_row + k, p.a_row, rows, terms)
                total = acc if block == 0 else add(acc, total)
            store_masked(finish(total, True, p, at, rows, width), p.out, at, p.M, rows, width)

    @inlined
    def line(tile, stop, i, p):
        for j in range(0, stop, width_of(tile)):
            at = i * p.M + j
            total, chain = begin(tile, p, j, width_of(tile)), _terms(p)
            blocks = max(1, (p.K + chain - 1) // chain)
            for block in range(blocks):
                acc = splat(tile, 0.0)
                if block == 0:
                    acc = total
                for k in range(p.K * block // blocks, p.K * (block + 1) // blocks):
                    acc = fma_step(acc, p.a, i * p.a_row + k, 0, 1, load_row(tile, p.b, k * p.M + j))
                total = acc if block == 0 else add(acc, total)
            store_masked(finish(total, True, p, at, 1, width_of(tile)), p.out, at, p.M, 1, width_of(tile))

    @merged
    def short(lo, hi, p):
        if hi - lo == 1:
            lines = p.M - p.M % (LINE * lanes_of(p.out))
            line(zeros(1, LINE, p.out), lines, lo, p)
            columns(zeros(1, SHORT_LINE, p.out), lines, p.M, lo, hi, p)
        else:
            columns(zeros(FEW, SHORT, p.out), 0, p.M, lo, hi, p)

    return short


@merged
def _columns_in_scratch(p, j, count, k, depth):
    """Copies columns of B, so that each is contiguous; returns where, where the first begins, and their distance."""
    at = aligned(p.scratch)
    for column in range(count):
        for each in range(depth):
            p.scratch[at + column * DOT_DEPTH + each] = p.b[(k + each) * p.M + j + column]
    return p.scratch, at, DOT_DEPTH


@merged
def _columns_as_rows(p, j, count, k, depth):
    """The same where B is given as its transpose: they are contiguous."""
    return p.b, j * p.K + k, p.K


def _dots(begin, finish, contiguous):
    """The function (tile, j, count, lo, hi, p): columns [j, j + count), at most a vector of them, as dot products."""

    @inlined
    def dots(tile, j, count, lo, hi, p):
        lanes = lanes_of(tile)
        blocks = max(1, (p.K + DOT_DEPTH - 1) // DOT_DEPTH)
        for block in range(blocks):
            k = p.K * block // blocks
            depth = p.K * (block + 1) // blocks - k
            b, b_at, step = contiguous(p, j, count, k, depth)
            for i in range(lo, hi, rows_of(tile)):
                rows, at, whole = min(hi - i, rows_of(tile)), i * p.M + j, depth - depth % lanes
                acc = begin(tile, p, j, count)
                if block > 0:
                    acc = load_masked(tile, p.out, at, p.M, rows, count)
                for column in range(0, count, 2):
                    other = min(column + 1, count - 1)
                    sum0, sum1 = splat(tile, 0.0), splat(tile, 0.0)
                    one, two, a_at = b_at + column * step, b_at + other * step, i * p.a_row + k
                    for each in range(0, whole, lanes):
                        terms = load_clamped(tile, p.a, a_at + each, p.a_row, rows)
                        sum0 = fma(terms, load_row(tile, b, one + each), sum0)
                        sum1 = fma(terms, load_row(tile, b, two + each), sum1)
                    if whole < depth:
                        left = depth - whole
                        terms = load_masked(tile, p.a, a_at + whole, p.a_row, rows, left)
                        sum0 = fma(terms, load_row_masked(tile, b, one + whole, left), sum0)
                        sum1 = fma(terms, load_row_masked(tile, b, two + whole, left), sum1)
                    acc = add_row_sums(acc, column, sum0)
                    if other > column:
                        acc = add_row_sums(acc, other, sum1)
                acc = finish(acc, block == blocks - 1, p, at, rows, count)
                store_masked(acc, p.out, at, p.M, rows, count)

    return dots


@merged
def _put(p, at, value):
    p.out[at] = value


@merged
def _put_added(p, at, value):
    p.out[at] += p.alpha * value


def _turned(put):
    """The function (tile, tail, lo, hi, p): the last columns of dW by vectors along its rows, where x is contiguous."""

    @inlined
    def turned(tile, tail, lo, hi, p):
        full, at = width_of(tile), aligned(p.scratch)
        for i in range(lo, hi, full):
            width = min(full, hi - i)
            for j in range(p.M - tail, p.M, rows_of(tile)):
                columns = min(p.M - j, rows_of(tile))
                total = splat(tile, 0.0)
                for start in range(0, p.K, DEPTH):
                    acc, end = splat(tile, 0.0), min(start + DEPTH, p.K)
                    if width == full:  # more masks than mask registers: half the speed
                        for k in range(start, end):
                            acc = fma_step(acc, p.b, k * p.M + j, 1, columns, load_row(tile, p.a, k * p.a_k + i))
                    else:
                        for k in range(start, end):
                            terms = load_row_masked(tile, p.a, k * p.a_k + i, width)
                            acc = fma_step(acc, p.b, k * p.M + j, 1, columns, terms)
                    total = add(total, acc)
                store(total, p.scratch, at, full)
                for c in range(columns):
                    for r in range(width):
                        put(p, (i + r) * p.M + j + c, p.scratch[at + c * full + r])
        if lo == 0:
            for j in range(p.M - tail, p.M):
                _column_sum(p, j)

    return turned


@merged
def _column_sum(p, j):
    """sums[j] = the sum of column j of B."""
    total = 0.0  # float64
    for k in range(p.K):
        total += p.b[k * p.M + j]
    p.sums[j] = total


@merged
def _tail(columns, terms, like):
    """How many last columns a vector would hold so few of that they are better computed in another way.

    A fourth, masked vector for 2 columns of 50 gave 0.66 of the peak at 100 x 784 x 50; dot products give 0.84.
    """
    lanes = lanes_of(like)
    return columns % lanes if columns % lanes <= lanes // 4 and terms >= 4 * lanes else 0


# --- the three products, for kernels that split their rows over threads ---


def _forward(finish):
    product, short = _product(_bias, finish, _as_it_lies, _copying), _short(_bias, finish)
    dots = _dots(_bias, finish, _columns_in_scratch)

    @merged
    def forward_rows(lo, hi, x, W, b, out, mask, scratch):
        D, M = W.shape
        tail = _tail(M, D, out) if x.shape[0] > FEW else 0
        W, b, out, scratch = pointer(W), pointer(b), pointer(out), pointer(scratch)
        p = Product(pointer(x), D, 1, x.shape[0], D, W, out, M, b, mask, None, None, scratch)
        if 0 < hi - lo <= FEW:
            short(lo, hi, p)
        else:
            product(tail, lo, hi, p)
        if tail and lo < hi:
            dots(zeros(ROWS_DOT, 1, out), M - tail, tail, lo, hi, p)

    return forward_rows


def _backward_params(finish, put, adds):
    product, turned = _product(_zero, finish, _as_it_lies, _copying_and_summing, True, adds), _turned(put)

    @merged
    def backward_params_rows(lo, hi, dout, x, alpha, dW, db, scratch):
        (N, D), M = x.shape, dout.shape[1]
        tail = _tail(M, D, dW)
        dW, scratch = pointer(dW), pointer(scratch)
        p = Product(pointer(x), 1, D, D, N, pointer(dout), dW, M, None, None, alpha, pointer(db), scratch)
        if D == 0:  # no tile passes over dout
            for j in range(M):
                _column_sum(p, j)
        product(tail, lo, hi, p)
        if tail:
            turned(zeros(2, TURNED, dW), tail, lo, hi, p)

    return backward_params_rows


def _backward_input(finish):
    product, dots = _product(_zero, finish, _transposed, _reading), _dots(_zero, finish, _columns_as_rows)

    @merged
    def backward_input_rows(lo, hi, dout, mask, W, dx, scratch):
        N, (D, M) = dout.shape[0], W.shape
        tail = _tail(D, M, dx)
        if (N <= FEW_DOT or D <= lanes_of(dx)) and M >= 256:  # too few rows to pay for transposing W
            tail = D
        dout, W, dx, scratch = pointer(dout), pointer(W), pointer(dx), pointer(scratch)
        if N == 1 and lo < hi:  # dx.T = W @ dout.T: the rows of both are read along
            p = Product(W, M, 1, D, M, dout, dx, 1, None, mask, None, None, scratch)
            dots(zeros(ROWS_DOT, 1, dx), 0, 1, 0, D, p)
        else:
            p = Product(dout, M, 1, N, M, W, dx, D, None, mask, None, None, scratch)
            product(tail, lo, hi, p)
            for j in range(D - tail, D, lanes_of(dx)):
                if ROWS_DOT < N <= FEW_DOT:
                    dots(zeros(FEW_DOT, 1, dx), j, min(D - j, lanes_of(dx)), lo, hi, p)
                else:
                    dots(zeros(ROWS_DOT, 1, dx), j, min(D - j, lanes_of(dx)), lo, hi, p)

    return backward_input_rows


forward_rows = _forward(_plain)
forward_relu_rows = _forward(_relu)
backward_params_rows = _backward_params(_plain, _put, adds=False)
update_params_rows = _backward_params(_added, _put_added, adds=True)
backward_input_rows = _backward_input(_plain)
backward_relu_input_rows = _backward_input(_unmasked)
