"""Sigmoid: x, out, dout, dx (size,)."""

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.tiles import absolute, pointer, select, splat
from fastbp.kernels.tiles.elementwise import elementwise
from fastbp.kernels.tiles.exponential import exp

VECTORS = 4  # a step


@inlined
def sigmoid(x):
    """1 / (1 + exp(-x)), by exp(-|x|), which can't overflow."""
    z, one = exp(-absolute(x)), splat(x, 1.0)
    return select(x < 0.0, z, one) / (z + one)


@inlined
def sigmoid_gradient(dout, y):
    """dx = dout · (1 − y) · y."""
    return dout * (1.0 - y) * y


forward_elements = elementwise(sigmoid, VECTORS)
backward_elements = elementwise(sigmoid_gradient, VECTORS)


@kernel("real[::1], real[::1]")
def sigmoid_forward(x, out):
    """out = 1 / (1 + exp(-x))."""
    forward_elements(0, x.size, (pointer(x),), (pointer(out),), ())


@kernel("real[::1], real[::1], real[::1]")
def sigmoid_backward(dout, out, dx):
    """dx = dout · (1 − out) · out."""
    backward_elements(0, dout.size, (pointer(dout), pointer(out)), (pointer(dx),), ())


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of the batch."""
    forward_elements(lo * op.M, hi * op.M, (op.x,), (op.out,), ())


@part
def backward(lo, hi, left, right, op, step):
    """The same of the gradient."""
    backward_elements(lo * op.M, hi * op.M, (op.dout, op.out), (op.dx,), ())
