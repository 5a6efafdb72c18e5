"""Leaky ReLU: x, out, dout, dx (size,), mask (size,) of bool; alpha, the slope below 0, a number."""

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.tiles import pointer, select
from fastbp.kernels.tiles.elementwise import elementwise

VECTORS = 8  # a step


@inlined
def leaky_relu(x, alpha):
    """out = x where x > 0 or NaN, else alpha · x; mask = x <= 0."""
    blocked = x <= 0.0
    return select(blocked, x * alpha, x), blocked


@inlined
def leaky_relu_gradient(dout, mask, alpha):
    """dx = dout where the mask is off, else alpha · dout."""
    return select(mask != 0.0, dout * alpha, dout)


forward_elements = elementwise(leaky_relu, VECTORS)
backward_elements = elementwise(leaky_relu_gradient, VECTORS)


@kernel("real[::1], float64, real[::1], boolean[::1]")
def leaky_relu_forward(x, alpha, out, mask):
    """out = x where x > 0 or NaN, else alpha · x; mask = x <= 0."""
    forward_elements(0, x.size, (pointer(x),), (pointer(out), pointer(mask)), (alpha,))


@kernel("real[::1], boolean[::1], float64, real[::1]")
def leaky_relu_backward(dout, mask, alpha, dx):
    """dx = dout where the mask is off, else alpha · dout."""
    backward_elements(0, dout.size, (pointer(dout), pointer(mask)), (pointer(dx),), (alpha,))


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of the batch."""
    forward_elements(lo * op.M, hi * op.M, (op.x,), (op.out, op.mask), (op.numbers[0],))


@part
def backward(lo, hi, left, right, op, step):
    """The same of the gradient."""
    backward_elements(lo * op.M, hi * op.M, (op.dout, op.mask), (op.dx,), (op.numbers[0],))
