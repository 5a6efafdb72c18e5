"""ReLU over flat arrays: x, out, dout, dx (size,), mask (size,) of bool."""

from fastbp.kernels.flags import kernel
from fastbp.kernels.simd import less_equal, load_row_masked, not_equal, select, store_row_masked, width_of, zeros

VECTORS = 8  # a step: enough loads under way to keep memory busy


@kernel
def relu_forward(x, out, mask):
    """out = x where x > 0 or NaN, else 0; mask = x <= 0."""
    step = zeros(1, VECTORS, x)
    for i in range(0, x.size, width_of(step)):
        left = x.size - i
        tile = load_row_masked(step, x, i, left)
        blocked = less_equal(tile, 0.0)
        store_row_masked(blocked, mask, i, left)
        store_row_masked(select(blocked, 0.0, tile), out, i, left)


@kernel
def relu_backward(dout, mask, dx):
    """dx = dout where the mask is off, else 0."""
    step = zeros(1, VECTORS, dout)
    for i in range(0, dout.size, width_of(step)):
        left = dout.size - i
        blocked = not_equal(load_row_masked(step, mask, i, left), 0.0)
        store_row_masked(select(blocked, 0.0, load_row_masked(step, dout, i, left)), dx, i, left)
