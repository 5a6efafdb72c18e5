"""The layers in the fastest plain NumPy that we know: what a careful reader of the book would write by hand.

Same results as the oracle; fewer temporaries, and no boolean indexing.
"""

from typing import Any

import numpy as np

from fastbp import reference

Affine = reference.Affine  # np.dot with an added bias is already NumPy's best


class Relu:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return np.multiply(dout, ~self.mask)


class Sigmoid:
    def forward(self, x: Any) -> Any:
        # tanh can't overflow, so that no branch is needed: sigmoid(x) = ½ tanh(½ x) + ½.
        out = np.multiply(x, x.dtype.type(0.5))
        np.tanh(out, out=out)
        out *= x.dtype.type(0.5)
        out += x.dtype.type(0.5)
        self.out = out
        return out

    def backward(self, dout: Any) -> Any:
        dx = 1 - self.out
        dx *= self.out
        dx *= dout
        return dx


class SoftmaxWithLoss:
    """Class indices alone: the gradient needs no one-hot array then."""

    def forward(self, x: Any, t: Any) -> Any:
        self.rows = np.arange(len(x))
        self.t = t
        shifted = x - x.max(axis=1, keepdims=True)
        picked = shifted[self.rows, t]
        self.y = np.exp(shifted, out=shifted)
        total = self.y.sum(axis=1, keepdims=True)
        self.y /= total
        self.loss = float(np.mean(np.log(total[:, 0]) - picked))
        return self.loss

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[self.rows, self.t] -= 1
        dx *= dout / len(dx)
        return dx
