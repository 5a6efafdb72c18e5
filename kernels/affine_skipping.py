"""The kernels of an affine layer whose x is mostly zeros, as images are, which are skipped.

x (N, D), W (D, M), b (M,), out and dout (N, M). They compute in the dtype of `scratch`, whatever that of W. Each thread
works in memory of its own: forward in `copies_size` elements of scratch, `columns_size` of columns (int32) and MARKS of
marks (int64), the gradients in `gradient_size` of scratch and `words_size` of marks. They return whether they did it:
0 · inf is NaN, so where W or dout is not finite nothing is skipped.
"""

from fastbp.kernels.build.flags import inlined, kernel, shared
from fastbp.kernels.build.threads import on_threads
from fastbp.kernels.loop.sparse import add_bias_rows
from fastbp.kernels.matmul.edges import column_sums
from fastbp.kernels.matmul.product import Next
from fastbp.kernels.nonzero_products import (
    CHUNK,
    TOGETHER,
    add_products,
    block_height,
    outer_products,
)
from fastbp.kernels.nonzeros import evenly
from fastbp.kernels.tiles import (
    address_as_bytes,
    aligned,
    fma,
    load_row_masked,
    moved,
    pointer,
    splat,
    store_row_masked,
    total,
    width_of,
    zeros,
)

MARKS = CHUNK + 2  # of forward: whether it was done, and where CHUNK + 1 rows begin
MANY = 256  # rows, from which they come from memory: asked for a chunk ahead, 60,000 x 784 x 50 takes half the time
FORWARD = "given[:, ::1], real[:, ::1], real[::1], int64, real[:, ::1], real[::1], int32[::1], int64[::1]"


def copies_size(D, stride, lanes):
    """Elements of scratch: what aligns it, and copies of W and of the results of a chunk of rows."""
    return lanes + (D + CHUNK) * stride


def gradient_size(stride, lanes):
    """Elements of scratch: what aligns it, and a copy of the rows of dout of one sum."""
    return lanes + TOGETHER * stride


@inlined
def _copied(rows, M, x, stride, out):
    """Rows of `stride`, 0 behind M, of x's rows of M; whether all are finite."""
    tile = zeros(1, 4, out)
    check = splat(tile, 0.0)
    for i in range(rows):
        for j in range(0, stride, width_of(tile)):
            row = load_row_masked(tile, x, i * M + j, M - j)
            store_row_masked(row, out, i * stride + j, stride - j)
            check = fma(row, 0.0, check)  # NaN from what is not finite
    return total(check) == 0.0


_add_outer = outer_products(evenly)


@shared
def forward_rows_skipping(lo, hi, D, M, x, W, b, stride, out, scratch, columns, marks):
    """Rows [lo, hi) of x @ W + b; marks[0] is 0 if it wasn't done, behind it stands where rows begin."""
    padded_W, height = moved(scratch, aligned(scratch)), block_height(stride, scratch)
    product, nowhere, finite = moved(padded_W, D * stride), address_as_bytes(0), True
    ahead, places = CHUNK * D if hi - lo > MANY else 0, moved(marks, 1)
    for i in range(CHUNK + 1):
        places[i] = i * D
    for top in range(lo, hi, CHUNK):
        count = min(CHUNK, hi - top)
        samples = moved(x, top * D)
        for k in range(0, D, height):
            size = min(height, D - k)
            if top == lo:
                finite = finite and _copied(size, M, moved(W, k * M), stride, moved(padded_W, k * stride))
            if finite:
                add_products(count, places, k, size, samples, padded_W, stride, product, columns, ahead)
        if finite:
            add_bias_rows(0, count, M, product, stride, b, moved(out, top * M), nowhere, False)
    marks[0] = 1 if finite else 0


@shared
def skipping_of_thread(part, threads, N, D, M, x, W, b, stride, out, scratch, size, columns, room, marks):
    """The rows of this thread; it has `size` elements of scratch, and `room` of columns."""
    lo, hi, own = N * part // threads, N * (part + 1) // threads, moved(scratch, part * size)
    columns, marks = moved(columns, part * room), moved(marks, part * MARKS)
    forward_rows_skipping(lo, hi, D, M, x, W, b, stride, out, own, columns, marks)


@kernel(FORWARD)
def affine_forward_skipping(x, W, b, stride, out, scratch, columns, marks):
    """out = x @ W + b."""
    (N, M), D, memory, columns = out.shape, W.shape[0], pointer(scratch), pointer(columns)
    x, W, b, out = pointer(x), pointer(W), pointer(b), pointer(out)
    forward_rows_skipping(0, N, D, M, x, W, b, stride, out, memory, columns, pointer(marks))
    return marks[0] != 0


@kernel(f"{FORWARD}, int64, int64")
def affine_forward_skipping_threads(x, W, b, stride, out, scratch, columns, marks, threads, launcher):
    """The same, its rows split over threads."""
    (N, M), D, size, room = out.shape, W.shape[0], scratch.size // threads, columns.size // threads
    x, W, b, out, scratch = pointer(x), pointer(W), pointer(b), pointer(out), pointer(scratch)
    given = (N, D, M, x, W, b, stride, out, scratch, size, pointer(columns), room, pointer(marks))
    on_threads(skipping_of_thread, launcher, threads, given)
    done = True
    for part in range(threads):
        done = done and marks[part * MARKS] != 0
    return done


@kernel("real[:, ::1], given[:, ::1], int64, real[:, ::1], real[::1], real[::1], int64[::1]")
def affine_backward_params_skipping(dout, x, stride, dW, db, scratch, marks):
    """dW = x.T @ dout, db = the column sums of dout."""
    (N, D), M, nothing = x.shape, dout.shape[1], address_as_bytes(0)
    gradient, words = moved(pointer(scratch), aligned(scratch)), pointer(marks)
    x, to = pointer(x), pointer(dW)
    for top in range(0, N, TOGETHER):
        count = min(TOGETHER, N - top)
        if not _copied(count, M, moved(pointer(dout), top * M), stride, gradient):
            return False
        samples, ahead = moved(x, top * D), Next(nothing, 0, words, 0, 0)
        _add_outer(0, D, count, words, D, samples, gradient, stride, 1.0, top > 0, to, M, M, words, ahead)
    column_sums(0, M, N, M, pointer(dout), pointer(db))
    return True
