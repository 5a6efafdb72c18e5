"""Softmax and cross-entropy in one: x, y, dx (N, C); t (N,) of class indices or (N, C) of probabilities."""

import numpy as np

from fastbp.kernels.flags import kernel


@kernel
def softmax_loss_forward(x, t, eps, y):
    """y = softmax of each row; returns the mean loss, −Σ t·log(y + eps), by log-sum-exp where eps is 0."""
    rows, classes = x.shape
    loss = 0.0
    for i in range(rows):
        largest = x[i, 0]
        for j in range(1, classes):
            # Not max(): a NaN must win, as it does in NumPy.
            if not (x[i, j] <= largest):
                largest = x[i, j]
        y[i, 0] = np.exp(x[i, 0] - largest)
        total = y[i, 0]
        for j in range(1, classes):
            y[i, j] = np.exp(x[i, j] - largest)
            total += y[i, j]
        for j in range(classes):
            y[i, j] /= total
        log_total = np.log(total)
        if t.ndim == 1:
            label = t[i]
            if eps == 0:
                loss += log_total - (x[i, label] - largest)
            else:
                loss -= np.log(y[i, label] + eps)
        else:
            for j in range(classes):
                if t[i, j] != 0:  # a class that isn't meant costs nothing, even at a logit of -inf
                    if eps == 0:
                        loss += t[i, j] * (log_total - (x[i, j] - largest))
                    else:
                        loss -= t[i, j] * np.log(y[i, j] + eps)
    return loss / rows


@kernel
def softmax_loss_backward(dout, y, t, dx):
    """dx = dout · (y·Σt − t) / N, with Σt = 1 for class indices; dout is a scalar."""
    rows, classes = y.shape
    for i in range(rows):
        if t.ndim == 1:
            for j in range(classes):
                dx[i, j] = dout * y[i, j] / rows
            dx[i, t[i]] = dout * (y[i, t[i]] - 1) / rows
        else:
            weight = t[i, 0]
            for j in range(1, classes):
                weight += t[i, j]
            for j in range(classes):
                dx[i, j] = dout * (y[i, j] * weight - t[i, j]) / rows
