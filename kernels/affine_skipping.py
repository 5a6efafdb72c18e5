"""The kernels of an affine layer whose x is mostly zeros, as images are, which are skipped.

x (N, D), W (D, M), b (M,), out and dout (N, M). They compute in the dtype of `scratch`, whatever that of W. Each thread
works in memory of its own: forward in `copies_size` elements of scratch and `room` of columns (int32), the gradients in
`gradient_size` of scratch and `words_size` of marks (int64). They return whether they did it: 0 · inf is NaN, so where
W or dout is not finite nothing is skipped. Forward has a mark for each thread that says so.

Rows of x go together in forward, columns in the gradients, wherever one of them is not zero: those of the other are
multiplied too, and what they are multiplied with is loaded once for all.
"""

from fastbp.kernels.build.flags import inlined, kernel, shared
from fastbp.kernels.build.threads import on_threads
from fastbp.kernels.loop.compress import OVERRUN
from fastbp.kernels.loop.sparse import add_bias_rows
from fastbp.kernels.matmul.edges import column_sums
from fastbp.kernels.nonzeros import MOST_ROWS, columns_not_zero, columns_together, lowest_bit, mark_nonzeros
from fastbp.kernels.tiles import (
    add,
    address_as_bytes,
    aligned,
    fma,
    fma_step,
    lanes_of,
    load,
    load_masked,
    load_row,
    load_row_masked,
    moved,
    pointer,
    prefetch_line,
    rows_of,
    splat,
    store,
    store_masked,
    total,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.target import CACHE_LINE, TARGET

CHUNK = 64  # rows of x at a time, whose results stay in the caches
# Of W, that all rows of a chunk pass over: with 32 and 64 KiB forward of 100 x 784 x 50 takes 1.1 and 1.0 times as long
# (EPYC of Zen 5, 48 KiB of first-level cache).
BLOCK_BYTES = 48 * 1024
MANY = 256  # rows, from which they come from memory: asked for a chunk ahead, 60,000 x 784 x 50 takes half the time
WORDS = 2  # words of bits for each column of x, whose rows make one sum
WIDTHS = (4, 7)  # vectors of the result at a time: 7 hold the book's 50 columns in float64 of AVX-512
# Of x, for each of WIDTHS: rows whose results, and columns whose gradients are summed together.
ROWS = (2, 2 if TARGET.registers == 32 else 1)
COLUMNS = (4 if TARGET.registers == 32 else 2, 2)
FORWARD = "given[:, ::1], real[:, ::1], real[::1], int64, real[:, ::1], real[::1], int32[::1], int64[::1]"


def padded_columns(M, lanes):
    """The stride for M columns, in vectors of so many lanes: the least multiple of one of WIDTHS."""
    vectors = -(-M // lanes)
    return lanes * min(-(-vectors // width) * width for width in WIDTHS)


@inlined
def _by_seven(stride, like):
    """Which of WIDTHS it is."""
    return stride // lanes_of(like) % WIDTHS[1] == 0


def copies_size(D, stride, lanes):
    """Elements of scratch: what aligns it, and copies of W and of the results of a chunk of rows."""
    return lanes + (D + CHUNK) * stride


def gradient_size(stride, lanes):
    """Elements of scratch: what aligns it, and a copy of the rows of dout of one sum."""
    return lanes + WORDS * MOST_ROWS * stride


def room(D):
    """Elements for columns, and what may be overwritten behind them."""
    return D + OVERRUN


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
def _add_products(tile, count, D, height, x, W, stride, product, grows, columns, ahead):
    """product = x @ W, or if it grows product += x @ W, of the first `height` columns of x (count, D).

    Meanwhile it asks for the numbers that lie `ahead` elements behind these, where that isn't 0.
    """
    line = CACHE_LINE * columns_together(x) // TARGET.vector_bytes
    for i in range(0, count, rows_of(tile)):
        rows, samples = min(rows_of(tile), count - i), moved(x, i * D)
        for row in range(rows if ahead > 0 else 0):
            for k in range(0, height, line):
                prefetch_line(samples, row * D + ahead + k)
        found = columns_not_zero(tile, rows, D, height, samples, columns)
        for j in range(0, stride, width_of(tile)):
            acc = splat(tile, 0.0)
            if grows:
                acc = load(tile, product, i * stride + j, stride)
            for n in range(found):
                k = columns[n]
                acc = fma_step(acc, samples, k, D, rows, load_row(tile, W, k * stride + j))
            store(acc, product, i * stride + j, stride)


@inlined
def _height(stride, like):
    """Rows of W that make a block."""
    return max(BLOCK_BYTES // (stride * (TARGET.vector_bytes // lanes_of(like))) // 16 * 16, 16)


@inlined
def _products_of_columns(tile, D, M, rows, words, x, gradient, stride, grows, dW):
    """dW (D, M) = x.T @ gradient, or if it grows dW += x.T @ gradient; rows of the gradient have `stride`.

    The bits of words[d] are the non-zeros of column d in the first `rows` rows, those of words[D + d] in the others.
    Columns go together, as many as the tile has rows: neighbours mostly are zero together, a row of the gradient is
    loaded once for all, and their sums don't wait for each other. One by one, 100 x 784 x 50 took 2.2 times as long in
    float32 and 1.1 in float64, with AVX2 1.2 in both (EPYC of Zen 5). What took longer than one by one: rows compressed
    and then listed by columns (1.4 times in float64, 1.7 in float32, with AVX2 1.3 and 1.6), a loop for each of the two
    words (1.02 to 1.05), and, than lists, products added row of x by row of x (1.0 to 1.6, Zen 4).
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
def forward_rows_skipping(lo, hi, D, M, x, W, b, stride, out, scratch, columns, done):
    """Rows [lo, hi) of x @ W + b; done[0] is 0 if it wasn't done."""
    padded_W, height = moved(scratch, aligned(scratch)), _height(stride, scratch)
    product, nowhere, finite = moved(padded_W, D * stride), address_as_bytes(0), True
    ahead = CHUNK * D if hi - lo > MANY else 0
    for top in range(lo, hi, CHUNK):
        count = min(CHUNK, hi - top)
        for k in range(0, D, height):
            size, block, samples = min(height, D - k), moved(padded_W, k * stride), moved(x, top * D + k)
            if top == lo:
                finite = finite and _copied(size, M, moved(W, k * M), stride, block)
            if finite and _by_seven(stride, scratch):
                tile = zeros(ROWS[1], WIDTHS[1], scratch)
                _add_products(tile, count, D, size, samples, block, stride, product, k > 0, columns, ahead)
            elif finite:
                tile = zeros(ROWS[0], WIDTHS[0], scratch)
                _add_products(tile, count, D, size, samples, block, stride, product, k > 0, columns, ahead)
        if finite:
            add_bias_rows(0, count, M, product, stride, b, moved(out, top * M), nowhere, False)
    done[0] = 1 if finite else 0


@shared
def skipping_of_thread(part, threads, N, D, M, x, W, b, stride, out, scratch, size, columns, room, done):
    """The rows of this thread; it has `size` elements of scratch, and `room` of columns."""
    lo, hi, own = N * part // threads, N * (part + 1) // threads, moved(scratch, part * size)
    columns, done = moved(columns, part * room), moved(done, part)
    forward_rows_skipping(lo, hi, D, M, x, W, b, stride, out, own, columns, done)


@kernel(FORWARD)
def affine_forward_skipping(x, W, b, stride, out, scratch, columns, done):
    """out = x @ W + b."""
    (N, M), D, memory, columns = out.shape, W.shape[0], pointer(scratch), pointer(columns)
    x, W, b, out = pointer(x), pointer(W), pointer(b), pointer(out)
    forward_rows_skipping(0, N, D, M, x, W, b, stride, out, memory, columns, pointer(done))
    return done[0] != 0


@kernel(f"{FORWARD}, int64, int64")
def affine_forward_skipping_threads(x, W, b, stride, out, scratch, columns, done, threads, launcher):
    """The same, its rows split over threads."""
    (N, M), D, size, room = out.shape, W.shape[0], scratch.size // threads, columns.size // threads
    x, W, b, out, scratch = pointer(x), pointer(W), pointer(b), pointer(out), pointer(scratch)
    given = (N, D, M, x, W, b, stride, out, scratch, size, pointer(columns), room, pointer(done))
    on_threads(skipping_of_thread, launcher, threads, given)
    all_done = True
    for part in range(threads):
        all_done = all_done and done[part] != 0
    return all_done


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
