"""ReLU: x, out, dout, dx (size,), mask (size,) of bool."""

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.tiles import pointer, select
from fastbp.kernels.tiles.elementwise import elementwise

VECTORS = 8  # a step: enough loads under way to keep memory busy


@inlined
def relu(tile):
    """out = x where x > 0 or NaN, else 0; mask = x <= 0."""
    blocked = tile <= 0.0
    return select(blocked, 0.0, tile), blocked


@inlined
def relu_gradient(dout, mask):
    """dx = dout where the mask is off, else 0."""
    return select(mask != 0.0, 0.0, dout)


forward_elements = elementwise(relu, VECTORS)
backward_elements = elementwise(relu_gradient, VECTORS)


@kernel("real[::1], real[::1], boolean[::1]")
def relu_forward(x, out, mask):
    """out = x where x > 0 or NaN, else 0; mask = x <= 0."""
    forward_elements(0, x.size, (pointer(x),), (pointer(out), pointer(mask)), ())


@kernel("real[::1], boolean[::1], real[::1]")
def relu_backward(dout, mask, dx):
    """dx = dout where the mask is off, else 0."""
    backward_elements(0, dout.size, (pointer(dout), pointer(mask)), (pointer(dx),), ())


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of the batch."""
    forward_elements(lo * op.M, hi * op.M, (op.x,), (op.out, op.mask), ())


@part
def backward(lo, hi, left, right, op, step):
    """The same of the gradient."""
    backward_elements(lo * op.M, hi * op.M, (op.dout, op.mask), (op.dx,), ())
