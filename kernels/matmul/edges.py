"""What panels are no good for: a few columns, one term, one element."""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.matmul.product import (
    DEPTH,
    DOT_DEPTH,
    DOT_VECTORS,
    add_or_finish,
    bias_of,
    finish,
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
    load_transposed,
    mul,
    row,
    row_sum,
    rows_of,
    splat,
    store,
    store_masked,
    store_row_masked,
    width_of,
    zeros,
)


@inlined
def columns_in_scratch(p, j, count, k, depth):
    """Copies columns of B, so that each is contiguous; returns where, where the first begins, and their distance."""
    if p.M == 1:
        return p.b, k, 1
    at = aligned(p.scratch)
    for column in range(count):
        for each in range(depth):
            p.scratch[at + column * DOT_DEPTH + each] = p.b[(k + each) * p.M + j + column]
    return p.scratch, at, DOT_DEPTH


@inlined
def columns_as_rows(p, j, count, k, depth):
    """The same where B is given as its transpose: they are contiguous."""
    return p.b, j * p.K + k, p.K


def dot_products(contiguous):
    """The function (tile, j, count, lo, hi, p): columns [j, j + count), at most a vector of them, as dot products."""

    @inlined
    def dots(tile, j, count, lo, hi, p):
        lanes = lanes_of(tile)
        most = DOT_VECTORS * lanes
        blocks = max(1, (p.K + most - 1) // most)
        for block in range(blocks):
            k = p.K * block // blocks
            depth = p.K * (block + 1) // blocks - k
            b, b_at, step = contiguous(p, j, count, k, depth)
            for i in range(lo, hi, rows_of(tile)):
                rows, at, whole = min(hi - i, rows_of(tile)), i * p.M + j, depth - depth % lanes
                acc = splat(tile, 0.0)
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
                if block == blocks - 1:
                    acc = finish(acc, bias_of(tile, p, j, count), p, at, rows, count)
                store_masked(acc, p.out, at, p.M, rows, count)

    return dots


@inlined
def _put(p, at, value):
    p.out[at] = p.out[at] + p.alpha * value if p.fused else value


@inlined
def put_columns(columns, width, i, j, at, full, p):
    """Columns from j on of the rows [i, i + width) of dW, each as it lies in scratch, so many elements apart."""
    for c in range(columns):
        for r in range(width):
            _put(p, (i + r) * p.M + j + c, p.scratch[at + c * full + r])


@inlined
def last_columns_of_dW(tile, tail, lo, hi, p):
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
            put_columns(columns, width, i, j, at, full, p)


@inlined
def turned_dW(tile, lo, hi, p):
    """dW of no more columns than the tile has rows: its transpose, by vectors along its rows, where x is contiguous."""
    full, at, block = width_of(tile), aligned(p.scratch), zeros(lanes_of(tile), 1, p.out)
    for i in range(lo, hi, full):
        width, total = min(full, hi - i), splat(tile, 0.0)
        for start in range(0, p.K, DEPTH):
            acc = splat(tile, 0.0)
            for k in range(start, min(start + DEPTH, p.K)):
                acc = fma_step(acc, p.b, k * p.M, 1, p.M, load_row_masked(tile, p.a, k * p.a_k + i, width))
            total = add(total, acc)
        store(total, p.scratch, at, full)
        for r in range(0, width, rows_of(block)):
            to, rows = (i + r) * p.M, width - r
            acc = load_transposed(block, p.scratch, at + r, full)
            acc = add_or_finish(acc, splat(row(block, 0), 0.0), p, to, rows, p.M)
            store_masked(acc, p.out, to, p.M, rows, p.M)


SUM_DEPTH = 256  # terms before they are added to the sum of all: of 60,000 in float32, 1024 lose a fifth of a digit


@inlined
def _sums(tile, width, K, M, b, j):
    """The sums of `width` columns from j on, each in as many chains as the tile has rows."""
    rows, total = rows_of(tile), splat(tile, 0.0)
    for start in range(0, K, SUM_DEPTH):
        end, acc = min(start + SUM_DEPTH, K), splat(tile, 0.0)
        last = end - (end - start) % rows
        for k in range(start, last, rows):
            acc = add(acc, load_masked(tile, b, k * M + j, M, rows, width))
        if last < end:
            acc = add(acc, load_masked(tile, b, last * M + j, M, end - last, width))
        total = add(total, acc)
    return total


@shared
def column_sums(left, right, K, M, b, sums):
    """sums = the sums of the columns [left, right) of B (K, M)."""
    if M == 1:
        tile, total = zeros(1, 4, sums), 0.0  # float64
        for start in range(0, K, DOT_DEPTH):
            end, acc = min(start + DOT_DEPTH, K), splat(tile, 0.0)
            for k in range(start, end, width_of(tile)):
                acc = add(acc, load_row_masked(tile, b, k, end - k))
            total += row_sum(acc, 0)
        sums[0] = total
    else:
        wide, narrow = zeros(2, 4, sums), zeros(8, 1, sums)
        # By M and not by the range: a column has the same chains whichever part of the columns it is made with.
        first = M - M % width_of(wide)
        last = max(left, min(first, right))
        for j in range(left, last, width_of(wide)):
            if j + width_of(wide) <= last:
                two = _sums(wide, width_of(wide), K, M, b, j)
                store(add(row(two, 0), row(two, 1)), sums, j, 0)
            else:
                two = _sums(wide, last - j, K, M, b, j)
                store_row_masked(add(row(two, 0), row(two, 1)), sums, j, last - j)
        for j in range(last, right, width_of(narrow)):
            width = min(width_of(narrow), right - j)
            eight = _sums(narrow, width, K, M, b, j)
            total = add(add(row(eight, 0), row(eight, 1)), add(row(eight, 2), row(eight, 3)))
            total = add(total, add(add(row(eight, 4), row(eight, 5)), add(row(eight, 6), row(eight, 7))))
            store_row_masked(total, sums, j, width)


@shared
def single_terms(lo, hi, p):
    """A column times a number, contiguous: 1000 x 1 x 1, and the like."""
    tile, one = zeros(1, 4, p.out), zeros(1, 1, p.out)
    bias = splat(tile, first_element(bias_of(one, p, 0, 1)))
    for i in range(lo, hi, width_of(tile)):
        width = min(hi - i, width_of(tile))
        acc = mul(load_row_masked(tile, p.a, i, width), p.b[0])
        store_masked(add_or_finish(acc, bias, p, i, 1, width), p.out, i, p.M, 1, width)


@shared
def single_element(p):
    """A result of one element, a and b contiguous: a vector of terms at a time."""
    tile, one, total = zeros(1, 4, p.out), zeros(1, 1, p.out), 0.0  # float64
    for start in range(0, p.K, DOT_DEPTH):
        end, acc = min(start + DOT_DEPTH, p.K), splat(tile, 0.0)
        for k in range(start, end, width_of(tile)):
            acc = fma(load_row_masked(tile, p.a, k, end - k), load_row_masked(tile, p.b, k, end - k), acc)
        total += row_sum(acc, 0)
    store_masked(add_or_finish(splat(one, total), bias_of(one, p, 0, 1), p, 0, 1, 1), p.out, 0, 1, 1, 1)
