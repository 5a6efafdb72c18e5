"""The kernels of an affine layer: x (N, D), W (D, M), b (M,), out and dout (N, M), mask of bool or uint8.

Each comes on the calling thread, and as `..._threads` on as many as Numba may use, where every thread computes rows of
its own: the same bits. Scratch has `scratch_size(dtype)` elements a thread.
"""

from numba import prange

from fastbp.kernels.flags import kernel, merged, parallel_kernel
from fastbp.kernels.gemm import backward_input_rows, backward_params_rows, forward_rows
from fastbp.kernels.simd import address_as_bytes, pointer


@merged
def _forward(lo, hi, x, W, b, out, mask, rectified, scratch):
    N, (D, M) = x.shape[0], W.shape
    forward_rows(
        lo, hi, 0, M, N, D, M, pointer(x), pointer(W), pointer(b), pointer(out), mask, rectified, pointer(scratch)
    )


@merged
def _backward_params(lo, hi, dout, x, alpha, adds, dW, db, scratch):
    (N, D), M = x.shape, dout.shape[1]
    dW, db, scratch = pointer(dW), pointer(db), pointer(scratch)
    backward_params_rows(lo, hi, 0, M, N, D, M, pointer(dout), pointer(x), alpha, adds, dW, db, scratch, None)


@merged
def _backward_input(lo, hi, dout, mask, masked, W, dx, scratch):
    N, (D, M) = dout.shape[0], W.shape
    backward_input_rows(lo, hi, 0, D, N, D, M, pointer(dout), mask, masked, pointer(W), pointer(dx), pointer(scratch))


@merged
def _no_mask():
    return address_as_bytes(0)


@kernel
def affine_forward(x, W, b, out, scratch):
    """out = x @ W + b. x may be float32 where the others are float64."""
    _forward(0, x.shape[0], x, W, b, out, _no_mask(), False, scratch)


@kernel
def affine_relu_forward(x, W, b, out, mask, scratch):
    """out = relu(x @ W + b), mask = x @ W + b <= 0."""
    _forward(0, x.shape[0], x, W, b, out, pointer(mask), True, scratch)


@kernel
def affine_backward(dout, x, W, dx, dW, db, scratch):
    """dx = dout @ W.T, dW = x.T @ dout, db = the column sums of dout."""
    _backward_params(0, x.shape[1], dout, x, 0.0, False, dW, db, scratch)
    _backward_input(0, dout.shape[0], dout, _no_mask(), False, W, dx, scratch)


@kernel
def affine_backward_params(dout, x, dW, db, scratch):
    """dW = x.T @ dout, db = the column sums of dout."""
    _backward_params(0, x.shape[1], dout, x, 0.0, False, dW, db, scratch)


@kernel
def affine_backward_input(dout, W, dx, scratch):
    """dx = dout @ W.T."""
    _backward_input(0, dout.shape[0], dout, _no_mask(), False, W, dx, scratch)


@kernel
def affine_relu_backward_input(dout, mask, W, dx, scratch):
    """dx = dout @ W.T where the mask of the layer below is off, else 0."""
    _backward_input(0, dout.shape[0], dout, pointer(mask), True, W, dx, scratch)


@kernel
def affine_update_params(dout, x, alpha, W, db, scratch):
    """W += alpha · x.T @ dout, db = the column sums of dout."""
    _backward_params(0, x.shape[1], dout, x, alpha, True, W, db, scratch)


@parallel_kernel
def affine_forward_threads(x, W, b, out, scratch, threads):
    """affine_forward, its rows split over threads."""
    N, size = x.shape[0], scratch.size // threads
    for part in prange(threads):
        own = scratch[part * size : (part + 1) * size]
        _forward(N * part // threads, N * (part + 1) // threads, x, W, b, out, _no_mask(), False, own)


@parallel_kernel
def affine_backward_threads(dout, x, W, dx, dW, db, scratch, threads):
    """affine_backward, the rows of dW and of dx split over threads."""
    (N, D), size = x.shape, scratch.size // threads
    for part in prange(threads):
        own = scratch[part * size : (part + 1) * size]
        lo, hi = D * part // threads, D * (part + 1) // threads
        _backward_params(lo, hi, dout, x, 0.0, False, dW, db, own)
        lo, hi = N * part // threads, N * (part + 1) // threads
        _backward_input(lo, hi, dout, _no_mask(), False, W, dx, own)
