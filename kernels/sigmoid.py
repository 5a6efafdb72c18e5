"""Sigmoid over flat arrays: x, out, dout, dx (size,)."""

import numpy as np

from fastbp.kernels.flags import kernel


@kernel
def sigmoid_forward(x, out):
    """out = 1 / (1 + exp(-x)), by the branch whose exponential can't overflow."""
    for i in range(x.size):
        if x[i] >= 0:
            out[i] = 1 / (1 + np.exp(-x[i]))
        else:
            e = np.exp(x[i])
            out[i] = e / (1 + e)


@kernel
def sigmoid_backward(dout, out, dx):
    """dx = dout · (1 − out) · out."""
    for i in range(dout.size):
        dx[i] = dout[i] * (1 - out[i]) * out[i]
