"""ReLU over flat arrays: x, out, dout, dx (size,), mask (size,) of bool.

Each pass also comes as a part that takes the elements [lo, hi) of bare pointers.
"""

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.simd import (
    less_equal,
    load_row_masked,
    not_equal,
    pointer,
    select,
    store_row_masked,
    width_of,
    zeros,
)

VECTORS = 8  # a step: enough loads under way to keep memory busy


@kernel
def relu_forward(x, out, mask):
    """out = x where x > 0 or NaN, else 0; mask = x <= 0."""
    relu_forward_range(0, x.size, pointer(x), pointer(out), pointer(mask))


@inlined
def relu_forward_range(lo, hi, x, out, mask):
    """The same for the elements [lo, hi)."""
    step = zeros(1, VECTORS, x)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        tile = load_row_masked(step, x, i, left)
        blocked = less_equal(tile, 0.0)
        store_row_masked(blocked, mask, i, left)
        store_row_masked(select(blocked, 0.0, tile), out, i, left)


@kernel
def relu_backward(dout, mask, dx):
    """dx = dout where the mask is off, else 0."""
    relu_backward_range(0, dout.size, pointer(dout), pointer(mask), pointer(dx))


@inlined
def relu_backward_range(lo, hi, dout, mask, dx):
    """The same for the elements [lo, hi)."""
    step = zeros(1, VECTORS, dout)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        blocked = not_equal(load_row_masked(step, mask, i, left), 0.0)
        store_row_masked(select(blocked, 0.0, load_row_masked(step, dout, i, left)), dx, i, left)
