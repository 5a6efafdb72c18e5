"""Dropout: x, out, dout, dx (size,), mask (size,) of bool, drawn (size,) of float64: uniform numbers in [0, 1)."""

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.tiles import load_row_masked, moved, pointer, store_row_masked, width_of, zeros
from fastbp.kernels.tiles.elementwise import elementwise

VECTORS = 4  # a step


@inlined
def masked(tile, mask):
    """out = x · mask, so that what is dropped of NaN or infinity is NaN."""
    return tile * mask


@inlined
def scaled(tile, factor):
    return tile * factor


masked_elements = elementwise(masked, VECTORS)
scaled_elements = elementwise(scaled, VECTORS)


@inlined
def kept_elements(lo, hi, drawn, ratio, mask):
    """mask = drawn > ratio, compared in float64 whatever x is."""
    step = zeros(1, VECTORS, drawn)
    for i in range(lo, hi, width_of(step)):
        store_row_masked(load_row_masked(step, drawn, i, hi - i) > ratio, mask, i, hi - i)


@kernel("real[::1], float64[::1], float64, real[::1], boolean[::1]")
def dropout_forward(x, drawn, ratio, out, mask):
    """mask = drawn > ratio; out = x · mask."""
    kept_elements(0, x.size, pointer(drawn), ratio, pointer(mask))
    masked_elements(0, x.size, (pointer(x), pointer(mask)), (pointer(out),), ())


@kernel("real[::1], float64, real[::1]")
def dropout_predict(x, ratio, out):
    """out = x · (1 − ratio)."""
    scaled_elements(0, x.size, (pointer(x),), (pointer(out),), (1.0 - ratio,))


@kernel("real[::1], boolean[::1], real[::1]")
def dropout_backward(dout, mask, dx):
    """dx = dout · mask."""
    masked_elements(0, dout.size, (pointer(dout), pointer(mask)), (pointer(dx),), ())


@part
def forward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of the batch, with the random numbers of this step."""
    drawn = moved(op.draws, step.number * step.N * op.D)
    kept_elements(lo * op.D, hi * op.D, drawn, op.numbers[0], op.mask)
    masked_elements(lo * op.D, hi * op.D, (op.x, op.mask), (op.out,), ())


@part
def predict(lo, hi, left, right, op, step):
    """Rows [lo, hi) in prediction."""
    scaled_elements(lo * op.D, hi * op.D, (op.x,), (op.out,), (1.0 - op.numbers[0],))


@part
def backward(lo, hi, left, right, op, step):
    """Rows [lo, hi) of the gradient."""
    masked_elements(lo * op.D, hi * op.D, (op.dout, op.mask), (op.dx,), ())
