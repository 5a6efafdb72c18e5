"""Batches of samples: rows of a data set by their indices, dense or compressed (CSR), converted and scaled on the way.

`rows` holds the samples' indices, D is their number of features.
"""

from fastbp.kernels.flags import inlined
from fastbp.kernels.simd import (
    load_row_masked,
    mul,
    splat,
    store_row_masked,
    width_of,
    zeros,
)

VECTORS = 4  # a step


@inlined
def gather_rows(lo, hi, rows, D, x, scale, out):
    """out[i] = scale · x[rows[i]] for i in [lo, hi)."""
    step = zeros(1, VECTORS, out)
    for i in range(lo, hi):
        start = rows[i] * D
        if scale == 1.0:
            for k in range(0, D, width_of(step)):
                store_row_masked(load_row_masked(step, x, start + k, D - k), out, i * D + k, D - k)
        else:
            for k in range(0, D, width_of(step)):
                values = mul(load_row_masked(step, x, start + k, D - k), scale)
                store_row_masked(values, out, i * D + k, D - k)


@inlined
def spread_rows(lo, hi, rows, D, starts, columns, values, out):
    """out[i] = the compressed row rows[i], with its zeros."""
    step = zeros(1, VECTORS, out)
    for i in range(lo, hi):
        for k in range(0, D, width_of(step)):
            store_row_masked(splat(step, 0.0), out, i * D + k, D - k)
        for e in range(starts[rows[i]], starts[rows[i] + 1]):
            out[i * D + columns[e]] += values[e]
