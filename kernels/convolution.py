"""Convolution: x, dx (N, C, H, W); W, dW (FN, C, FH, FW); b, db (FN,); out, dout (N, FN, OH, OW).

With W as a matrix (K, FN), K = C · FH · FW, and `seen` (OH · OW, K) what the filters see of an image, a row a place:

    out = seen @ W + b        dW = sum over the batch of seen.T @ dout

dx is a convolution of dout with W turned around; a stride makes several of it, each with some of the filters' pixels.

No such matrix is made. An image is copied into a border of zeros, where an element of `seen` lies at the sum of two
numbers, one of its row and one of its column (`images.planes`): the inner loop takes both from tables. A vector holds
filters side by side, or channels of dx; sums have a row a pixel, and are transposed to where they belong.

3 x 3 filters of many channels are multiplied by tiles of 2 x 2 results instead, fewer times (`images.winograd`).

Threads take images, or groups of them, which don't depend on how many threads there are: the same bits for any
number. Scratch has `images.shape.scratch_sizes` elements.
"""

from numba import types

from fastbp.kernels.build.flags import expanded, inlined, kernel, part, shared
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.build.threads import on_threads
from fastbp.kernels.finite import all_finite
from fastbp.kernels.images.direct import add_gradients_directly, convolve_directly, fold_back, see_back
from fastbp.kernels.images.products import store_gradients, turn_filters
from fastbp.kernels.images.shape import Shape, gradient_size, has_few_channels, shape_of
from fastbp.kernels.images.tiled import add_gradients_of_tiles, begin_tiles_back, convolve_tiles, see_tiles_back
from fastbp.kernels.images.tiling import is_tiled
from fastbp.kernels.images.winograd import make_factors
from fastbp.kernels.loop.calls import call
from fastbp.kernels.loop.groups import group_border, groups_of
from fastbp.kernels.relu import backward_elements
from fastbp.kernels.tiles import address_as_bytes, aligned, lanes_of, moved, pointer


@inlined
def convolve(lo, hi, s, x, W, b, out, mask, rectified, scratch):
    """Images [lo, hi) of out = seen @ W + b; if `rectified` of the ReLU of that, and its mask."""
    if is_tiled(s):
        convolve_tiles(lo, hi, s, x, W, b, out, mask, rectified, scratch)
    else:
        convolve_directly(lo, hi, s, x, W, b, out, mask, rectified, scratch)


@inlined
def add_filter_gradients(lo, hi, s, dout, x, sums, scratch):
    """sums (K + 1, FN): the images [lo, hi) of the gradients of W and b, with b's behind W's."""
    if is_tiled(s):
        add_gradients_of_tiles(lo, hi, s, dout, x, sums, scratch)
    else:
        add_gradients_directly(lo, hi, s, dout, x, sums, scratch)


@inlined
def begin_back(s, W, scratch):
    """What `convolve_back` needs of W, in scratch; whether dx is folded.

    Otherwise dout has a border of zeros, and where W isn't finite these would make NaN of pixels that no filter saw.
    """
    folded = has_few_channels(s, lanes_of(W)) or not all_finite(0, s.FN * s.C * s.FH * s.FW, W)
    if not folded:
        turn_filters(s, W, scratch)
        if is_tiled(s):
            begin_tiles_back(s, scratch)
    return folded


@inlined
def convolve_back(lo, hi, s, folded, dout, W, dx, mask, masked, scratch):
    """Images [lo, hi) of dx, if `masked` 0 where the mask is on."""
    size = s.C * s.H * s.W
    if folded:
        fold_back(lo, hi, s, dout, W, dx, scratch)
    elif is_tiled(s):
        see_tiles_back(lo, hi, s, dout, W, dx, scratch)
    else:
        see_back(lo, hi, s, dout, dx, scratch)
    if masked:
        backward_elements(lo * size, hi * size, (dx, mask), (dx,), ())


@expanded
def _shape(x, W, stride, pad, out):
    (_, C, H, width), (FN, _, FH, FW), (_, _, OH, OW) = x.shape, W.shape, out.shape
    return Shape(C, H, width, FN, FH, FW, stride, pad, OH, OW)


@expanded
def _no_mask():
    return address_as_bytes(0)


_FORWARD = "real[:, :, :, ::1], real[:, :, :, ::1], real[::1], int64, int64, real[:, :, :, ::1], real[::1]"
_BACKWARD = (
    "real[:, :, :, ::1], real[:, :, :, ::1], real[:, :, :, ::1], int64, int64, real[:, :, :, ::1], "
    "real[:, :, :, ::1], real[::1], real[::1], real[::1]"
)


def _products(x, *others):
    """The C functions of a layer's kernels, all at once; see `kernels.affine`."""
    array, n = types.CPointer(x.dtype), types.int64
    shape, no_mask = types.NamedUniTuple(n, len(Shape._fields), Shape), (types.CPointer(types.uint8), types.boolean)
    return [
        convolve_directly.of(n, n, shape, *(array,) * 4, *no_mask, array),
        convolve_tiles.of(n, n, shape, *(array,) * 4, *no_mask, array),
        add_gradients_directly.of(n, n, shape, *(array,) * 4),
        add_gradients_of_tiles.of(n, n, shape, *(array,) * 4),
        fold_back.of(n, n, shape, *(array,) * 4),
        see_back.of(n, n, shape, *(array,) * 3),
        see_tiles_back.of(n, n, shape, *(array,) * 4),
        turn_filters.of(shape, array, array),
        make_factors.of(n, n, types.boolean, array, array),
        store_gradients.of(*(n,) * 6, *(array,) * 3),
        forward_of_thread.of(n, n, n, shape, *(array,) * 5, n),
        backward_of_thread.of(n, n, n, shape, *(array,) * 6, n),
    ]


@kernel(_FORWARD, needs=_products)
def convolution_forward(x, W, b, stride, pad, out, scratch):
    """out = seen @ W + b for each image."""
    s, memory = _shape(x, W, stride, pad, out), pointer(scratch)
    forward_of_thread(0, 1, x.shape[0], s, pointer(x), pointer(W), pointer(b), pointer(out), memory, scratch.size)


@kernel(_BACKWARD, needs=_products)
def convolution_backward(dout, x, W, stride, pad, dx, dW, db, sums, scratch):
    """dx, dW and db, the sums of the gradients over the batch. `sums` takes the gradients of its parts."""
    s, N = _shape(x, W, stride, pad, dout), x.shape[0]
    size, together = gradient_size(s, lanes_of(dout)), moved(pointer(sums), aligned(sums))
    given = pointer(dout), pointer(x), pointer(W), pointer(dx), together, pointer(scratch)
    backward_of_thread(0, 1, N, s, *given, scratch.size)
    store_gradients(0, s.FN, s.FN, s.C * s.FH * s.FW, groups_of(N), size, together, pointer(dW), pointer(db))


@shared
def forward_of_thread(part, threads, N, s, x, W, b, out, scratch, size):
    """The images of this thread; it has `size` elements of scratch."""
    own, lo, hi = moved(scratch, part * size), N * part // threads, N * (part + 1) // threads
    convolve(lo, hi, s, x, W, b, out, _no_mask(), False, moved(own, aligned(own)))


@shared
def backward_of_thread(part, threads, N, s, dout, x, W, dx, sums, scratch, size):
    """The groups of images whose gradients this thread sums up, and the images of dx that are its own."""
    one, groups, own = gradient_size(s, lanes_of(dout)), groups_of(N), moved(scratch, part * size)
    own = moved(own, aligned(own))
    for group in range(groups * part // threads, groups * (part + 1) // threads):
        to = moved(sums, group * one)
        add_filter_gradients(group_border(group, N), group_border(group + 1, N), s, dout, x, to, own)
    folded, lo, hi = begin_back(s, W, own), N * part // threads, N * (part + 1) // threads
    convolve_back(lo, hi, s, folded, dout, W, dx, _no_mask(), False, own)


@kernel(f"{_FORWARD}, int64, int64", needs=_products)
def convolution_forward_threads(x, W, b, stride, pad, out, scratch, threads, launcher):
    """convolution_forward, its images split over threads."""
    s, size = _shape(x, W, stride, pad, out), scratch.size // threads
    given = (x.shape[0], s, pointer(x), pointer(W), pointer(b), pointer(out), pointer(scratch), size)
    on_threads(forward_of_thread, launcher, threads, given)


@kernel(f"{_BACKWARD}, int64, int64", needs=_products)
def convolution_backward_threads(dout, x, W, stride, pad, dx, dW, db, sums, scratch, threads, launcher):
    """convolution_backward, its parts and its images split over threads."""
    s, N, size = _shape(x, W, stride, pad, dout), x.shape[0], scratch.size // threads
    one, together = gradient_size(s, lanes_of(dout)), moved(pointer(sums), aligned(sums))
    given = (N, s, pointer(dout), pointer(x), pointer(W), pointer(dx), together, pointer(scratch), size)
    on_threads(backward_of_thread, launcher, threads, given)
    store_gradients(0, s.FN, s.FN, s.C * s.FH * s.FW, groups_of(N), one, together, pointer(dW), pointer(db))


# --- parts of the loop ---


@part
def forward(lo, hi, left, right, op, step):
    """Images [lo, hi) of the output, rectified where the operation has a mask."""
    W, b, rectified = op.W.value, op.b.value, is_there(op.mask)
    convolve(lo, hi, shape_of(op.sizes), op.x, W, b, op.out, op.mask, rectified, step.scratch)


@part
def backward(lo, hi, left, right, op, step):
    """The gradients of the filters, a sum for each of the groups that the images [lo, hi) are; and of these images."""
    s, goes_on, folded = shape_of(op.sizes), is_there(op.dx), False
    size, groups = gradient_size(s, lanes_of(op.dout)), groups_of(step.N)
    if goes_on:
        folded = begin_back(s, op.W.value, step.scratch)
    for group in range(groups):
        begin, end = group_border(group, step.N), group_border(group + 1, step.N)
        if begin >= lo and begin < hi:
            if op.masks != 0:
                backward_elements(begin * op.M, end * op.M, (op.dout, op.mask), (op.dout,), ())
            add_filter_gradients(begin, end, s, op.dout, op.x, moved(op.sums, group * size), step.scratch)
            if goes_on:
                into, W = (op.dx, op.below, is_there(op.below)), op.W.value
                convolve_back(begin, end, s, folded, op.dout, W, *into, step.scratch)


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
