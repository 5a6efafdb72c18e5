"""The kernels of an affine layer: x (N, D), W (D, M), b (M,), out and dout (N, M), mask of uint8.

What a layer calls, affine_forward and affine_backward, comes also as `..._threads`, where every thread computes a part
of its own: the same bits. Who needs no dx calls affine_backward_params. The others are parts of these, or of the
compiled loop, for measurements and tests. Scratch has `scratch_size(dtype)` elements a thread.
"""

from numba import types

from fastbp.kernels.build.flags import expanded, inlined, kernel, shared
from fastbp.kernels.build.threads import on_threads
from fastbp.kernels.matmul.gemm import backward_input_rows, backward_params_rows, forward_rows
from fastbp.kernels.matmul.product import FEW_DOT
from fastbp.kernels.tiles import address_as_bytes, lanes_of, moved, pointer


@expanded
def _forward(lo, hi, left, right, x, W, b, out, mask, rectified, scratch):
    N, (D, M) = x.shape[0], W.shape
    b, out, scratch = pointer(b), pointer(out), pointer(scratch)
    forward_rows(lo, hi, left, right, N, D, M, pointer(x), pointer(W), b, out, mask, rectified, scratch)


@expanded
def _backward_params(lo, hi, dout, x, alpha, adds, dW, db, scratch):
    (N, D), M = x.shape, dout.shape[1]
    dW, db, scratch = pointer(dW), pointer(db), pointer(scratch)
    backward_params_rows(lo, hi, 0, M, N, D, M, pointer(dout), pointer(x), alpha, adds, dW, db, scratch)


@expanded
def _backward_input(lo, hi, left, right, dout, mask, masked, W, dx, scratch):
    N, (D, M) = dout.shape[0], W.shape
    dx, scratch = pointer(dx), pointer(scratch)
    backward_input_rows(lo, hi, left, right, N, D, M, pointer(dout), mask, masked, pointer(W), dx, scratch)


@expanded
def _no_mask():
    return address_as_bytes(0)


_FORWARD = "given[:, ::1], real[:, ::1], real[::1], real[:, ::1], real[::1]"
_BACKWARD = "real[:, ::1], given[:, ::1], real[:, ::1], real[:, ::1], real[:, ::1], real[::1], real[::1]"


def _products(given, real):
    """The C functions of a layer's kernels. They take seconds to compile: all at once, and not each when it is met."""
    x, W, size, sizes = types.CPointer(given), types.CPointer(real), types.int64, (types.int64,) * 7
    no_mask = types.CPointer(types.uint8), types.boolean
    return [
        forward_rows.of(*sizes, x, W, W, W, *no_mask, W),
        backward_params_rows.of(*sizes, W, x, types.float64, types.boolean, W, W, W),
        backward_input_rows.of(*sizes, W, *no_mask, W, W, W),
        forward_of_thread.of(*sizes[:5], x, W, W, W, W, size),
        backward_of_thread.of(*sizes[:5], W, x, W, W, W, W, W, size),
    ]


def _of_forward(x, W, *others):
    return _products(x.dtype, W.dtype)


def _of_backward(dout, x, *others):
    return _products(x.dtype, dout.dtype)


@kernel(_FORWARD, needs=_of_forward)
def affine_forward(x, W, b, out, scratch):
    """out = x @ W + b. x may be float32 where the others are float64."""
    _forward(0, x.shape[0], 0, W.shape[1], x, W, b, out, _no_mask(), False, scratch)


@kernel
def affine_relu_forward(x, W, b, out, mask, scratch):
    """out = relu(x @ W + b), mask = x @ W + b <= 0."""
    _forward(0, x.shape[0], 0, W.shape[1], x, W, b, out, pointer(mask), True, scratch)


@kernel(_BACKWARD, needs=_of_backward)
def affine_backward(dout, x, W, dx, dW, db, scratch):
    """dx = dout @ W.T, dW = x.T @ dout, db = the column sums of dout."""
    _backward_params(0, x.shape[1], dout, x, 0.0, False, dW, db, scratch)
    _backward_input(0, dout.shape[0], 0, W.shape[0], dout, _no_mask(), False, W, dx, scratch)


@kernel("real[:, ::1], given[:, ::1], real[:, ::1], real[::1], real[::1]", needs=_of_backward)
def affine_backward_params(dout, x, dW, db, scratch):
    """dW = x.T @ dout, db = the column sums of dout."""
    _backward_params(0, x.shape[1], dout, x, 0.0, False, dW, db, scratch)


@kernel
def affine_backward_input(dout, W, dx, scratch):
    """dx = dout @ W.T."""
    _backward_input(0, dout.shape[0], 0, W.shape[0], dout, _no_mask(), False, W, dx, scratch)


@kernel
def affine_relu_backward_input(dout, mask, W, dx, scratch):
    """dx = dout @ W.T where the mask of the layer below is off, else 0."""
    _backward_input(0, dout.shape[0], 0, W.shape[0], dout, pointer(mask), True, W, dx, scratch)


@kernel
def affine_update_params(dout, x, alpha, W, db, scratch):
    """W += alpha · x.T @ dout, db = the column sums of dout."""
    _backward_params(0, x.shape[1], dout, x, alpha, True, W, db, scratch)


# Where dx has so many columns for each thread it is split by these: a thread by rows would transpose all of W, and the
# backward pass take 7 % longer at 100 x 784 x 512. Forward takes 5 to 15 % longer by columns, as all read all of x.
DX_COLUMNS_EACH = 64


@inlined
def _part_of_dx(part, threads, N, D, lanes):
    """Rows [lo, hi) and columns [left, right) of dx (N, D): those of this thread."""
    if D >= threads * DX_COLUMNS_EACH and N > FEW_DOT:
        left, right = D * part // threads // lanes * lanes, D * (part + 1) // threads // lanes * lanes
        return 0, N, left, D if part == threads - 1 else right
    return N * part // threads, N * (part + 1) // threads, 0, D


@shared
def forward_of_thread(part, threads, N, D, M, x, W, b, out, scratch, size):
    """The rows of this thread; it has `size` elements of scratch."""
    own = moved(scratch, part * size)
    forward_rows(N * part // threads, N * (part + 1) // threads, 0, M, N, D, M, x, W, b, out, _no_mask(), False, own)


@shared
def backward_of_thread(part, threads, N, D, M, dout, x, W, dx, dW, db, scratch, size):
    """The rows of dW, and the rows or columns of dx, that are this thread's."""
    own = moved(scratch, part * size)
    first, last = D * part // threads, D * (part + 1) // threads
    backward_params_rows(first, last, 0, M, N, D, M, dout, x, 0.0, False, dW, db, own)
    lo, hi, left, right = _part_of_dx(part, threads, N, D, lanes_of(dx))
    backward_input_rows(lo, hi, left, right, N, D, M, dout, _no_mask(), False, W, dx, own)


@kernel(f"{_FORWARD}, int64, int64", needs=_of_forward)
def affine_forward_threads(x, W, b, out, scratch, threads, launcher):
    """affine_forward, its rows split over threads."""
    (N, M), D, size = out.shape, W.shape[0], scratch.size // threads
    given = (N, D, M, pointer(x), pointer(W), pointer(b), pointer(out), pointer(scratch), size)
    on_threads(forward_of_thread, launcher, threads, given)


@kernel(f"{_BACKWARD}, int64, int64", needs=_of_backward)
def affine_backward_threads(dout, x, W, dx, dW, db, scratch, threads, launcher):
    """affine_backward, the rows of dW, and the rows or columns of dx, split over threads."""
    (N, D), M, size = dx.shape, dout.shape[1], scratch.size // threads
    dout, x, W, dx, dW, db = pointer(dout), pointer(x), pointer(W), pointer(dx), pointer(dW), pointer(db)
    on_threads(backward_of_thread, launcher, threads, (N, D, M, dout, x, W, dx, dW, db, pointer(scratch), size))
