"""The oracle: the layers in plain NumPy, as the book writes them, with its known faults corrected.

The compiled layers are held equal to these, so nothing is shared with them: this file imports NumPy alone, checks
little, and is meant to be read in one sitting beside the book's chapters 5 and 7.
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


class Tanh:
    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.out**2)


class LeakyRelu:
    def __init__(self, alpha: float = 0.01) -> None:
        self.alpha = alpha
        self.mask: Any = None

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.where(self.mask, self.alpha * x, x)

    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, self.alpha * dout, dout)


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


def im2col(x: Any, filter_h: int, filter_w: int, stride: int, pad: int) -> Any:
    n, c, h, w = x.shape
    out_h = (h + 2 * pad - filter_h) // stride + 1
    out_w = (w + 2 * pad - filter_w) // stride + 1
    img = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    col = np.zeros((n, c, filter_h, filter_w, out_h, out_w), x.dtype)  # the book's are always float64
    for i in range(filter_h):
        for j in range(filter_w):
            col[:, :, i, j, :, :] = img[:, :, i : i + stride * out_h : stride, j : j + stride * out_w : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(n * out_h * out_w, -1)


def col2im(col: Any, input_shape: Any, filter_h: int, filter_w: int, stride: int, pad: int) -> Any:
    n, c, h, w = input_shape
    out_h = (h + 2 * pad - filter_h) // stride + 1
    out_w = (w + 2 * pad - filter_w) // stride + 1
    col = col.reshape(n, out_h, out_w, c, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((n, c, h + 2 * pad, w + 2 * pad), col.dtype)
    for i in range(filter_h):
        for j in range(filter_w):
            img[:, :, i : i + stride * out_h : stride, j : j + stride * out_w : stride] += col[:, :, i, j, :, :]
    return img[:, :, pad : pad + h, pad : pad + w]


class Convolution:
    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x: Any = None
        self.col: Any = None
        self.col_W: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Any) -> Any:
        fn, _, fh, fw = self.W.shape
        n, _, h, w = x.shape
        out_h = (h + 2 * self.pad - fh) // self.stride + 1
        out_w = (w + 2 * self.pad - fw) // self.stride + 1
        self.x = x
        self.col = im2col(x, fh, fw, self.stride, self.pad)
        self.col_W = self.W.reshape(fn, -1).T
        out = np.dot(self.col, self.col_W) + self.b
        return out.reshape(n, out_h, out_w, fn).transpose(0, 3, 1, 2)

    def backward(self, dout: Any) -> Any:
        fn, _, fh, fw = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, fn)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout).T.reshape(self.W.shape)
        dcol = np.dot(dout, self.col_W.T)
        return col2im(dcol, self.x.shape, fh, fw, self.stride, self.pad)


class Pooling:
    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x: Any = None
        self.arg_max: Any = None

    def forward(self, x: Any) -> Any:
        n, c, h, w = x.shape
        out_h = (h + 2 * self.pad - self.pool_h) // self.stride + 1  # the book forgets the pad
        out_w = (w + 2 * self.pad - self.pool_w) // self.stride + 1
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad)
        col = col.reshape(-1, self.pool_h * self.pool_w)
        self.x = x
        self.arg_max = np.argmax(col, axis=1)  # the first of equal ones
        return np.max(col, axis=1).reshape(n, out_h, out_w, c).transpose(0, 3, 1, 2)

    def backward(self, dout: Any) -> Any:
        dout = dout.transpose(0, 2, 3, 1)
        dcol = np.zeros((dout.size, self.pool_h * self.pool_w), dout.dtype)
        dcol[np.arange(dout.size), self.arg_max] = dout.flatten()
        return col2im(dcol, self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad)


class Dropout:
    def __init__(self, dropout_ratio: float = 0.5, *, rng: Any = None) -> None:
        self.dropout_ratio = dropout_ratio
        self.rng = rng
        self.mask: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if not train_flg:
            return x * (1.0 - self.dropout_ratio)
        drawn = np.random.rand(*x.shape) if self.rng is None else self.rng.random(x.shape)
        self.mask = drawn > self.dropout_ratio
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class BatchNormalization:
    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.input_shape: Any = None
        self.running_mean = running_mean
        self.running_var = running_var
        self.batch_size: Any = None
        self.xc: Any = None
        self.xn: Any = None
        self.std: Any = None
        self.dgamma: Any = None
        self.dbeta: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.input_shape = x.shape
        columns = self._columns(x)
        if self.running_mean is None:
            self.running_mean = np.zeros(columns.shape[1], self.gamma.dtype)
            self.running_var = np.zeros(columns.shape[1], self.gamma.dtype)
        if train_flg:
            mu = columns.mean(axis=0)
            xc = columns - mu
            var = np.mean(xc**2, axis=0)
            std = np.sqrt(var + 1e-6)
            xn = xc / std
            self.batch_size = len(x)
            self.xc, self.xn, self.std = self._image(xc), self._image(xn), std
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            xn = (columns - self.running_mean) / np.sqrt(self.running_var + 1e-6)
        return self._image(self.gamma * xn + self.beta).reshape(x.shape)

    def backward(self, dout: Any) -> Any:
        columns, xc, xn = self._columns(dout), self._columns(self.xc), self._columns(self.xn)
        self.dbeta = np.sum(columns, axis=0)
        self.dgamma = np.sum(xn * columns, axis=0)
        dxn = self.gamma * columns
        dxc = dxn / self.std
        dstd = -np.sum((dxn * xc) / (self.std * self.std), axis=0)
        dvar = 0.5 * dstd / self.std
        dxc = dxc + 2.0 / len(columns) * xc * dvar
        dmu = np.sum(dxc, axis=0)
        return self._image(dxc - dmu / len(columns)).reshape(self.input_shape)

    def _by_channel(self) -> bool:
        """Whether a feature is a channel of images. In the book it is an element, whatever gamma's size."""
        shape = self.input_shape
        return len(shape) == 4 and np.size(self.gamma) == shape[1] and shape[2:] != (1, 1)

    def _columns(self, image: Any) -> Any:
        """A column for each feature, of what has the shape of x or is columns already."""
        if self._by_channel():
            return image.reshape(self.input_shape).transpose(0, 2, 3, 1).reshape(-1, self.input_shape[1])
        return image.reshape(self.input_shape[0], -1)

    def _image(self, columns: Any) -> Any:
        """Columns of channels as images again; other columns as they are."""
        if not self._by_channel():
            return columns
        N, C, H, W = self.input_shape
        return columns.reshape(N, H, W, C).transpose(0, 3, 1, 2)


class IdentityWithLoss:
    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: Any, t: Any) -> Any:
        self.y = x
        self.t = t
        self.loss = float(0.5 * np.sum((self.y - self._values()) ** 2) / self._batch_size())
        return self.loss

    def backward(self, dout: Any = 1) -> Any:
        return (self.y - self._values()) / self._batch_size() * dout

    def _values(self) -> Any:
        return np.asarray(self.t, self.y.dtype).reshape(self.y.shape)

    def _batch_size(self) -> int:
        return 1 if self.y.ndim == 1 else len(self.y)
