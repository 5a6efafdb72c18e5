"""The hyperbolic tangent: x, out, dout, dx (size,)."""

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.tiles import absolute, pointer, select
from fastbp.kernels.tiles.elementwise import elementwise
from fastbp.kernels.tiles.exponential import exp

VECTORS = 4  # a step
SMALL = 0.625  # below this the quotient of exponentials loses digits


@inlined
def tanh(x):
    """(1 − z) / (1 + z) with z = exp(−2·|x|), which can't overflow; near 0 by a quotient of polynomials in x².

    That is of S. L. Moshier's Cephes library, good to the last bit of a float64.
    """
    size, s = absolute(x), x * x
    z = exp(size * -2.0)
    large = (1.0 - z) / (z + 1.0)
    above = (s * -9.64399179425052238628e-1 - 9.92877231001918586564e1) * s - 1.61468768441708447952e3
    below = ((s + 1.12811678491632931402e2) * s + 2.23548839060100448583e3) * s + 4.84406305325125486048e3
    return select(size < SMALL, x + x * s * above / below, select(x < 0.0, -large, large))


@inlined
def tanh_gradient(dout, y):
    """dx = dout · (1 − y²)."""
    return dout * (1.0 - y * y)


forward_elements = elementwise(tanh, VECTORS)
backward_elements = elementwise(tanh_gradient, VECTORS)


@kernel("real[::1], real[::1]")
def tanh_forward(x, out):
    """out = tanh(x)."""
    forward_elements(0, x.size, (pointer(x),), (pointer(out),), ())


@kernel("real[::1], real[::1], real[::1]")
def tanh_backward(dout, out, dx):
    """dx = dout · (1 − out²)."""
    backward_elements(0, dout.size, (pointer(dout), pointer(out)), (pointer(dx),), ())


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of the batch."""
    forward_elements(lo * op.M, hi * op.M, (op.x,), (op.out,), ())


@part
def backward(lo, hi, left, right, op, step):
    """The same of the gradient."""
    backward_elements(lo * op.M, hi * op.M, (op.dout, op.out), (op.dx,), ())
