"""ReLU over flat arrays: x, out, dout, dx (size,), mask (size,) of bool."""

from fastbp.kernels.flags import kernel


@kernel
def relu_forward(x, out, mask):
    """out = x where x > 0 or NaN, else 0; mask = x <= 0."""
    for i in range(x.size):
        blocked = x[i] <= 0
        mask[i] = blocked
        out[i] = 0 if blocked else x[i]


@kernel
def relu_backward(dout, mask, dx):
    """dx = dout where the mask is off, else 0."""
    for i in range(dout.size):
        dx[i] = 0 if mask[i] else dout[i]
