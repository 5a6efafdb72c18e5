"""Batch normalization: x, out, dout, dx (N, C, S); gamma, beta, their gradients and all statistics (C,).

Each of C features, over N samples and S places, has mean 0 and variance 1, before gamma and beta. Where S is 1 the
features lie side by side, and a tile holds some of them; else a feature's places do, and a tile holds some of those.
"""

from fastbp.kernels.build.flags import inlined, kernel, part, shared
from fastbp.kernels.loop.calls import call
from fastbp.kernels.tiles import (
    address_as,
    columns,
    load_row_masked,
    moved,
    pointer,
    select,
    splat,
    sqrt,
    store_row_masked,
    sum_of_rows,
    width_of,
    zeros,
)

EPS = 1e-6  # added to the variance; the book writes 10e-7
VECTORS = 4  # a step
CHAIN = 32  # samples that are added up before their sum is added to the others'


@inlined
def _spread(step, array, c, width, places):
    """The numbers of features side by side; the number of one feature in every column."""
    one = load_row_masked(step, array, c, width if places == 1 else 1)
    return one if places == 1 else sum_of_rows(one)


@inlined
def _keep(tile, array, c, width, places):
    store_row_masked(tile, array, c, width if places == 1 else 1)


@inlined
def _sum(tile, places):
    return tile if places == 1 else sum_of_rows(tile)


# --- passes over the samples of some features: `row` elements a sample, of which those from `start` on, `width` ---


@inlined
def _mean(step, x, start, row, N, width, places):
    sums = splat(step, 0.0)
    chain = CHAIN if places == 1 else 1
    for first in range(0, N, chain):
        some = splat(step, 0.0)
        for n in range(first, min(first + chain, N)):
            for s in range(0, width, width_of(step)):
                some = some + load_row_masked(step, x, n * row + start + s, width - s)
        sums = sums + some
    return _sum(sums, places) / splat(step, N * places)


@inlined
def _variance(step, x, mean, start, row, N, width, places):
    sums = splat(step, 0.0)
    chain = CHAIN if places == 1 else 1
    for first in range(0, N, chain):
        some = splat(step, 0.0)
        for n in range(first, min(first + chain, N)):
            for s in range(0, width, width_of(step)):
                centered = load_row_masked(step, x, n * row + start + s, width - s) - mean
                centered = select(columns(step) < width - s, centered, 0.0)
                some = some + centered * centered
        sums = sums + some
    return _sum(sums, places) / splat(step, N * places)


@inlined
def _normalize(step, x, mean, scale, shift, start, row, N, width, out):
    """out = (x − mean) · scale + shift."""
    for n in range(N):
        for s in range(0, width, width_of(step)):
            at = n * row + start + s
            centered = load_row_masked(step, x, at, width - s) - mean
            store_row_masked(centered * scale + shift, out, at, width - s)


@inlined
def _sums_of_gradient(step, dout, x, mean, start, row, N, width, places):
    """Σ dout, and Σ dout · (x − mean)."""
    sums, products = splat(step, 0.0), splat(step, 0.0)
    chain = CHAIN if places == 1 else 1
    for first in range(0, N, chain):
        some, more = splat(step, 0.0), splat(step, 0.0)
        for n in range(first, min(first + chain, N)):
            for s in range(0, width, width_of(step)):
                at = n * row + start + s
                gradient = load_row_masked(step, dout, at, width - s)
                centered = load_row_masked(step, x, at, width - s) - mean
                some = some + gradient
                more = more + select(columns(step) < width - s, gradient * centered, 0.0)
        sums, products = sums + some, products + more
    return _sum(sums, places), _sum(products, places)


@inlined
def _input_gradient(step, dout, x, mean, scale, shift, slope, start, row, N, width, dx):
    """dx = (dout − shift − (x − mean) · slope) · scale."""
    for n in range(N):
        for s in range(0, width, width_of(step)):
            at = n * row + start + s
            centered = load_row_masked(step, x, at, width - s) - mean
            gradient = load_row_masked(step, dout, at, width - s) - shift - centered * slope
            store_row_masked(gradient * scale, dx, at, width - s)


# --- all of it, for the features [lo, hi); arrays as pointers ---


@shared
def forward_features(lo, hi, N, C, S, x, gamma, beta, momentum, running, out, statistics, updated):
    (running_mean, running_var), (mean, std), (new_mean, new_var) = running, statistics, updated
    step = zeros(1, VECTORS, std)
    for c in range(lo, hi, width_of(step) if S == 1 else 1):
        start, row, left = c * S, C * S, hi - c
        width = min(left, width_of(step)) if S == 1 else S
        mu = _mean(step, x, start, row, N, width, S)
        var = _variance(step, x, mu, start, row, N, width, S)
        deviation = sqrt(var + EPS)
        scale, shift = _spread(step, gamma, c, left, S) / deviation, _spread(step, beta, c, left, S)
        _normalize(step, x, mu, scale, shift, start, row, N, width, out)
        _keep(mu, mean, c, left, S)
        _keep(deviation, std, c, left, S)
        old, new = splat(step, momentum), splat(step, 1.0 - momentum)
        _keep(_spread(step, running_mean, c, left, S) * old + mu * new, new_mean, c, left, S)
        _keep(_spread(step, running_var, c, left, S) * old + var * new, new_var, c, left, S)


@shared
def predict_features(lo, hi, N, C, S, x, gamma, beta, mean, var, out):
    step = zeros(1, VECTORS, out)
    for c in range(lo, hi, width_of(step) if S == 1 else 1):
        start, row, left = c * S, C * S, hi - c
        width = min(left, width_of(step)) if S == 1 else S
        scale = _spread(step, gamma, c, left, S) / sqrt(_spread(step, var, c, left, S) + EPS)
        mu, shift = _spread(step, mean, c, left, S), _spread(step, beta, c, left, S)
        _normalize(step, x, mu, scale, shift, start, row, N, width, out)


@shared
def backward_features(lo, hi, N, C, S, dout, x, mean, std, gamma, dx, dgamma, dbeta):
    step = zeros(1, VECTORS, dgamma)
    for c in range(lo, hi, width_of(step) if S == 1 else 1):
        start, row, left = c * S, C * S, hi - c
        width = min(left, width_of(step)) if S == 1 else S
        mu, deviation = _spread(step, mean, c, left, S), _spread(step, std, c, left, S)
        sums, products = _sums_of_gradient(step, dout, x, mu, start, row, N, width, S)
        gradient, count = products / deviation, splat(step, N * S)
        _keep(sums, dbeta, c, left, S)
        _keep(gradient, dgamma, c, left, S)
        scale, slope = _spread(step, gamma, c, left, S) / deviation, gradient / deviation / count
        _input_gradient(step, dout, x, mu, scale, sums / count, slope, start, row, N, width, dx)


# --- kernels ---


@kernel(
    "real[:, :, ::1], real[::1], real[::1], float64, real[::1], real[::1], real[:, :, ::1], "
    "real[::1], real[::1], real[::1], real[::1]"
)
def batch_normalization_forward(x, gamma, beta, momentum, running_mean, running_var, out, mean, std, new_mean, new_var):
    """out = gamma · (x − mean) / std + beta, std = √(var + EPS); new_… = momentum · running_… + (1 − momentum) · …."""
    N, C, S = x.shape
    running, statistics = (pointer(running_mean), pointer(running_var)), (pointer(mean), pointer(std))
    updated = pointer(new_mean), pointer(new_var)
    gamma, beta = pointer(gamma), pointer(beta)
    forward_features(0, C, N, C, S, pointer(x), gamma, beta, momentum, running, pointer(out), statistics, updated)


@kernel("real[:, :, ::1], real[::1], real[::1], real[::1], real[::1], real[:, :, ::1]")
def batch_normalization_predict(x, gamma, beta, mean, var, out):
    """out = gamma · (x − mean) / √(var + EPS) + beta."""
    N, C, S = x.shape
    gamma, beta, mean, var = pointer(gamma), pointer(beta), pointer(mean), pointer(var)
    predict_features(0, C, N, C, S, pointer(x), gamma, beta, mean, var, pointer(out))


@kernel("real[:, :, ::1], real[:, :, ::1], real[::1], real[::1], real[::1], real[:, :, ::1], real[::1], real[::1]")
def batch_normalization_backward(dout, x, mean, std, gamma, dx, dgamma, dbeta):
    """dbeta = Σ dout; dgamma = Σ dout · xn; dx = (dout − dbeta/m − xn · dgamma/m) · gamma / std, of m = N·S numbers."""
    N, C, S = x.shape
    mean, std, gamma = pointer(mean), pointer(std), pointer(gamma)
    dx, dgamma, dbeta = pointer(dx), pointer(dgamma), pointer(dbeta)
    backward_features(0, C, N, C, S, pointer(dout), pointer(x), mean, std, gamma, dx, dgamma, dbeta)


# --- parts of the loop: the features [left, right) of all samples, but in prediction rows [lo, hi) of all features ---


@inlined
def _array(addresses, n, op):
    return address_as(addresses[n], op.x)


@part
def forward(lo, hi, left, right, op, step):
    C, S = op.sizes[0], op.sizes[1]
    running = _array(op.averages, 0, op), _array(op.averages, 1, op)
    statistics, gamma, beta = (_array(op.keeps, 0, op), _array(op.keeps, 1, op)), op.W.value, op.b.value
    momentum = op.numbers[0]
    forward_features(left, right, step.N, C, S, op.x, gamma, beta, momentum, running, op.out, statistics, running)


@part
def predict(lo, hi, left, right, op, step):
    C, S, x, out = op.sizes[0], op.sizes[1], moved(op.x, lo * op.D), moved(op.out, lo * op.D)
    mean, var = _array(op.averages, 0, op), _array(op.averages, 1, op)
    predict_features(0, C, hi - lo, C, S, x, op.W.value, op.b.value, mean, var, out)


@part
def backward(lo, hi, left, right, op, step):
    C, S, gamma, beta = op.sizes[0], op.sizes[1], op.W, op.b
    mean, std = _array(op.keeps, 0, op), _array(op.keeps, 1, op)
    dx, dgamma, dbeta = op.dx, gamma.gradient, beta.gradient
    backward_features(left, right, step.N, C, S, op.dout, op.x, mean, std, gamma.value, dx, dgamma, dbeta)


@part
def update(lo, hi, left, right, op, step):
    """The optimizer's step on gamma and beta of the features [lo, hi)."""
    call(step.settings.optimize, lo, hi, 0, 0, op.W, step)
    call(step.settings.optimize, lo, hi, 0, 0, op.b, step)
