"""What panels are no good for: a few rows, a few columns, one term, one element."""

from fastbp.kernels.build.flags import inlined, merged
from fastbp.kernels.matmul.product import (
    DEPTH,
    DOT_DEPTH,
    FEW,
    LINE,
    SHORT,
    SHORT_LINE,
    STREAM_ROWS,
    STREAMED,
    STRETCH,
    chain_length,
)
from fastbp.kernels.tiles import (
    add,
    add_row_sums,
    aligned,
    first_element,
    fma,
    fma_step,
    lanes_of,
    load_clamped,
    load_masked,
    load_row,
    load_row_masked,
    row_sum,
    rows_of,
    splat,
    store,
    store_masked,
    store_row_masked,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.target import TARGET


@merged
def _whole(tile, data, at, width):
    return load_row(tile, data, at)


@merged
def _part(tile, data, at, width):
    return load_row_masked(tile, data, at, width)


def _columns(begin, finish, load):
    """The function (tile, start, stop, lo, hi, p): the columns [start, stop) of the rows [lo, hi), all in one tile."""

    @inlined
    def columns(tile, start, stop, lo, hi, p):
        full, rows = width_of(tile), hi - lo
        for j in range(start, stop, full):
            width, at = min(full, stop - j), lo * p.M + j
            total, chain = begin(tile, p, j, width), chain_length(p)
            blocks = max(1, (p.K + chain - 1) // chain)
            for block in range(blocks):
                acc = splat(tile, 0.0)
                if block == 0:
                    acc = total
                for k in range(p.K * block // blocks, p.K * (block + 1) // blocks):
                    terms = load(tile, p.b, k * p.M + j, width)
                    acc = fma_step(acc, p.a, lo * p.a_row + k, p.a_row, rows, terms)
                total = acc if block == 0 else add(acc, total)
            store_masked(finish(total, True, p, at, rows, width), p.out, at, p.M, rows, width)

    return columns


def few_rows(begin, finish):
    """The function (lo, hi, p): the product for a few rows; wide tiles read B once, where it lies."""
    columns, whole_columns = _columns(begin, finish, _part), _columns(begin, finish, _whole)

    @inlined
    def stream(tile, i, p):
        """One row against a B beyond the caches: long stretches of a few rows of it at a time, the sums in scratch."""
        full, chain, sums = width_of(tile), chain_length(p), aligned(p.scratch)
        blocks, totals = max(1, (p.K + chain - 1) // chain), sums + STRETCH
        for start in range(0, p.M, STRETCH):
            stop = min(start + STRETCH, p.M)
            for block in range(blocks):
                first, end = p.K * block // blocks, p.K * (block + 1) // blocks
                for k in range(first, max(end, 1), STREAM_ROWS):
                    last = min(k + STREAM_ROWS, end)
                    for j in range(start, stop, full):
                        width, acc = min(full, stop - j), splat(tile, 0.0)
                        if k > first:
                            acc = load_row(tile, p.scratch, sums + j - start)
                        elif block == 0:
                            acc = begin(tile, p, j, width)
                        for each in range(k, last):
                            terms = load_row_masked(tile, p.b, each * p.M + j, width)
                            acc = fma_step(acc, p.a, i * p.a_row + each, 0, 1, terms)
                        if last < end:
                            store(acc, p.scratch, sums + j - start, 0)
                        else:
                            if block > 0:
                                acc = add(acc, load_row(tile, p.scratch, totals + j - start))
                            if block < blocks - 1:
                                store(acc, p.scratch, totals + j - start, 0)
                            else:
                                at = i * p.M + j
                                store_masked(finish(acc, True, p, at, 1, width), p.out, at, p.M, 1, width)

    @merged
    def short(lo, hi, p):
        if hi - lo == 1:
            if p.K * p.M * (TARGET.vector_bytes // lanes_of(p.out)) > STREAMED:
                stream(zeros(1, SHORT_LINE, p.out), lo, p)
            else:
                lines = p.M - p.M % (LINE * lanes_of(p.out))
                whole_columns(zeros(1, LINE, p.out), 0, lines, lo, hi, p)
                columns(zeros(1, SHORT_LINE, p.out), lines, p.M, lo, hi, p)
        else:
            columns(zeros(FEW, SHORT, p.out), 0, p.M, lo, hi, p)

    return short


@merged
def columns_in_scratch(p, j, count, k, depth):
    """Copies columns of B, so that each is contiguous; returns where, where the first begins, and their distance."""
    if p.M == 1:
        return p.b, k, 1
    at = aligned(p.scratch)
    for column in range(count):
        for each in range(depth):
            p.scratch[at + column * DOT_DEPTH + each] = p.b[(k + each) * p.M + j + column]
    return p.scratch, at, DOT_DEPTH


@merged
def columns_as_rows(p, j, count, k, depth):
    """The same where B is given as its transpose: they are contiguous."""
    return p.b, j * p.K + k, p.K


def dot_products(begin, finish, contiguous):
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
    p.out[at] = p.out[at] + p.alpha * value if p.fused else value


@inlined
def turned_columns(tile, tail, lo, hi, p):
    """The last columns of dW by vectors along its rows, where x is contiguous."""
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
                    _put(p, (i + r) * p.M + j + c, p.scratch[at + c * full + r])
    if lo == 0:
        for j in range(p.M - tail, p.M):
            column_sum(p, j)


@merged
def column_sum(p, j):
    """sums[j] = the sum of column j of B."""
    total = 0.0  # float64
    if p.M == 1:
        tile = zeros(1, 4, p.out)
        for start in range(0, p.K, DOT_DEPTH):
            end, acc = min(start + DOT_DEPTH, p.K), splat(tile, 0.0)
            for k in range(start, end, width_of(tile)):
                acc = add(acc, load_row_masked(tile, p.b, k, end - k))
            total += row_sum(acc, 0)
    else:
        for k in range(p.K):
            total += p.b[k * p.M + j]
    p.sums[j] = total


@merged
def row_as_sums(p):
    """sums = B, which has one row."""
    tile = zeros(1, 4, p.out)
    for j in range(0, p.M, width_of(tile)):
        store_row_masked(load_row_masked(tile, p.b, j, p.M - j), p.sums, j, p.M - j)


def single_terms(begin, finish):
    """The function (lo, hi, p): a column times a number, contiguous: 1000 x 1 x 1, and the like."""

    @merged
    def one_term(lo, hi, p):
        tile, start = zeros(1, 4, p.out), first_element(begin(zeros(1, 1, p.out), p, 0, 1))
        for i in range(lo, hi, width_of(tile)):
            width = min(hi - i, width_of(tile))
            acc = fma(load_row_masked(tile, p.a, i, width), p.b[0], splat(tile, start))
            store_masked(finish(acc, True, p, i, 1, width), p.out, i, p.M, 1, width)

    return one_term


def single_element(begin, finish):
    """The function (p) for a result of one element, a and b contiguous: a vector of terms at a time."""

    @merged
    def inner(p):
        tile, total = zeros(1, 4, p.out), 0.0  # float64
        for start in range(0, p.K, DOT_DEPTH):
            end, acc = min(start + DOT_DEPTH, p.K), splat(tile, 0.0)
            for k in range(start, end, width_of(tile)):
                acc = fma(load_row_masked(tile, p.a, k, end - k), load_row_masked(tile, p.b, k, end - k), acc)
            total += row_sum(acc, 0)
        one = zeros(1, 1, p.out)
        store_masked(finish(add(begin(one, p, 0, 1), total), True, p, 0, 1, 1), p.out, 0, 1, 1, 1)

    return inner
