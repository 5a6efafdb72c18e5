"""Sigmoid over flat arrays: x, out, dout, dx (size,).

Each pass also comes as a part that takes the elements [lo, hi) of bare pointers.
"""

from fastbp.kernels.exponential import exp
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.simd import (
    absolute,
    add,
    div,
    less,
    load_row_masked,
    mul,
    neg,
    pointer,
    select,
    splat,
    store_row_masked,
    sub,
    width_of,
    zeros,
)

VECTORS = 4


@kernel
def sigmoid_forward(x, out):
    """out = 1 / (1 + exp(-x)), by exp(-|x|), which can't overflow."""
    sigmoid_forward_range(0, x.size, pointer(x), pointer(out))


@inlined
def sigmoid_forward_range(lo, hi, x, out):
    """The same for the elements [lo, hi)."""
    step = zeros(1, VECTORS, x)
    one = splat(step, 1.0)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        tile = load_row_masked(step, x, i, left)
        z = exp(neg(absolute(tile)))
        store_row_masked(div(select(less(tile, 0.0), z, one), add(z, one)), out, i, left)


@kernel
def sigmoid_backward(dout, out, dx):
    """dx = dout · (1 − out) · out."""
    sigmoid_backward_range(0, dout.size, pointer(dout), pointer(out), pointer(dx))


@inlined
def sigmoid_backward_range(lo, hi, dout, out, dx):
    """The same for the elements [lo, hi)."""
    step = zeros(1, VECTORS, dout)
    one = splat(step, 1.0)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        y = load_row_masked(step, out, i, left)
        gradient = mul(mul(load_row_masked(step, dout, i, left), sub(one, y)), y)
        store_row_masked(gradient, dx, i, left)
