"""The oracle: the layers in plain NumPy, as the book writes them, with its known faults corrected.

The compiled layers are held equal to these, so nothing is shared with them: this file imports NumPy alone, checks
little, and is meant to be read in one sitting beside the book's chapter 5.
"""

from typing import Any

import numpy as np


class MulLayer:
    def __init__(self) -> None:
        self.x: Any = None
        self.y: Any = None

    def forward(self, x: Any, y: Any) -> Any:
        self.x = x
        self.y = y
        return x * y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        dx = dout * self.y  # x and y change places
        dy = dout * self.x
        return dx, dy


class AddLayer:
    def __init__(self) -> None:
        pass

    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        return dout * 1, dout * 1


class Relu:
    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Any) -> Any:
        dx = dout.copy()  # the book writes into dout itself
        dx[self.mask] = 0
        return dx


class Sigmoid:
    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        z = np.exp(-np.abs(x))  # at most 1, so neither side overflows
        self.out = np.where(x < 0, z, 1) / (1 + z)
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1.0 - self.out) * self.out


class Affine:
    def __init__(self, W: Any, b: Any) -> None:
        self.W = W
        self.b = b
        self.x: Any = None
        self.original_x_shape: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Any) -> Any:
        self.original_x_shape = x.shape
        self.x = x.reshape(1 if x.ndim == 1 else x.shape[0], -1)
        out = np.dot(self.x, self.W) + self.b
        return out[0] if x.ndim == 1 else out

    def backward(self, dout: Any) -> Any:
        dout = dout.reshape(self.x.shape[0], -1)
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(self.original_x_shape)


class SoftmaxWithLoss:
    def __init__(self, eps: float = 0.0) -> None:
        self.eps = eps
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: Any, t: Any) -> Any:
        self.t = t
        shifted = x - np.max(x, axis=-1, keepdims=True)
        exp_x = np.exp(shifted)
        total = np.sum(exp_x, axis=-1, keepdims=True)
        self.y = exp_x / total
        log_y = np.log(self.y + self.eps) if self.eps else shifted - np.log(total)
        p = self._probabilities()
        # A class that isn't meant costs nothing, even where log_y is -inf.
        self.loss = float(-np.sum(p * np.where(p == 0, 0, log_y)) / self._batch_size())
        return self.loss

    def backward(self, dout: Any = 1) -> Any:
        p = self._probabilities()
        return (self.y * np.sum(p, axis=-1, keepdims=True) - p) / self._batch_size() * dout

    def _batch_size(self) -> int:
        return 1 if self.y.ndim == 1 else len(self.y)

    def _probabilities(self) -> Any:
        t = np.asarray(self.t)
        if t.shape == self.y.shape:
            return t.astype(self.y.dtype)
        one_hot = np.zeros_like(self.y).reshape(self._batch_size(), -1)
        one_hot[np.arange(len(one_hot)), t.reshape(-1)] = 1
        return one_hot.reshape(self.y.shape)
