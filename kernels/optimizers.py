"""The steps of the optimizers: W, dW and the state m, v, h (size,), changed in place.

Each is a function of tiles, which takes W, dW, the tiles of its state and its numbers, and returns the new W and state;
a kernel for whole arrays; and a part of the loop. Another one needs no more, with any number of states and numbers.

Hyperparameters are float64 and are rounded to the arrays' dtype, as NumPy does with a Python float. Products are
rounded before they are added: every element has the bits that the same line has in NumPy, wherever a range is cut and
however wide a vector is. Fused multiply-adds would save 3 % of an SGD step at most (39,760 float32 elements: 4.0 µs),
and nothing of Adam's (16 µs, of which the divider and the root take most).
"""

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.loop.calls import call
from fastbp.kernels.tiles import (
    absolute,
    address_as,
    fma,
    lanes_of,
    load_row_masked,
    pointer,
    select,
    sqrt,
    total,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.elementwise import elementwise
from fastbp.kernels.tiles.target import TARGET

VECTORS = 4  # a step; 1, 2 and 8 are as fast with AVX-512, where masks are free
LEAST_FLOAT32, LEAST_FLOAT64 = 1e-37, 1e-307
TINY = 1e-7  # the book's, against a division by zero
BLOCK = 1 << 14  # squares summed side by side before they are added to the rest: short chains, small errors


@inlined
def _lasting(state):
    """The state, but 0 where a decay would soon make it denormal."""
    least = LEAST_FLOAT32 if lanes_of(state) * 4 == TARGET.vector_bytes else LEAST_FLOAT64
    return select(absolute(state) < least, 0.0, state)


@inlined
def sgd(W, dW, lr):
    return W - dW * lr


@inlined
def momentum(W, dW, v, lr, momentum):
    v = _lasting(v * momentum - dW * lr)
    return W + v, v


@inlined
def nesterov(W, dW, v, lr, momentum):
    W = W + (v * (momentum * momentum) - dW * ((1 + momentum) * lr))
    return W, _lasting(v * momentum - dW * lr)


@inlined
def adagrad(W, dW, h, lr):
    h = h + dW * dW
    return W - dW * lr / (sqrt(h) + TINY), h


@inlined
def rmsprop(W, dW, h, lr, decay_rate):
    h = _lasting(h * decay_rate + dW * (1 - decay_rate) * dW)
    return W - dW * lr / (sqrt(h) + TINY), h


@inlined
def adam(W, dW, m, v, lr_t, beta1, beta2):
    m = _lasting(m + (dW - m) * (1 - beta1))
    v = _lasting(v + (dW * dW - v) * (1 - beta2))
    return W - m * lr_t / (sqrt(v) + TINY), m, v


@inlined
def weight_decay(W, dW, decay):
    return dW + W * decay


@inlined
def scaled(dW, factor):
    return dW * factor


STEPS = {step.__name__: step for step in (sgd, momentum, nesterov, adagrad, rmsprop, adam)}

_sgd, _momentum, _nesterov, _adagrad, _rmsprop, _adam = [elementwise(step, VECTORS) for step in STEPS.values()]
_weight_decay = elementwise(weight_decay, VECTORS)


@kernel("real[::1], real[::1], float64")
def sgd_update(W, dW, lr):
    """W −= lr·dW."""
    _sgd(0, W.size, (pointer(W), pointer(dW)), (pointer(W),), (lr,))


@kernel("real[::1], real[::1], real[::1], float64, float64")
def momentum_update(W, dW, v, lr, momentum):
    """v = momentum·v − lr·dW; W += v."""
    _momentum(0, W.size, (pointer(W), pointer(dW), pointer(v)), (pointer(W), pointer(v)), (lr, momentum))


@kernel("real[::1], real[::1], real[::1], float64, float64")
def nesterov_update(W, dW, v, lr, momentum):
    """W += momentum²·v − (1 + momentum)·lr·dW; v = momentum·v − lr·dW."""
    _nesterov(0, W.size, (pointer(W), pointer(dW), pointer(v)), (pointer(W), pointer(v)), (lr, momentum))


@kernel("real[::1], real[::1], real[::1], float64")
def adagrad_update(W, dW, h, lr):
    """h += dW²; W −= lr·dW / (√h + 1e-7)."""
    _adagrad(0, W.size, (pointer(W), pointer(dW), pointer(h)), (pointer(W), pointer(h)), (lr,))


@kernel("real[::1], real[::1], real[::1], float64, float64")
def rmsprop_update(W, dW, h, lr, decay_rate):
    """h = decay_rate·h + (1 − decay_rate)·dW²; W −= lr·dW / (√h + 1e-7)."""
    _rmsprop(0, W.size, (pointer(W), pointer(dW), pointer(h)), (pointer(W), pointer(h)), (lr, decay_rate))


@kernel("real[::1], real[::1], real[::1], real[::1], float64, float64, float64")
def adam_update(W, dW, m, v, lr_t, beta1, beta2):
    """m += (1 − beta1)·(dW − m); v += (1 − beta2)·(dW² − v); W −= lr_t·m / (√v + 1e-7)."""
    before, after = (pointer(W), pointer(dW), pointer(m), pointer(v)), (pointer(W), pointer(m), pointer(v))
    _adam(0, W.size, before, after, (lr_t, beta1, beta2))


# --- parts of the loop: the elements [lo, hi) of a parameter p ---


@part
def sgd_part(lo, hi, left, right, p, step):
    _sgd(lo, hi, (p.value, p.gradient), (p.value,), (step.rate,))


@inlined
def _state(p, n):
    """The n-th array of the optimizer's state."""
    return address_as(p.states[n], p.value)


@part
def momentum_part(lo, hi, left, right, p, step):
    v = _state(p, 0)
    _momentum(lo, hi, (p.value, p.gradient, v), (p.value, v), (step.rate, step.settings.numbers[0]))


@part
def nesterov_part(lo, hi, left, right, p, step):
    v = _state(p, 0)
    _nesterov(lo, hi, (p.value, p.gradient, v), (p.value, v), (step.rate, step.settings.numbers[0]))


@part
def adagrad_part(lo, hi, left, right, p, step):
    h = _state(p, 0)
    _adagrad(lo, hi, (p.value, p.gradient, h), (p.value, h), (step.rate,))


@part
def rmsprop_part(lo, hi, left, right, p, step):
    h = _state(p, 0)
    _rmsprop(lo, hi, (p.value, p.gradient, h), (p.value, h), (step.rate, step.settings.numbers[0]))


@part
def adam_part(lo, hi, left, right, p, step):
    m, v, numbers = _state(p, 0), _state(p, 1), step.settings.numbers
    _adam(lo, hi, (p.value, p.gradient, m, v), (p.value, m, v), (step.rate, numbers[0], numbers[1]))


@part
def weight_decay_part(lo, hi, left, right, p, step):
    """dW += decay·W."""
    _weight_decay(lo, hi, (p.value, p.gradient), (p.gradient,), (step.settings.decay,))


# --- parts of the loop where gradients are clipped: first all of them are made, then scaled, then the step is taken ---

_scaled = elementwise(scaled, VECTORS)


@part
def no_step(lo, hi, left, right, p, step):
    """In place of the optimizer's step, while gradients are made."""


@part
def clipped_step(lo, hi, left, right, p, step):
    """dW *= step.clip, and the optimizer's step."""
    _scaled(lo, hi, (p.gradient,), (p.gradient,), (step.clip,))
    call(step.settings.after_clipping, lo, hi, 0, 0, p, step)


# --- the loss of a network whose weights decay ---


@inlined
def square_sum(n, W):
    """The sum of the squares of n elements, in float64 for either dtype and always in the same order."""
    step = zeros(1, VECTORS, 0.0)
    result = 0.0
    for start in range(0, n, BLOCK):
        stop = start + BLOCK if start + BLOCK < n else n
        sums = step
        for i in range(start, stop, width_of(step)):
            tile = load_row_masked(step, W, i, stop - i)
            sums = fma(tile, tile, sums)
        result += total(sums)
    return result


@part
def penalty(lo, hi, left, right, op, step):
    """ΣW², to where the loop looks for it."""
    op.squares[0] = square_sum(op.D * op.M, op.W.value)
