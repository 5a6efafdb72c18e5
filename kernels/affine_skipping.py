"""The kernels of an affine layer whose x is mostly zeros, as images are, which are skipped.

x (N, D), W (D, M), b (M,), out and dout (N, M). They compute in the dtype of `scratch`, whatever that of W. Each thread
works in memory of its own: forward in `copies_size` elements of scratch, `room` of values (as x) and columns (int32)
and MARKS of marks (int64), the gradients in `gradient_size` of scratch and `words_size` of marks. They return whether
they did it: 0 · inf is NaN, so where W or dout is not finite nothing is skipped.
"""

from fastbp.kernels.build.flags import inlined, kernel, shared
from fastbp.kernels.build.threads import on_threads
from fastbp.kernels.loop.compress import OVERRUN, keep, keep_one_by_one, lanes_together
from fastbp.kernels.loop.sparse import CHAIN, add_bias_rows, product_by
from fastbp.kernels.matmul.edges import column_sums
from fastbp.kernels.nonzeros import MOST_ROWS, lowest_bit, mark_nonzeros
from fastbp.kernels.tiles import (
    add,
    address_as_bytes,
    aligned,
    fma,
    fma_step,
    lanes_of,
    load_masked,
    load_row,
    load_row_masked,
    moved,
    pointer,
    rows_of,
    splat,
    store,
    store_masked,
    total,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.target import TARGET

ROWS = CHAIN  # that are compressed at a time
MARKS = 2 * ROWS + 1  # where rows begin, and how far each was read
WORDS = 2  # words of bits for each column of x, whose rows make one sum
WIDTHS = (4, 7)  # vectors of the result at a time: 7 hold the book's 50 columns in float64 of AVX-512
COLUMNS = (4 if TARGET.registers == 32 else 2, 2)  # of x, for each of WIDTHS, whose gradients are summed together
FORWARD = "given[:, ::1], real[:, ::1], real[::1], int64, real[:, ::1], real[::1], given[::1], int32[::1], int64[::1]"


def padded_columns(M, lanes):
    """The stride for M columns, in vectors of so many lanes: the least multiple of one of WIDTHS."""
    vectors = -(-M // lanes)
    return lanes * min(-(-vectors // width) * width for width in WIDTHS)


@inlined
def _by_seven(stride, like):
    """Which of WIDTHS it is."""
    return stride // lanes_of(like) % WIDTHS[1] == 0


def copies_size(D, stride, lanes):
    """Elements of scratch: what aligns it, and copies of W and of the results of ROWS rows."""
    return lanes + (D + ROWS) * stride


def gradient_size(stride, lanes):
    """Elements of scratch: what aligns it, and a copy of the rows of dout of one sum."""
    return lanes + WORDS * MOST_ROWS * stride


def room(D):
    """Elements of what is compressed, rows side by side."""
    return ROWS * D + OVERRUN


def words_size(D):
    """Marks, which are words of bits."""
    return WORDS * D


@inlined
def _copied(rows, M, x, stride, out):
    """Rows of `stride`, 0 behind M, of x's rows of M; whether all are finite."""
    if _by_seven(stride, out):
        return _copied_by(zeros(1, 7, out), rows, M, x, stride, out)
    return _copied_by(zeros(1, 4, out), rows, M, x, stride, out)


@inlined
def _copied_by(tile, rows, M, x, stride, out):
    check = splat(tile, 0.0)
    for i in range(rows):
        for j in range(0, stride, width_of(tile)):
            row = load_row_masked(tile, x, i * M + j, M - j)
            store(row, out, i * stride + j, 0)
            check = fma(row, 0.0, check)  # NaN from what is not finite
    return total(check) == 0.0


@inlined
def _compress(count, D, x, begins, columns, values):
    """The columns and values of so many rows of x, row i from begins[i] on."""
    e, lanes = 0, lanes_together(values)
    for i in range(count):
        begins[i] = e
        row, k = i * D, 0
        while k + lanes <= D:
            e = keep(x, row + k, 1.0, k, columns, values, e)
            k += lanes
        e = keep_one_by_one(row + k, row + D, x, 1.0, -row, columns, values, e)
    begins[count] = e


@inlined
def _products_of_columns(tile, D, M, rows, words, x, gradient, stride, grows, dW):
    """dW (D, M) = x.T @ gradient, or if it grows dW += x.T @ gradient; rows of the gradient have `stride`.

    The bits of words[d] are the non-zeros of column d in the first `rows` rows, those of words[D + d] in the others.
    Columns go together, as many as the tile has rows, wherever one of them is not zero: neighbours mostly are zero
    together, a row of the gradient is loaded once for all, and their sums don't wait for each other. One by one,
    100 x 784 x 50 took 2.2 times as long in float32 and 1.1 in float64, with AVX2 1.2 in both (EPYC of Zen 5). What
    took longer than one by one: rows compressed and then listed by columns (1.4 times in float64, 1.7 in float32, with
    AVX2 1.3 and 1.6), a loop for each of the two words (1.02 to 1.05), and, than lists, products added row of x by row
    of x (1.0 to 1.6, Zen 4).
    """
    for j in range(0, stride, width_of(tile)):
        for d in range(0, D, rows_of(tile)):
            count, found = min(rows_of(tile), D - d), splat(tile, 0.0)
            word, later, top = words[d], words[D + d], 0
            for other in range(d + 1, d + count):
                word |= words[other]
                later |= words[D + other]
            if word == 0:
                word, later, top = later, 0, rows
            while word != 0:
                i = top + lowest_bit(word)
                word &= word - 1
                found = fma_step(found, x, i * D + d, 1, count, load_row(tile, gradient, i * stride + j))
                last = word == 0  # without a branch to guess between the words
                word, later, top = later if last else word, 0 if last else later, rows if last else top
            if grows:
                found = add(found, load_masked(tile, dW, d * M + j, M, count, M - j))
            store_masked(found, dW, d * M + j, M, count, M - j)


@shared
def forward_rows_skipping(lo, hi, D, M, x, W, b, stride, out, scratch, values, columns, marks):
    """Rows [lo, hi) of x @ W + b; marks[0] is 0 if it wasn't done."""
    padded_W = moved(scratch, aligned(scratch))
    product = moved(padded_W, D * stride)
    begins, cursors, nowhere = marks, moved(marks, ROWS + 1), address_as_bytes(0)
    finite = _copied(D, M, W, stride, padded_W)
    if finite:
        for top in range(lo, hi, ROWS):
            count = min(ROWS, hi - top)
            _compress(count, D, moved(x, top * D), begins, columns, values)
            if _by_seven(stride, scratch):
                tile = zeros(1, 7, scratch)
                product_by(tile, 0, count, begins, columns, values, D, padded_W, stride, product, cursors)
            else:
                tile = zeros(1, 4, scratch)
                product_by(tile, 0, count, begins, columns, values, D, padded_W, stride, product, cursors)
            add_bias_rows(0, count, M, product, stride, b, moved(out, top * M), nowhere, False)
    marks[0] = 1 if finite else 0


@shared
def skipping_of_thread(part, threads, N, D, M, x, W, b, stride, out, scratch, size, values, columns, each, marks):
    """The rows of this thread; it has `size` elements of scratch, and `each` of values and columns."""
    lo, hi, at = N * part // threads, N * (part + 1) // threads, part * each
    own, values, columns = moved(scratch, part * size), moved(values, at), moved(columns, at)
    forward_rows_skipping(lo, hi, D, M, x, W, b, stride, out, own, values, columns, moved(marks, part * MARKS))


@kernel(FORWARD)
def affine_forward_skipping(x, W, b, stride, out, scratch, values, columns, marks):
    """out = x @ W + b."""
    (N, M), D, target, memory = out.shape, W.shape[0], pointer(out), pointer(scratch)
    values, columns = pointer(values), pointer(columns)
    forward_rows_skipping(
        *(0, N, D, M, pointer(x), pointer(W), pointer(b), stride, target, memory, values, columns, pointer(marks))
    )
    return marks[0] != 0


@kernel(f"{FORWARD}, int64, int64")
def affine_forward_skipping_threads(x, W, b, stride, out, scratch, values, columns, marks, threads, launcher):
    """The same, its rows split over threads."""
    (N, M), D, size, each = out.shape, W.shape[0], scratch.size // threads, values.size // threads
    x, W, b, out, scratch = pointer(x), pointer(W), pointer(b), pointer(out), pointer(scratch)
    given = (N, D, M, x, W, b, stride, out, scratch, size, pointer(values), pointer(columns), each, pointer(marks))
    on_threads(skipping_of_thread, launcher, threads, given)
    done = True
    for part in range(threads):
        done = done and marks[part * MARKS] != 0
    return done


@kernel("real[:, ::1], given[:, ::1], int64, real[:, ::1], real[::1], real[::1], int64[::1]")
def affine_backward_params_skipping(dout, x, stride, dW, db, scratch, marks):
    """dW = x.T @ dout, db = the column sums of dout."""
    (N, D), M = x.shape, dout.shape[1]
    gradient, words = moved(pointer(scratch), aligned(scratch)), pointer(marks)
    for top in range(0, N, WORDS * MOST_ROWS):
        count = min(WORDS * MOST_ROWS, N - top)
        if not _copied(count, M, moved(pointer(dout), top * M), stride, gradient):
            return False
        rows, samples = (count + 1) // 2, moved(pointer(x), top * D)
        mark_nonzeros(rows, D, samples, words)
        mark_nonzeros(count - rows, D, moved(samples, rows * D), moved(words, D))
        if _by_seven(stride, pointer(scratch)):
            tile = zeros(COLUMNS[1], WIDTHS[1], scratch)
            _products_of_columns(tile, D, M, rows, words, samples, gradient, stride, top > 0, pointer(dW))
        else:
            tile = zeros(COLUMNS[0], WIDTHS[0], scratch)
            _products_of_columns(tile, D, M, rows, words, samples, gradient, stride, top > 0, pointer(dW))
    column_sums(0, M, N, M, pointer(dout), pointer(db))
    return True
