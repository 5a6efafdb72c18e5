"""Products of samples that are mostly zeros, as images are, read where they lie: zeros that come together are skipped.

    add_products      x @ W, two samples at a time
    outer_products    makes functions of x.T @ dout, or W += alpha · that, two or four columns of x at a time

Samples begin where `places` says; in `outer_products`, where a function of `nonzeros` says. Rows of W, of the products
and of the gradient are padded to `stride` (`padded_columns`) with zeros. Samples and columns go together wherever one
of them is not zero: neighbours mostly are zero together, what they are multiplied with is loaded once for all, and
their sums don't wait for each other. W and the gradient must be finite, as 0 · inf is NaN.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.loop.compress import OVERRUN
from fastbp.kernels.nonzeros import (
    MOST_ROWS,
    columns_not_zero,
    columns_together,
    lowest_bit,
    marking,
)
from fastbp.kernels.tiles import (
    fma,
    fma_step,
    lanes_of,
    load_masked,
    load_row,
    moved,
    prefetch_line,
    rows_of,
    splat,
    store_masked,
    total,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.target import CACHE_LINE, TARGET

# Vectors of the result at a time, also where there are fewer: 7 hold the book's 50 columns in float64 of AVX-512. With
# half as many registers 7 take as long as 8 in forward, for gradients 1.2 times as long (EPYC of Zen 5, AVX2).
MANY_REGISTERS = TARGET.registers == 32
WIDTHS = (4, 7) if MANY_REGISTERS else (4,)
# Samples whose results are summed together; and columns of x whose gradients are, for each of WIDTHS.
ROWS, COLUMNS = 2, (4 if MANY_REGISTERS else 2, 2)
CHUNK = 64  # samples at a time, whose results stay in the caches
# Of W, that all samples of a chunk pass over: with 32 and 64 KiB forward of 100 x 784 x 50 takes 1.1 and 1.0 times as
# long (EPYC of Zen 5, 48 KiB of first-level cache). Where rows of W are long it is at least so many of them.
BLOCK_BYTES, LEAST_HEIGHT = 48 * 1024, 64
TOGETHER = 2 * MOST_ROWS  # samples that make one sum of a gradient: two words of bits for each column of x


def padded_to(widths, M, lanes):
    """The stride for M columns, in vectors of so many lanes: the least multiple of one of the widths, in vectors."""
    vectors = -(-M // lanes)
    return lanes * min(-(-vectors // width) * width for width in widths)


def padded_columns(M, lanes):
    """The stride for M columns, by WIDTHS."""
    return padded_to(WIDTHS, M, lanes)


def columns_size(D):
    """Elements for the columns that aren't zero, and what may be overwritten behind them."""
    return D + OVERRUN


def words_size(D):
    """Words of bits, of D columns."""
    return 2 * D


@inlined
def by_seven(stride, like):
    """Whether seven vectors at a time pass over rows of this stride."""
    return stride // lanes_of(like) % 7 == 0


@inlined
def block_height(stride, like):
    """Rows of W that make a block."""
    return max(BLOCK_BYTES // (stride * (TARGET.vector_bytes // lanes_of(like))) // 16 * 16, LEAST_HEIGHT)


@inlined
def _add_products(tile, count, places, k, height, x, W, stride, product, columns, ahead):
    line = CACHE_LINE * columns_together(x) // TARGET.vector_bytes
    for i in range(0, count, rows_of(tile)):
        rows, at = min(rows_of(tile), count - i), places[i]
        samples, step = moved(x, at + k), places[i + 1] - at
        for row in range(rows if ahead > 0 else 0):
            for column in range(0, height, line):
                prefetch_line(samples, row * step + ahead + column)
        found = columns_not_zero(tile, rows, step, height, samples, columns)
        for j in range(0, stride, width_of(tile)):
            acc = splat(tile, 0.0)
            if k > 0:
                acc = load_masked(tile, product, i * stride + j, stride, rows, stride - j)
            for n in range(found):
                column = columns[n]
                acc = fma_step(acc, samples, column, step, rows, load_row(tile, W, (k + column) * stride + j))
            store_masked(acc, product, i * stride + j, stride, rows, stride - j)


@shared
def add_products(count, places, k, height, x, W, stride, product, columns, ahead):
    """product (count, stride) = x @ W of the columns [0, height) of x, or += that of [k, k + height) where k > 0.

    Samples begin where `places` says, which has one entry more; `count` is at most CHUNK. Meanwhile it asks for the
    numbers that lie `ahead` elements behind these, where that isn't 0.
    """
    if MANY_REGISTERS and by_seven(stride, product):
        _add_products(zeros(ROWS, 7, product), count, places, k, height, x, W, stride, product, columns, ahead)
    else:
        _add_products(zeros(ROWS, 4, product), count, places, k, height, x, W, stride, product, columns, ahead)


def outer_products(begin):
    """The function that makes x.T @ gradient of samples where `begin(places, i, D)` says."""
    mark_nonzeros = marking(begin)

    @inlined
    def _add(tile, lo, hi, words, rows, places, D, x, gradient, stride, alpha, adds, W, W_stride, width, ahead):
        check, size = splat(tile, 0.0), hi - lo
        row, line, lines = ahead.lo, 0, (ahead.size + CACHE_LINE - 1) // CACHE_LINE
        asks = (ahead.hi - ahead.lo) * lines * rows_of(tile) // (hi - lo) + 1
        for j in range(0, stride, width_of(tile)):
            for d in range(lo, hi, rows_of(tile)):
                together, found = min(rows_of(tile), hi - d), splat(tile, 0.0)
                left = asks if j == 0 and lines > 0 else 0
                while left > 0 and row < ahead.hi:
                    many, place = min(left, lines - line), ahead.rows[row] * ahead.size + line * CACHE_LINE
                    for n in range(many):
                        prefetch_line(ahead.x, place + n * CACHE_LINE)
                    left, line = left - many, line + many
                    if line == lines:
                        row, line = row + 1, 0
                word, later, top = words[d - lo], words[size + d - lo], 0
                for other in range(d - lo + 1, d - lo + together):
                    word |= words[other]
                    later |= words[size + other]
                if word == 0:
                    word, later, top = later, 0, rows
                while word != 0:
                    i = top + lowest_bit(word)
                    word &= word - 1
                    at = begin(places, i, D) + d
                    found = fma_step(found, x, at, 1, together, load_row(tile, gradient, i * stride + j))
                    last = word == 0  # without a branch to guess between the words
                    word, later, top = later if last else word, 0 if last else later, rows if last else top
                to = d * W_stride + j
                if adds:
                    found = fma(found, alpha, load_masked(tile, W, to, W_stride, together, width - j))
                check = fma(found, 0.0, check)  # NaN from what is not finite
                store_masked(found, W, to, W_stride, together, width - j)
        return total(check) == 0.0

    @inlined
    def add_outer(lo, hi, count, places, D, x, gradient, stride, alpha, adds, W, W_stride, width, words, ahead):
        """Rows [lo, hi) of W = x.T @ gradient, or if it adds W += alpha * that, of `width` columns; whether finite.

        `count` samples, at most TOGETHER. `words` is memory to work in, `words_size` of hi - lo.
        Meanwhile the samples of `ahead`, a `Next`, are asked for.

        Columns one by one: 100 x 784 x 50 took 2.2 times as long in float32 and 1.1 in float64, with AVX2 1.2 in both
        (EPYC of Zen 5). What took longer than that: a loop for each of the two words (1.02 to 1.05 times), rows
        compressed and then listed by columns (1.4 in float64, 1.7 in float32, with AVX2 1.3 and 1.6), and, than lists,
        products added row of x by row of x (1.0 to 1.6, Zen 4).
        """
        rows = (count + 1) // 2
        for half in range(2):
            first, to = half * rows, moved(words, half * (hi - lo))
            mark_nonzeros(first, count - rows if half else rows, places, D, lo, hi, x, to)
        if MANY_REGISTERS and by_seven(stride, gradient):
            seven = zeros(COLUMNS[1], 7, gradient)
            return _add(
                *(seven, lo, hi, words, rows, places, D, x, gradient, stride, alpha, adds, W, W_stride, width, ahead)
            )
        four = zeros(COLUMNS[0], 4, gradient)
        return _add(
            *(four, lo, hi, words, rows, places, D, x, gradient, stride, alpha, adds, W, W_stride, width, ahead)
        )

    return add_outer
