"""Convolution: x, dx (N, C, H, W); W, dW (FN, C, FH, FW); b, db (FN,); out, dout (N, FN, OH, OW).

With W as a matrix (FN, K) and `cols` (K, OH · OW) what the filters see of an image, K = C · FH · FW:

    out = W @ cols + b        dW = sum over the batch of dout @ cols.T        dx = the fold of W.T @ dout

No such matrix is made. An image is unfolded along its rows alone (`images.planes`), which is a K-th of it times FW, and
the products read their panels from there; what W.T @ dout gives is folded a few channels at a time.

Threads take images, or parts of the batch, which don't depend on how many threads there are: the same bits for any
number. Scratch has `images.shape.scratch_sizes` elements.
"""

from numba import prange

from fastbp.kernels.build.flags import inlined, kernel, merged, parallel_kernel, shared
from fastbp.kernels.images.planes import fill_with_ones, fold_columns, places_of_terms, unfold_image
from fastbp.kernels.images.products import add_gradients, multiply_rows, store_gradients
from fastbp.kernels.images.shape import FOLDED, PARTS, Shape, gradient_size, shares
from fastbp.kernels.tiles import address_as_int64, aligned, lanes_of, moved, pointer, reinterpret


@inlined
def _places(scratch, at):
    return reinterpret(scratch, at, address_as_int64(0))


@inlined
def _begin_unfolding(s, scratch, at):
    """What is the same for all images: where the terms lie, and the ones that the bias is multiplied with."""
    places = _places(scratch, at.places)
    places_of_terms(s, places)
    fill_with_ones(moved(scratch, at.unfolded + places[s.C * s.FH * s.FW]), s.OH * s.OW)


@shared
def convolve(lo, hi, s, x, W, b, out, scratch):
    """Images [lo, hi) of out = W @ cols + b."""
    at, K, P = shares(s, lanes_of(out)), s.C * s.FH * s.FW, s.OH * s.OW
    _begin_unfolding(s, scratch, at)
    filters, unfolded, panel, tile = (
        scratch,
        moved(scratch, at.unfolded),
        moved(scratch, at.panel),
        moved(scratch, at.tile),
    )
    for f in range(s.FN):
        for k in range(K):
            filters[f * (K + 1) + k] = W[f * K + k]
        filters[f * (K + 1) + K] = b[f]
    for i in range(s.FN * (K + 1), (s.FN + 7) // 8 * 8 * (K + 1)):
        filters[i] = 0.0
    for n in range(lo, hi):
        unfold_image(s, moved(x, n * s.C * s.H * s.W), unfolded)
        to = moved(out, n * s.FN * P)
        multiply_rows(s.FN, K + 1, P, filters, K + 1, unfolded, _places(scratch, at.places), panel, tile, to)


@shared
def add_filter_gradients(lo, hi, s, dout, x, sums, scratch):
    """sums (K + 1, FN): the images [lo, hi) of the gradients of W and b, with b's behind W's."""
    at, K, P = shares(s, lanes_of(dout)), s.C * s.FH * s.FW, s.OH * s.OW
    _begin_unfolding(s, scratch, at)
    unfolded, panel = moved(scratch, at.unfolded), moved(scratch, at.panel)
    for n in range(lo, hi):
        unfold_image(s, moved(x, n * s.C * s.H * s.W), unfolded)
        given = moved(dout, n * s.FN * P)
        add_gradients(s.FN, K + 1, P, unfolded, _places(scratch, at.places), given, panel, sums, n > lo)


@shared
def convolve_back(lo, hi, s, dout, W, dx, scratch):
    """Images [lo, hi) of dx, the fold of W.T @ dout."""
    at, K, P, window = shares(s, lanes_of(dout)), s.C * s.FH * s.FW, s.OH * s.OW, s.FH * s.FW
    filters, places, panel, tile = (
        scratch,
        _places(scratch, at.places),
        moved(scratch, at.panel),
        moved(scratch, at.tile),
    )
    columns, plane = moved(scratch, at.columns), moved(scratch, at.plane)
    for k in range(K):
        for f in range(s.FN):
            filters[k * s.FN + f] = W[f * K + k]
    for i in range(K * s.FN, (K + 7) // 8 * 8 * s.FN):
        filters[i] = 0.0
    for f in range(s.FN):
        places[f] = f * P
    channels = max(1, min(s.C, FOLDED // (window * P)))
    for n in range(lo, hi):
        given = moved(dout, n * s.FN * P)
        for c in range(0, s.C, channels):
            count = min(channels, s.C - c)
            rows = moved(filters, c * window * s.FN)
            multiply_rows(count * window, s.FN, P, rows, s.FN, given, places, panel, tile, columns)
            fold_columns(s, count, columns, plane, moved(dx, (n * s.C + c) * s.H * s.W))


@merged
def _shape(x, W, stride, pad, out):
    (_, C, H, width), (FN, _, FH, FW), (_, _, OH, OW) = x.shape, W.shape, out.shape
    return Shape(C, H, width, FN, FH, FW, stride, pad, OH, OW)


@inlined
def _parts(N):
    return min(N, PARTS)


@kernel("given[:, :, :, ::1], real[:, :, :, ::1], real[::1], int64, int64, real[:, :, :, ::1], real[::1]")
def convolution_forward(x, W, b, stride, pad, out, scratch):
    """out = W @ cols + b for each image. x may be float32 where the others are float64."""
    s, own = _shape(x, W, stride, pad, out), aligned(scratch)
    convolve(0, x.shape[0], s, pointer(x), pointer(W), pointer(b), pointer(out), moved(pointer(scratch), own))


@kernel(
    "real[:, :, :, ::1], given[:, :, :, ::1], real[:, :, :, ::1], int64, int64, real[:, :, :, ::1], "
    "real[:, :, :, ::1], real[::1], real[::1], real[::1]"
)
def convolution_backward(dout, x, W, stride, pad, dx, dW, db, sums, scratch):
    """dx, dW and db, the sums of the gradients over the batch. `sums` takes the gradients of its parts."""
    s, N = _shape(x, W, stride, pad, dout), x.shape[0]
    size, parts = gradient_size(s, lanes_of(dout)), _parts(N)
    given, pixels, together = pointer(dout), pointer(x), moved(pointer(sums), aligned(sums))
    own = moved(pointer(scratch), aligned(scratch))
    for part in range(parts):
        to = moved(together, part * size)
        add_filter_gradients(N * part // parts, N * (part + 1) // parts, s, given, pixels, to, own)
    convolve_back(0, N, s, given, pointer(W), pointer(dx), own)
    store_gradients(0, s.FN, s.FN, s.C * s.FH * s.FW, parts, size, together, pointer(dW), pointer(db))


@parallel_kernel(
    "given[:, :, :, ::1], real[:, :, :, ::1], real[::1], int64, int64, real[:, :, :, ::1], real[::1], int64"
)
def convolution_forward_threads(x, W, b, stride, pad, out, scratch, threads):
    """convolution_forward, its images split over threads."""
    s, N, size = _shape(x, W, stride, pad, out), x.shape[0], scratch.size // threads
    for part in prange(threads):
        own = scratch[part * size : (part + 1) * size]
        lo, hi, to = N * part // threads, N * (part + 1) // threads, moved(pointer(own), aligned(own))
        convolve(lo, hi, s, pointer(x), pointer(W), pointer(b), pointer(out), to)


@parallel_kernel(
    "real[:, :, :, ::1], given[:, :, :, ::1], real[:, :, :, ::1], int64, int64, real[:, :, :, ::1], "
    "real[:, :, :, ::1], real[::1], real[::1], real[::1], int64"
)
def convolution_backward_threads(dout, x, W, stride, pad, dx, dW, db, sums, scratch, threads):
    """convolution_backward, its parts and its images split over threads."""
    s, N, size = _shape(x, W, stride, pad, dout), x.shape[0], scratch.size // threads
    one, parts = gradient_size(s, lanes_of(dout)), _parts(N)
    for part in prange(threads):
        own = scratch[part * size : (part + 1) * size]
        work, together = moved(pointer(own), aligned(own)), moved(pointer(sums), aligned(sums))
        for each in range(parts * part // threads, parts * (part + 1) // threads):
            lo, hi = N * each // parts, N * (each + 1) // parts
            add_filter_gradients(lo, hi, s, pointer(dout), pointer(x), moved(together, each * one), work)
        convolve_back(N * part // threads, N * (part + 1) // threads, s, pointer(dout), pointer(W), pointer(dx), work)
    together = moved(pointer(sums), aligned(sums))
    store_gradients(0, s.FN, s.FN, s.C * s.FH * s.FW, parts, one, together, pointer(dW), pointer(db))
