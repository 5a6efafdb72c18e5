"""Dropout: x, out, dout, dx (size,), mask (size,) of bool, drawn (size,) of float64: uniform numbers in [0, 1)."""

from fastbp.kernels.build.flags import inlined, kernel
from fastbp.kernels.tiles import load_row_masked, pointer, store_row_masked, width_of, zeros
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


@kernel
def dropout_forward(x, drawn, ratio, out, mask):
    """mask = drawn > ratio, compared in float64 whatever x is; out = x · mask."""
    step, size = zeros(1, VECTORS, drawn), drawn.size
    for i in range(0, size, width_of(step)):
        store_row_masked(load_row_masked(step, drawn, i, size - i) > ratio, mask, i, size - i)
    masked_elements(0, size, (pointer(x), pointer(mask)), (pointer(out),), ())


@kernel
def dropout_predict(x, ratio, out):
    """out = x · (1 − ratio)."""
    scaled_elements(0, x.size, (pointer(x),), (pointer(out),), (1.0 - ratio,))


@kernel
def dropout_backward(dout, mask, dx):
    """dx = dout · mask."""
    masked_elements(0, dout.size, (pointer(dout), pointer(mask)), (pointer(dx),), ())
