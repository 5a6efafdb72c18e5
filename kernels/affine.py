"""The kernels of an affine layer: x (N, D), W (D, M), b (M,), out and dout (N, M), mask of bool or uint8.

What a layer calls, affine_forward and affine_backward, comes also as `..._threads`, on as many as Numba may use, where
every thread computes a part of its own: the same bits. The others are parts of these, or of the compiled loop, for
measurements and tests. Scratch has `scratch_size(dtype)` elements a thread.
"""

from numba import prange, types

from fastbp.kernels.build.flags import expanded, inlined, kernel, parallel_kernel
from fastbp.kernels.matmul.gemm import backward_input_rows, backward_params_rows, forward_rows
from fastbp.kernels.matmul.product import FEW_DOT
from fastbp.kernels.tiles import address_as_bytes, lanes_of, pointer


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


@kernel("given[:, ::1], real[:, ::1], real[::1], real[:, ::1], real[::1]")
def affine_forward(x, W, b, out, scratch):
    """out = x @ W + b. x may be float32 where the others are float64."""
    _forward(0, x.shape[0], 0, W.shape[1], x, W, b, out, _no_mask(), False, scratch)


@kernel
def affine_relu_forward(x, W, b, out, mask, scratch):
    """out = relu(x @ W + b), mask = x @ W + b <= 0."""
    _forward(0, x.shape[0], 0, W.shape[1], x, W, b, out, pointer(mask), True, scratch)


def _backward_products(dout, x, W, *others):
    """The C functions of a backward pass, of which each takes seconds to compile."""
    given, real, sizes = types.CPointer(x.dtype), types.CPointer(W.dtype), (types.int64,) * 7
    mask, masked = types.CPointer(types.uint8), types.boolean
    params = (real, given, types.float64, types.boolean, real, real, real)
    return [
        backward_params_rows.of(*sizes, *params),
        backward_input_rows.of(*sizes, real, mask, masked, real, real, real),
    ]


@kernel(
    "real[:, ::1], given[:, ::1], real[:, ::1], real[:, ::1], real[:, ::1], real[::1], real[::1]",
    needs=_backward_products,
)
def affine_backward(dout, x, W, dx, dW, db, scratch):
    """dx = dout @ W.T, dW = x.T @ dout, db = the column sums of dout."""
    _backward_params(0, x.shape[1], dout, x, 0.0, False, dW, db, scratch)
    _backward_input(0, dout.shape[0], 0, W.shape[0], dout, _no_mask(), False, W, dx, scratch)


@kernel
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


@parallel_kernel("given[:, ::1], real[:, ::1], real[::1], real[:, ::1], real[::1], int64")
def affine_forward_threads(x, W, b, out, scratch, threads):
    """affine_forward, its rows split over threads."""
    (N, M), size = out.shape, scratch.size // threads
    for part in prange(threads):
        own = scratch[part * size : (part + 1) * size]
        _forward(N * part // threads, N * (part + 1) // threads, 0, M, x, W, b, out, _no_mask(), False, own)


@parallel_kernel(
    "real[:, ::1], given[:, ::1], real[:, ::1], real[:, ::1], real[:, ::1], real[::1], real[::1], int64",
    needs=_backward_products,
)
def affine_backward_threads(dout, x, W, dx, dW, db, scratch, threads):
    """affine_backward, the rows of dW, and the rows or columns of dx, split over threads."""
    (N, D), size = dx.shape, scratch.size // threads
    for part in prange(threads):
        own = scratch[part * size : (part + 1) * size]
        _backward_params(D * part // threads, D * (part + 1) // threads, dout, x, 0.0, False, dW, db, own)
        lo, hi, left, right = _part_of_dx(part, threads, N, D, lanes_of(dx))
        _backward_input(lo, hi, left, right, dout, _no_mask(), False, W, dx, own)
