"""The kernels in plain NumPy, for NUMBA_DISABLE_JIT=1, where register tiles can't run: same names, same parameters.

They keep a network working in a debugger. What that mode leaves untested is the kernels themselves. The optimizers'
steps also serve, in either mode, for parameters that no kernel can read.
"""

from functools import wraps

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _silent(function):
    """Without NumPy's warnings, as compiled code."""

    @wraps(function)
    def silent(*arguments):
        with np.errstate(all="ignore"):
            return function(*arguments)

    return silent


@_silent
def affine_forward(x, W, b, out, scratch):
    out[...] = x @ W + b


@_silent
def affine_relu_forward(x, W, b, out, mask, scratch):
    relu_forward(x @ W + b, out, mask)


def affine_backward(dout, x, W, dx, dW, db, scratch):
    affine_backward_params(dout, x, dW, db, scratch)
    affine_backward_input(dout, W, dx, scratch)


@_silent
def affine_backward_params(dout, x, dW, db, scratch):
    dW[...] = x.T @ dout
    db[...] = dout.sum(axis=0)


@_silent
def affine_backward_input(dout, W, dx, scratch):
    dx[...] = dout @ W.T


@_silent
def affine_relu_backward_input(dout, mask, W, dx, scratch):
    dx[...] = np.where(mask, 0, dout @ W.T)


@_silent
def affine_update_params(dout, x, alpha, W, db, scratch):
    W += alpha * (x.T @ dout)
    db[...] = dout.sum(axis=0)


def affine_forward_threads(x, W, b, out, scratch, threads):
    affine_forward(x, W, b, out, scratch)


def affine_backward_threads(dout, x, W, dx, dW, db, scratch, threads):
    affine_backward(dout, x, W, dx, dW, db, scratch)


@_silent
def relu_forward(x, out, mask):
    mask[...] = x <= 0
    out[...] = np.where(mask, 0, x)


@_silent
def relu_backward(dout, mask, dx):
    dx[...] = np.where(mask, 0, dout)


@_silent
def sigmoid_forward(x, out):
    z = np.exp(-np.abs(x))
    out[...] = np.where(x < 0, z, 1) / (1 + z)


@_silent
def sigmoid_backward(dout, out, dx):
    dx[...] = dout * (1 - out) * out


@_silent
def pooling_forward(x, pool_h, pool_w, stride, pad, out, places, scratch):
    windows = _windows(x, pool_h, pool_w, stride, pad).reshape(*out.shape, -1)
    which = windows.argmax(axis=-1)
    out[...] = np.take_along_axis(windows, which[..., None], -1)[..., 0]
    places[...] = which // pool_w * (x.shape[3] + 2 * pad) + which % pool_w


@_silent
def pooling_backward(dout, places, stride, pad, dx, scratch):
    (n, c, h, w), (_, _, out_h, out_w) = dx.shape, dout.shape
    wide = w + 2 * pad
    corners = np.arange(out_h)[:, None] * stride * wide + np.arange(out_w) * stride
    padded = np.zeros((n * c, (h + 2 * pad) * wide), dx.dtype)
    where = (corners + places.astype(np.int64)).reshape(n * c, -1)
    np.add.at(padded, (np.arange(n * c)[:, None], where), dout.reshape(n * c, -1))
    dx[...] = padded.reshape(n, c, h + 2 * pad, wide)[:, :, pad : pad + h, pad : pad + w]


def _windows(x, height, width, stride, pad):
    """What a window sees at each of its places: (N, C, OH, OW, height, width)."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    return sliding_window_view(padded, (height, width), axis=(2, 3))[:, :, ::stride, ::stride]


@_silent
def softmax_loss_forward(x, t, eps, y):
    shifted = x - x.max(axis=1, keepdims=True)
    y[...] = np.exp(shifted)
    total = y.sum(axis=1, keepdims=True)
    y[...] /= total
    cost = -np.log(y + eps) if eps else np.log(total) - shifted
    meant = _probabilities(y, t)
    return np.sum(meant * np.where(meant == 0, 0, cost)) / len(x)


@_silent
def softmax_loss_backward(dout, y, t, dx):
    meant = _probabilities(y, t)
    dx[...] = dout * (y * meant.sum(axis=1, keepdims=True) - meant) / len(y)


@_silent
def dropout_forward(x, drawn, ratio, out, mask):
    mask[...] = drawn > ratio
    out[...] = x * mask


@_silent
def dropout_predict(x, ratio, out):
    out[...] = x * (1 - ratio)


@_silent
def dropout_backward(dout, mask, dx):
    dx[...] = dout * mask


@_silent
def identity_loss_forward(y, t, N):
    return 0.5 * np.sum((y - t) ** 2, dtype=np.float64) / N


@_silent
def identity_loss_backward(dout, y, t, N, dx):
    dx[...] = (y - t) * (dout / N)


@_silent
def batch_normalization_forward(x, gamma, beta, momentum, running_mean, running_var, out, mean, std, new_mean, new_var):
    mean[...] = x.mean(axis=(0, 2), dtype=mean.dtype)
    var = np.mean((x - mean[:, None]) ** 2, axis=(0, 2))
    std[...] = np.sqrt(var + 1e-6)
    out[...] = (gamma / std)[:, None] * (x - mean[:, None]) + beta[:, None]
    new_mean[...] = momentum * running_mean + (1 - momentum) * mean
    new_var[...] = momentum * running_var + (1 - momentum) * var


@_silent
def batch_normalization_predict(x, gamma, beta, mean, var, out):
    out[...] = (gamma / np.sqrt(var + 1e-6))[:, None] * (x - mean[:, None]) + beta[:, None]


@_silent
def batch_normalization_backward(dout, x, mean, std, gamma, dx, dgamma, dbeta):
    count, xn = x.shape[0] * x.shape[2], (x - mean[:, None]) / std[:, None]
    dbeta[...] = dout.sum(axis=(0, 2))
    dgamma[...] = np.sum(dout * xn, axis=(0, 2))
    dx[...] = (gamma / std)[:, None] * (dout - (dbeta[:, None] + xn * dgamma[:, None]) / count)


@_silent
def sgd_update(W, dW, lr):
    W -= lr * dW


@_silent
def momentum_update(W, dW, v, lr, momentum):
    v *= momentum
    v -= lr * dW
    _clear_least(v)
    W += v


@_silent
def nesterov_update(W, dW, v, lr, momentum):
    W += momentum * momentum * v - (1 + momentum) * lr * dW
    v *= momentum
    v -= lr * dW
    _clear_least(v)


@_silent
def adagrad_update(W, dW, h, lr):
    h += dW * dW
    W -= lr * dW / (np.sqrt(h) + 1e-7)


@_silent
def rmsprop_update(W, dW, h, lr, decay_rate):
    h *= decay_rate
    h += (1 - decay_rate) * dW * dW
    _clear_least(h)
    W -= lr * dW / (np.sqrt(h) + 1e-7)


@_silent
def adam_update(W, dW, m, v, lr_t, beta1, beta2):
    m += (1 - beta1) * (dW - m)
    v += (1 - beta2) * (dW * dW - v)
    _clear_least(m)
    _clear_least(v)
    W -= lr_t * m / (np.sqrt(v) + 1e-7)


def _clear_least(state):
    """0 for what `kernels.optimizers` takes for 0."""
    state[np.abs(state) < (1e-37 if state.dtype == np.float32 else 1e-307)] = 0


@_silent
def fma_peak(out, steps):
    a, b = out[:2].copy()
    out[...] = 0
    for _ in range(steps):
        out[...] = out * a + b


def _probabilities(y, t):
    return np.eye(y.shape[1], dtype=y.dtype)[t] if t.ndim == 1 else t
