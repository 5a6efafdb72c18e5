"""Softmax and cross-entropy in one: x, y, dx (N, C); t (N,) of class indices or (N, C) of probabilities.

Rows of a few classes are taken four at a time, each in one vector or two; longer rows one at a time, a segment after
the other while the row lies in the first-level cache: memory is passed over once either way. What differs between the
two kinds of labels is put in as functions when this module is loaded.
"""

import math

import numpy as np

from fastbp.kernels.build.flags import inlined, kernel, part, shared_number
from fastbp.kernels.build.tables import is_there
from fastbp.kernels.tiles import (
    address_as,
    address_as_float64,
    address_as_int64,
    columns,
    first_element,
    fma_step,
    load_masked,
    load_row_masked,
    max_of_rows,
    maximum,
    pointer,
    row,
    select,
    splat,
    store_masked,
    store_row_masked,
    sum_of_rows,
    total,
    width_of,
    within,
    zeros,
)
from fastbp.kernels.tiles.exponential import exp, log

ROWS = 4  # of a block: their chains of operations fill each other's gaps
SEGMENT = 4  # vectors
LOWEST = -math.inf


# --- labels: what those of the rows i ... of a tile say of each class, 0 outside ---


@inlined
def _indices(tile, t, i, rows, classes):
    one = splat(tile, 1.0)
    label = fma_step(splat(tile, 0.0), t, i, 1, rows, row(one, 0))
    return select(within(tile, rows, classes), select(columns(tile) == label, one, 0.0), 0.0)


@inlined
def _probabilities(tile, t, i, rows, classes):
    return load_masked(tile, t, i * classes, classes, rows, classes)


# --- the loss ---


def _block_loss(labels):
    @inlined
    def block_loss(tile, x, t, eps, y, i, rows, classes):
        """Softmax of the rows i ... i + ROWS, as far as there are any; returns the sum of their losses."""
        inside = within(tile, rows, classes)
        scores = load_masked(tile, x, i * classes, classes, rows, classes)
        # 0 outside, not -inf: exp(-inf) passes through denormal numbers, at 150 cycles a vector.
        scores = select(inside, scores - max_of_rows(select(inside, scores, LOWEST)), 0.0)
        powers = select(inside, exp(scores), 0.0)
        totals = sum_of_rows(powers)
        softmax = powers / totals
        store_masked(softmax, y, i * classes, classes, rows, classes)
        meant = labels(tile, t, i, rows, classes)
        cost = log(totals) - scores if eps == 0 else -log(softmax + eps)
        # A class that isn't meant costs nothing, even at a score of -inf.
        return np.float64(total(select(meant == 0.0, 0.0, meant * cost)))

    return block_loss


@inlined
def _row_softmax(step, x, y, start, classes):
    """Softmax of a row; returns its largest score, and the sum of the powers, as tiles of that everywhere."""
    largest = splat(step, LOWEST)
    for j in range(0, classes, width_of(step)):
        segment = load_row_masked(step, x, start + j, classes - j)
        largest = maximum(largest, select(columns(step) < classes - j, segment, LOWEST))
    largest = max_of_rows(largest)
    sums = splat(step, 0.0)
    for j in range(0, classes, width_of(step)):
        segment = exp(load_row_masked(step, x, start + j, classes - j) - largest)
        segment = select(columns(step) < classes - j, segment, 0.0)
        store_row_masked(segment, y, start + j, classes - j)
        sums = sums + segment
    sums = sum_of_rows(sums)
    factor = splat(step, 1.0) / sums
    for j in range(0, classes, width_of(step)):
        store_row_masked(load_row_masked(step, y, start + j, classes - j) * factor, y, start + j, classes - j)
    return largest, sums


@inlined
def _row_loss_of_index(x, t, eps, y, i, classes):
    """Softmax of row i; returns its loss."""
    start, meant = i * classes, i * classes + t[i]
    largest, sums = _row_softmax(zeros(1, SEGMENT, x), x, y, start, classes)
    if eps == 0:
        return math.log(np.float64(first_element(sums))) - (x[meant] - first_element(largest))
    return -math.log(np.float64(y[meant] + eps))


@inlined
def _row_loss_of_probabilities(x, t, eps, y, i, classes):
    step, start = zeros(1, SEGMENT, x), i * classes
    largest, sums = _row_softmax(step, x, y, start, classes)
    cost = splat(step, 0.0)
    for j in range(0, classes, width_of(step)):
        meant = load_row_masked(step, t, start + j, classes - j)
        if eps == 0:
            each = log(sums) - (load_row_masked(step, x, start + j, classes - j) - largest)
        else:
            each = -log(load_row_masked(step, y, start + j, classes - j) + eps)
        cost = cost + select(meant == 0.0, 0.0, meant * each)
    return np.float64(total(cost))


def _losses(labels, row_loss):
    block_loss = _block_loss(labels)

    @shared_number
    def losses(lo, hi, N, classes, x, t, eps, y, costs):
        """Softmax of the rows [lo, hi), each a multiple of ROWS or the end: a tile of ROWS takes no less.

        Returns the sum of their losses. Where there is memory for costs (N,), each row's is in costs[lo:hi], or that of
        ROWS of them in the first one, where the classes fill two vectors at most.
        """
        one, two, loss, keeps = zeros(ROWS, 1, x), zeros(ROWS, 2, x), 0.0, is_there(costs)
        for i in range(lo, hi if keeps else lo):
            costs[i] = 0.0
        for i in range(lo, hi, ROWS if classes <= width_of(two) else 1):
            if classes <= width_of(one):
                cost = block_loss(one, x, t, eps, y, i, N - i, classes)
            elif classes <= width_of(two):
                cost = block_loss(two, x, t, eps, y, i, N - i, classes)
            else:
                cost = row_loss(x, t, eps, y, i, classes)
            loss += cost
            if keeps:
                costs[i] = cost
        return loss

    return losses


_losses_of_indices = _losses(_indices, _row_loss_of_index)
_losses_of_probabilities = _losses(_probabilities, _row_loss_of_probabilities)


# --- the gradient: dx = factor · (y·Σt − t) for rows [lo, hi) ---


@inlined
def _gradient_of_indices(lo, hi, classes, factor, y, t, dx):
    step = zeros(1, SEGMENT, y)
    for i in range(lo * classes, hi * classes, width_of(step)):
        left = hi * classes - i
        store_row_masked(load_row_masked(step, y, i, left) * factor, dx, i, left)
    for i in range(lo, hi):
        meant = i * classes + t[i]
        dx[meant] = factor * (y[meant] - 1)


@inlined
def _gradient_of_probabilities(lo, hi, classes, factor, y, t, dx):
    step = zeros(1, SEGMENT, y)
    for i in range(lo, hi):
        sums = splat(step, 0.0)
        for j in range(0, classes, width_of(step)):
            sums = sums + load_row_masked(step, t, i * classes + j, classes - j)
        sums = sum_of_rows(sums)
        for j in range(0, classes, width_of(step)):
            at, left = i * classes + j, classes - j
            gradient = load_row_masked(step, y, at, left) * sums - load_row_masked(step, t, at, left)
            store_row_masked(gradient * factor, dx, at, left)


# --- kernels ---


@kernel("real[:, ::1], int64[::1], float64, real[:, ::1]", "real[:, ::1], real[:, ::1], float64, real[:, ::1]")
def softmax_loss_forward(x, t, eps, y):
    """y = softmax of each row; returns the mean loss, −Σ t·log(y + eps), by log-sum-exp where eps is 0."""
    (N, classes), nowhere = x.shape, address_as_float64(0)
    if t.ndim == 1:
        return _losses_of_indices(0, N, N, classes, pointer(x), pointer(t), eps, pointer(y), nowhere) / N
    return _losses_of_probabilities(0, N, N, classes, pointer(x), pointer(t), eps, pointer(y), nowhere) / N


@kernel("real, real[:, ::1], int64[::1], real[:, ::1]", "real, real[:, ::1], real[:, ::1], real[:, ::1]")
def softmax_loss_backward(dout, y, t, dx):
    """dx = dout · (y·Σt − t) / N, with Σt = 1 for class indices; dout is a scalar."""
    N, classes = y.shape
    if t.ndim == 1:
        _gradient_of_indices(0, N, classes, dout / N, pointer(y), pointer(t), pointer(dx))
    else:
        _gradient_of_probabilities(0, N, classes, dout / N, pointer(y), pointer(t), pointer(dx))


# --- parts of the loop: rows [lo, hi) of the loss and of its gradient, after the last operation ---


@part
def loss_of_indices(lo, hi, left, right, op, step):
    batch, N, classes = step.batch, step.N, op.M
    t = address_as_int64(batch.labels)
    _losses_of_indices(lo, hi, N, classes, op.out, t, step.settings.loss_numbers[0], batch.y, step.costs)
    _gradient_of_indices(lo, hi, classes, 1.0 / N, batch.y, t, op.dout)


@part
def loss_of_probabilities(lo, hi, left, right, op, step):
    batch, N, classes = step.batch, step.N, op.M
    t = address_as(batch.labels, op.out)
    _losses_of_probabilities(lo, hi, N, classes, op.out, t, step.settings.loss_numbers[0], batch.y, step.costs)
    _gradient_of_probabilities(lo, hi, classes, 1.0 / N, batch.y, t, op.dout)
