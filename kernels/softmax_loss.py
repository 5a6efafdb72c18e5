"""Softmax and cross-entropy in one: x, y, dx (N, C); t (N,) of class indices or (N, C) of probabilities.

Rows of a few classes are taken four at a time, each in one vector or two; longer rows one at a time, a segment after
the other while the row lies in the first-level cache: memory is passed over once either way.
"""

import math

import numpy as np

from fastbp.kernels.exponential import exp, log
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.simd import (
    add,
    columns,
    div,
    equal,
    first_element,
    fma_step,
    less,
    load_masked,
    load_row_masked,
    max_of_rows,
    maximum,
    mul,
    neg,
    pointer,
    row,
    select,
    splat,
    store_masked,
    store_row_masked,
    sub,
    sum_of_rows,
    total,
    width_of,
    within,
    zeros,
)

ROWS = 4  # of a block: their chains of operations fill each other's gaps
SEGMENT = 4  # vectors
LOWEST = -math.inf


@kernel
def softmax_loss_forward(x, t, eps, y):
    """y = softmax of each row; returns the mean loss, −Σ t·log(y + eps), by log-sum-exp where eps is 0."""
    rows, classes = x.shape
    one, two = zeros(ROWS, 1, x), zeros(ROWS, 2, x)
    loss = 0.0
    if classes <= width_of(one):
        for i in range(0, rows, ROWS):
            loss += _forward_block(one, x, t, eps, y, i)
    elif classes <= width_of(two):
        for i in range(0, rows, ROWS):
            loss += _forward_block(two, x, t, eps, y, i)
    else:
        for i in range(rows):
            loss += _forward_row(x, t, eps, y, i)
    return loss / rows


@inlined
def softmax_loss_forward_rows(lo, hi, x, t, eps, y, costs):
    """The same for rows [lo, hi), each a multiple of ROWS or the end: a tile of ROWS takes no less.

    Their losses are in costs[lo:hi], of each row or, where the classes fill two vectors at most, summed for each tile.
    """
    classes = x.shape[1]
    one, two = zeros(ROWS, 1, x), zeros(ROWS, 2, x)
    for i in range(lo, hi):
        costs[i] = 0.0
    if classes <= width_of(one):
        for i in range(lo, hi, ROWS):
            costs[i] = _forward_block(one, x, t, eps, y, i)
    elif classes <= width_of(two):
        for i in range(lo, hi, ROWS):
            costs[i] = _forward_block(two, x, t, eps, y, i)
    else:
        for i in range(lo, hi):
            costs[i] = _forward_row(x, t, eps, y, i)


@inlined
def _forward_block(tile, x, t, eps, y, i):
    """Softmax of the rows i ... i + ROWS, as far as there are any; returns the sum of their losses."""
    classes, rows = x.shape[1], x.shape[0] - i
    inside = within(tile, rows, classes)
    scores = load_masked(tile, pointer(x), i * classes, classes, rows, classes)
    # 0 outside, not -inf: exp(-inf) passes through denormal numbers, at 150 cycles a vector.
    scores = select(inside, sub(scores, max_of_rows(select(inside, scores, LOWEST))), 0.0)
    powers = select(inside, exp(scores), 0.0)
    totals = sum_of_rows(powers)
    softmax = div(powers, totals)
    store_masked(softmax, pointer(y), i * classes, classes, rows, classes)
    meant = _probabilities(tile, t, i, classes, rows)
    cost = sub(log(totals), scores) if eps == 0 else neg(log(add(softmax, eps)))
    # A class that isn't meant costs nothing, even at a score of -inf.
    return np.float64(total(select(equal(meant, 0.0), 0.0, mul(meant, cost))))


@inlined
def _probabilities(tile, t, i, classes, rows):
    """What the labels of the rows i ... say of each class; 0 outside."""
    if t.ndim == 2:
        return load_masked(tile, pointer(t), i * classes, classes, rows, classes)
    one = splat(tile, 1.0)
    label = fma_step(splat(tile, 0.0), pointer(t), i, 1, rows, row(one, 0))
    return select(within(tile, rows, classes), select(equal(columns(tile), label), one, 0.0), 0.0)


@inlined
def _forward_row(x, t, eps, y, i):
    """Softmax of row i; returns its loss."""
    classes = x.shape[1]
    start, step, scores, softmax = i * classes, zeros(1, SEGMENT, x), pointer(x), pointer(y)
    largest = splat(step, LOWEST)
    for j in range(0, classes, width_of(step)):
        segment = load_row_masked(step, scores, start + j, classes - j)
        largest = maximum(largest, select(less(columns(step), classes - j), segment, LOWEST))
    largest = max_of_rows(largest)
    sums = splat(step, 0.0)
    for j in range(0, classes, width_of(step)):
        segment = exp(sub(load_row_masked(step, scores, start + j, classes - j), largest))
        segment = select(less(columns(step), classes - j), segment, 0.0)
        store_row_masked(segment, softmax, start + j, classes - j)
        sums = add(sums, segment)
    sums = sum_of_rows(sums)
    factor = div(splat(step, 1.0), sums)
    cost = splat(step, 0.0)
    for j in range(0, classes, width_of(step)):
        segment = mul(load_row_masked(step, softmax, start + j, classes - j), factor)
        store_row_masked(segment, softmax, start + j, classes - j)
        if t.ndim == 2:
            meant = load_row_masked(step, pointer(t), start + j, classes - j)
            if eps == 0:
                shifted = sub(load_row_masked(step, scores, start + j, classes - j), largest)
                each = sub(log(sums), shifted)
            else:
                each = neg(log(add(segment, eps)))
            cost = add(cost, select(equal(meant, 0.0), 0.0, mul(meant, each)))
    if t.ndim == 2:
        return np.float64(total(cost))
    if eps == 0:
        return np.log(np.float64(first_element(sums))) - (x[i, t[i]] - first_element(largest))
    return -np.log(np.float64(y[i, t[i]] + eps))


@kernel
def softmax_loss_backward(dout, y, t, dx):
    """dx = dout · (y·Σt − t) / N, with Σt = 1 for class indices; dout is a scalar."""
    softmax_loss_backward_rows(0, y.shape[0], dout / y.shape[0], y, t, dx)


@inlined
def softmax_loss_backward_rows(lo, hi, factor, y, t, dx):
    """dx = factor · (y·Σt − t) for rows [lo, hi)."""
    classes = y.shape[1]
    step = zeros(1, SEGMENT, y)
    if t.ndim == 1:
        for i in range(lo * classes, hi * classes, width_of(step)):
            left = hi * classes - i
            store_row_masked(mul(load_row_masked(step, pointer(y), i, left), factor), pointer(dx), i, left)
        for i in range(lo, hi):
            dx[i, t[i]] = factor * (y[i, t[i]] - 1)
        return
    for i in range(lo, hi):
        sums = splat(step, 0.0)
        for j in range(0, classes, width_of(step)):
            sums = add(sums, load_row_masked(step, t, i * classes + j, classes - j))
        sums = sum_of_rows(sums)
        for j in range(0, classes, width_of(step)):
            at, left = i * classes + j, classes - j
            gradient = sub(mul(load_row_masked(step, y, at, left), sums), load_row_masked(step, t, at, left))
            store_row_masked(mul(gradient, factor), dx, at, left)
