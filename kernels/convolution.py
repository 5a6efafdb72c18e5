"""Convolution: x, dx (N, C, H, W); W, dW (FN, C, FH, FW); b, db (FN,); out, dout (N, FN, OH, OW).

With W as a matrix (FN, K) and `cols` (K, OH · OW) what the filters see of an image, K = C · FH · FW:

    out = W @ cols + b        dW = sum over the batch of dout @ cols.T        dx = the fold of W.T @ dout

No such matrix is made. An image is unfolded along its rows alone (`images.planes`), which is a K-th of it times FW, and
the products read their panels from there; what W.T @ dout gives is folded a few channels at a time.

Threads take images, or groups of them, which don't depend on how many threads there are: the same bits for any
number. Scratch has `images.shape.scratch_sizes` elements.
"""

from numba import prange

from fastbp.kernels.build.flags import expanded, inlined, kernel, parallel_kernel, part, shared
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.images.planes import fill_with_ones, fold_columns, places_of_terms, unfold_image
from fastbp.kernels.images.products import add_gradients, multiply_rows, store_gradients
from fastbp.kernels.images.shape import FOLDED, Shape, gradient_size, shape_of, shares
from fastbp.kernels.loop.calls import call
from fastbp.kernels.loop.groups import group_border, groups_of
from fastbp.kernels.relu import backward_elements, forward_elements
from fastbp.kernels.tiles import address_as_bytes, address_as_int64, aligned, lanes_of, moved, pointer, reinterpret


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
def convolve(lo, hi, s, x, W, b, out, mask, rectified, scratch):
    """Images [lo, hi) of out = W @ cols + b; if `rectified` of the ReLU of that, and its mask."""
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
        if rectified:
            forward_elements(n * s.FN * P, (n + 1) * s.FN * P, (out,), (out, mask), ())


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
def turn_filters(s, W, filters):
    """W.T, as `convolve_back` reads it."""
    K = s.C * s.FH * s.FW
    for k in range(K):
        for f in range(s.FN):
            filters[k * s.FN + f] = W[f * K + k]
    for i in range(K * s.FN, (K + 7) // 8 * 8 * s.FN):
        filters[i] = 0.0


@shared
def convolve_back(lo, hi, s, dout, dx, mask, masked, scratch):
    """Images [lo, hi) of dx, the fold of W.T @ dout, if `masked` 0 where the mask is on. W.T lies in scratch."""
    at, P, window = shares(s, lanes_of(dout)), s.OH * s.OW, s.FH * s.FW
    filters, places, panel, tile = (
        scratch,
        _places(scratch, at.places),
        moved(scratch, at.panel),
        moved(scratch, at.tile),
    )
    columns, plane = moved(scratch, at.columns), moved(scratch, at.plane)
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
        if masked:
            size = s.C * s.H * s.W
            backward_elements(n * size, (n + 1) * size, (dx, mask), (dx,), ())


@expanded
def _shape(x, W, stride, pad, out):
    (_, C, H, width), (FN, _, FH, FW), (_, _, OH, OW) = x.shape, W.shape, out.shape
    return Shape(C, H, width, FN, FH, FW, stride, pad, OH, OW)


@expanded
def _no_mask():
    return address_as_bytes(0)


@kernel("given[:, :, :, ::1], real[:, :, :, ::1], real[::1], int64, int64, real[:, :, :, ::1], real[::1]")
def convolution_forward(x, W, b, stride, pad, out, scratch):
    """out = W @ cols + b for each image. x may be float32 where the others are float64."""
    s, own = _shape(x, W, stride, pad, out), aligned(scratch)
    filters, bias, scratch = pointer(W), pointer(b), moved(pointer(scratch), own)
    convolve(0, x.shape[0], s, pointer(x), filters, bias, pointer(out), _no_mask(), False, scratch)


@kernel(
    "real[:, :, :, ::1], given[:, :, :, ::1], real[:, :, :, ::1], int64, int64, real[:, :, :, ::1], "
    "real[:, :, :, ::1], real[::1], real[::1], real[::1]"
)
def convolution_backward(dout, x, W, stride, pad, dx, dW, db, sums, scratch):
    """dx, dW and db, the sums of the gradients over the batch. `sums` takes the gradients of its parts."""
    s, N = _shape(x, W, stride, pad, dout), x.shape[0]
    size, groups = gradient_size(s, lanes_of(dout)), groups_of(N)
    given, pixels, together = pointer(dout), pointer(x), moved(pointer(sums), aligned(sums))
    own = moved(pointer(scratch), aligned(scratch))
    for group in range(groups):
        to = moved(together, group * size)
        add_filter_gradients(group_border(group, N), group_border(group + 1, N), s, given, pixels, to, own)
    turn_filters(s, pointer(W), own)
    convolve_back(0, N, s, given, pointer(dx), _no_mask(), False, own)
    store_gradients(0, s.FN, s.FN, s.C * s.FH * s.FW, groups, size, together, pointer(dW), pointer(db))


@parallel_kernel(
    "given[:, :, :, ::1], real[:, :, :, ::1], real[::1], int64, int64, real[:, :, :, ::1], real[::1], int64"
)
def convolution_forward_threads(x, W, b, stride, pad, out, scratch, threads):
    """convolution_forward, its images split over threads."""
    s, N, size = _shape(x, W, stride, pad, out), x.shape[0], scratch.size // threads
    for thread in prange(threads):
        own = scratch[thread * size : (thread + 1) * size]
        lo, hi, to = N * thread // threads, N * (thread + 1) // threads, moved(pointer(own), aligned(own))
        convolve(lo, hi, s, pointer(x), pointer(W), pointer(b), pointer(out), _no_mask(), False, to)


@parallel_kernel(
    "real[:, :, :, ::1], given[:, :, :, ::1], real[:, :, :, ::1], int64, int64, real[:, :, :, ::1], "
    "real[:, :, :, ::1], real[::1], real[::1], real[::1], int64"
)
def convolution_backward_threads(dout, x, W, stride, pad, dx, dW, db, sums, scratch, threads):
    """convolution_backward, its parts and its images split over threads."""
    s, N, size = _shape(x, W, stride, pad, dout), x.shape[0], scratch.size // threads
    one, groups = gradient_size(s, lanes_of(dout)), groups_of(N)
    for thread in prange(threads):
        own = scratch[thread * size : (thread + 1) * size]
        work, together = moved(pointer(own), aligned(own)), moved(pointer(sums), aligned(sums))
        for group in range(groups * thread // threads, groups * (thread + 1) // threads):
            lo, hi = group_border(group, N), group_border(group + 1, N)
            add_filter_gradients(lo, hi, s, pointer(dout), pointer(x), moved(together, group * one), work)
        turn_filters(s, pointer(W), work)
        lo, hi = N * thread // threads, N * (thread + 1) // threads
        convolve_back(lo, hi, s, pointer(dout), pointer(dx), _no_mask(), False, work)
    together = moved(pointer(sums), aligned(sums))
    store_gradients(0, s.FN, s.FN, s.C * s.FH * s.FW, groups, one, together, pointer(dW), pointer(db))


# --- parts of the loop ---


@part
def forward(lo, hi, left, right, op, step):
    """Images [lo, hi) of the output, rectified where the operation has a mask."""
    W, b, rectified = op.W.value, op.b.value, is_there(op.mask)
    convolve(lo, hi, shape_of(op.sizes), op.x, W, b, op.out, op.mask, rectified, step.scratch)


@part
def backward(lo, hi, left, right, op, step):
    """The gradients of the filters, a sum for each of the groups that the images [lo, hi) are; and of these images."""
    s, goes_on = shape_of(op.sizes), is_there(op.dx)
    size, groups = gradient_size(s, lanes_of(op.dout)), groups_of(step.N)
    if goes_on:
        turn_filters(s, op.W.value, step.scratch)
    for group in range(groups):
        begin, end = group_border(group, step.N), group_border(group + 1, step.N)
        if begin >= lo and begin < hi:
            if op.masks != 0:
                backward_elements(begin * op.M, end * op.M, (op.dout, op.mask), (op.dout,), ())
            add_filter_gradients(begin, end, s, op.dout, op.x, moved(op.sums, group * size), step.scratch)
            if goes_on:
                convolve_back(begin, end, s, op.dout, op.dx, op.below, is_there(op.below), step.scratch)


@part
def update(lo, hi, left, right, op, step):
    """The filters [lo, hi), and their biases."""
    s, settings = shape_of(op.sizes), step.settings
    K, size = s.C * s.FH * s.FW, gradient_size(s, lanes_of(op.dout))
    store_gradients(lo, hi, s.FN, K, groups_of(step.N), size, op.sums, op.W.gradient, op.b.gradient)
    if settings.decays != 0:
        call(settings.decays, lo * K, hi * K, 0, 0, op.W, step)
    call(settings.optimize, lo * K, hi * K, 0, 0, op.W, step)
    if op.trained > 1:
        call(settings.optimize, lo, hi, 0, 0, op.b, step)
