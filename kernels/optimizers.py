"""The steps of the optimizers: W, dW and the state m, v, h (size,), changed in place.

Each is a function of tiles, which takes W, dW, the tiles of its state and its numbers, the step size first, and returns
the new W and state; `optimizer_step` makes the kernel for whole arrays and the part of the loop. Another one needs no
more, with any number of states and numbers.

Hyperparameters are float64 and are rounded to the arrays' dtype, as NumPy does with a Python float. Products are
rounded before they are added: every element has the bits that the same line has in NumPy, wherever a range is cut and
however wide a vector is. Fused multiply-adds would save 3 % of an SGD step at most (39,760 float32 elements: 4.0 µs),
and nothing of Adam's (16 µs, of which the divider and the root take most).
"""

from fastbp.kernels.build.flags import inlined, part
from fastbp.kernels.loop.calls import call
from fastbp.kernels.loop.optimizer_step import VECTORS, optimizer_step
from fastbp.kernels.tiles import (
    absolute,
    fma,
    lanes_of,
    load_row_masked,
    select,
    sqrt,
    total,
    width_of,
    zeros,
)
from fastbp.kernels.tiles.elementwise import elementwise
from fastbp.kernels.tiles.target import TARGET

LEAST_FLOAT32, LEAST_FLOAT64 = 1e-37, 1e-307
TINY = 1e-7  # the book's, against a division by zero
BLOCK = 1 << 14  # squares summed side by side before they are added to the rest: short chains, small errors


@inlined
def _lasting(state):
    """The state, but 0 where a decay would soon make it denormal."""
    least = LEAST_FLOAT32 if lanes_of(state) * 4 == TARGET.vector_bytes else LEAST_FLOAT64
    return select(absolute(state) < least, 0.0, state)


@optimizer_step(states=0)
def sgd(W, dW, lr):
    """W −= lr·dW."""
    return W - dW * lr


@optimizer_step(states=1)
def momentum(W, dW, v, lr, momentum):
    """v = momentum·v − lr·dW; W += v."""
    v = _lasting(v * momentum - dW * lr)
    return W + v, v


@optimizer_step(states=1)
def nesterov(W, dW, v, lr, momentum):
    """W += momentum²·v − (1 + momentum)·lr·dW; v = momentum·v − lr·dW."""
    W = W + (v * (momentum * momentum) - dW * ((1 + momentum) * lr))
    return W, _lasting(v * momentum - dW * lr)


@optimizer_step(states=1)
def adagrad(W, dW, h, lr):
    """h += dW²; W −= lr·dW / (√h + 1e-7)."""
    h = h + dW * dW
    return W - dW * lr / (sqrt(h) + TINY), h


@optimizer_step(states=1)
def rmsprop(W, dW, h, lr, decay_rate):
    """h = decay_rate·h + (1 − decay_rate)·dW²; W −= lr·dW / (√h + 1e-7)."""
    h = _lasting(h * decay_rate + dW * (1 - decay_rate) * dW)
    return W - dW * lr / (sqrt(h) + TINY), h


@optimizer_step(states=2)
def adam(W, dW, m, v, lr_t, beta1, beta2):
    """m += (1 − beta1)·(dW − m); v += (1 − beta2)·(dW² − v); W −= lr_t·m / (√v + 1e-7)."""
    m = _lasting(m + (dW - m) * (1 - beta1))
    v = _lasting(v + (dW * dW - v) * (1 - beta2))
    return W - m * lr_t / (sqrt(v) + TINY), m, v


@inlined
def weight_decay(W, dW, decay):
    return dW + W * decay


@inlined
def scaled(dW, factor):
    return dW * factor


_weight_decay = elementwise(weight_decay, VECTORS)
_scaled = elementwise(scaled, VECTORS)


# --- parts of the loop: the elements [lo, hi) of a parameter p ---


@part
def weight_decay_part(lo, hi, left, right, p, step):
    """dW += decay·W."""
    _weight_decay(lo, hi, (p.value, p.gradient), (p.gradient,), (step.settings.decay,))


# --- parts of the loop where gradients are clipped: first all of them are made, then scaled, then the step is taken ---


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
    op.squares[0] = square_sum(op.W.size, op.W.value)
