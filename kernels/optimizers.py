"""The steps of the optimizers over flat arrays: W, dW and the state m, v, h (size,), changed in place.

Each comes as a part that takes the elements [lo, hi) of bare pointers, for loops that split a step over threads, and as
a kernel for whole arrays. Hyperparameters are float64 and are rounded to the arrays' dtype, as NumPy does with a Python
float. Products are rounded before they are added: every element has the bits that the same line has in NumPy, wherever
a range is cut and however wide a vector is. Fused multiply-adds would save 3 % of an SGD step at most (39,760 float32
elements: 4.0 µs), and nothing of Adam's (16 µs, of which the divider and the root take most).
"""

from fastbp.kernels.codegen import TARGET
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.simd import (
    absolute,
    add,
    div,
    fma,
    lanes_of,
    less,
    load_row_masked,
    mul,
    pointer,
    select,
    sqrt,
    store_row_masked,
    sub,
    total,
    width_of,
    zeros,
)

VECTORS = 4  # a step; 1, 2 and 8 are as fast with AVX-512, where masks are free
LEAST_FLOAT32, LEAST_FLOAT64 = 1e-37, 1e-307
TINY = 1e-7  # the book's, against a division by zero
BLOCK = 1 << 14  # squares summed side by side before they are added to the rest: short chains, small errors


@inlined
def _lasting(state):
    """The state, but 0 where a decay would soon make it denormal."""
    least = LEAST_FLOAT32 if lanes_of(state) * 4 == TARGET.vector_bytes else LEAST_FLOAT64
    return select(less(absolute(state), least), 0.0, state)


@inlined
def sgd_range(lo, hi, W, dW, lr):
    """W −= lr·dW."""
    step = zeros(1, VECTORS, W)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        change = mul(load_row_masked(step, dW, i, left), lr)
        store_row_masked(sub(load_row_masked(step, W, i, left), change), W, i, left)


@kernel
def sgd_update(W, dW, lr):
    """W −= lr·dW."""
    sgd_range(0, W.size, pointer(W), pointer(dW), lr)


@inlined
def momentum_range(lo, hi, W, dW, v, lr, momentum):
    """v = momentum·v − lr·dW; W += v."""
    step = zeros(1, VECTORS, W)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        push = mul(load_row_masked(step, dW, i, left), lr)
        velocity = _lasting(sub(mul(load_row_masked(step, v, i, left), momentum), push))
        store_row_masked(velocity, v, i, left)
        store_row_masked(add(load_row_masked(step, W, i, left), velocity), W, i, left)


@kernel
def momentum_update(W, dW, v, lr, momentum):
    """v = momentum·v − lr·dW; W += v."""
    momentum_range(0, W.size, pointer(W), pointer(dW), pointer(v), lr, momentum)


@inlined
def nesterov_range(lo, hi, W, dW, v, lr, momentum):
    """W += momentum²·v − (1 + momentum)·lr·dW; v = momentum·v − lr·dW."""
    step = zeros(1, VECTORS, W)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        gradient, velocity = load_row_masked(step, dW, i, left), load_row_masked(step, v, i, left)
        change = sub(mul(velocity, momentum * momentum), mul(gradient, (1 + momentum) * lr))
        store_row_masked(add(load_row_masked(step, W, i, left), change), W, i, left)
        store_row_masked(_lasting(sub(mul(velocity, momentum), mul(gradient, lr))), v, i, left)


@kernel
def nesterov_update(W, dW, v, lr, momentum):
    """W += momentum²·v − (1 + momentum)·lr·dW; v = momentum·v − lr·dW."""
    nesterov_range(0, W.size, pointer(W), pointer(dW), pointer(v), lr, momentum)


@inlined
def adagrad_range(lo, hi, W, dW, h, lr):
    """h += dW²; W −= lr·dW / (√h + 1e-7)."""
    step = zeros(1, VECTORS, W)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        gradient = load_row_masked(step, dW, i, left)
        squares = add(load_row_masked(step, h, i, left), mul(gradient, gradient))
        store_row_masked(squares, h, i, left)
        change = div(mul(gradient, lr), add(sqrt(squares), TINY))
        store_row_masked(sub(load_row_masked(step, W, i, left), change), W, i, left)


@kernel
def adagrad_update(W, dW, h, lr):
    """h += dW²; W −= lr·dW / (√h + 1e-7)."""
    adagrad_range(0, W.size, pointer(W), pointer(dW), pointer(h), lr)


@inlined
def rmsprop_range(lo, hi, W, dW, h, lr, decay_rate):
    """h = decay_rate·h + (1 − decay_rate)·dW²; W −= lr·dW / (√h + 1e-7)."""
    step = zeros(1, VECTORS, W)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        gradient = load_row_masked(step, dW, i, left)
        new = mul(mul(gradient, 1 - decay_rate), gradient)
        squares = _lasting(add(mul(load_row_masked(step, h, i, left), decay_rate), new))
        store_row_masked(squares, h, i, left)
        change = div(mul(gradient, lr), add(sqrt(squares), TINY))
        store_row_masked(sub(load_row_masked(step, W, i, left), change), W, i, left)


@kernel
def rmsprop_update(W, dW, h, lr, decay_rate):
    """h = decay_rate·h + (1 − decay_rate)·dW²; W −= lr·dW / (√h + 1e-7)."""
    rmsprop_range(0, W.size, pointer(W), pointer(dW), pointer(h), lr, decay_rate)


@inlined
def adam_range(lo, hi, W, dW, m, v, lr_t, beta1, beta2):
    """m += (1 − beta1)·(dW − m); v += (1 − beta2)·(dW² − v); W −= lr_t·m / (√v + 1e-7)."""
    step = zeros(1, VECTORS, W)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        gradient = load_row_masked(step, dW, i, left)
        mean, squares = load_row_masked(step, m, i, left), load_row_masked(step, v, i, left)
        mean = _lasting(add(mean, mul(sub(gradient, mean), 1 - beta1)))
        squares = _lasting(add(squares, mul(sub(mul(gradient, gradient), squares), 1 - beta2)))
        store_row_masked(mean, m, i, left)
        store_row_masked(squares, v, i, left)
        change = div(mul(mean, lr_t), add(sqrt(squares), TINY))
        store_row_masked(sub(load_row_masked(step, W, i, left), change), W, i, left)


@kernel
def adam_update(W, dW, m, v, lr_t, beta1, beta2):
    """m += (1 − beta1)·(dW − m); v += (1 − beta2)·(dW² − v); W −= lr_t·m / (√v + 1e-7)."""
    adam_range(0, W.size, pointer(W), pointer(dW), pointer(m), pointer(v), lr_t, beta1, beta2)


@inlined
def weight_decay_range(lo, hi, W, dW, decay):
    """dW += decay·W."""
    step = zeros(1, VECTORS, W)
    for i in range(lo, hi, width_of(step)):
        left = hi - i
        pull = mul(load_row_masked(step, W, i, left), decay)
        store_row_masked(add(load_row_masked(step, dW, i, left), pull), dW, i, left)


@inlined
def square_sum(n, W):
    """The sum of the squares of n elements, in float64 for either dtype and always in the same order."""
    step = zeros(1, VECTORS, 0.0)
    result = 0.0
    for start in range(0, n, BLOCK):
        stop = min(n, start + BLOCK)
        sums = step
        for i in range(start, stop, width_of(step)):
            tile = load_row_masked(step, W, i, stop - i)
            sums = fma(tile, tile, sums)
        result += total(sums)
    return result


@kernel
def sum_of_squares(W):
    """ΣW² in float64, W (size,) of either dtype."""
    return square_sum(W.size, pointer(W))
