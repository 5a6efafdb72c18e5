"""Whether an array is finite: 0 · inf and 0 · NaN are NaN, so zeros can be skipped, or added, only where all is."""

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.tiles import fma, load_row_masked, row_sum, width_of, zeros

VECTORS = 4  # a step


@inlined
def all_finite(lo, hi, values):
    """Whether all values[lo:hi] are finite."""
    check = zeros(1, VECTORS, values)
    for i in range(lo, hi, width_of(check)):
        check = fma(load_row_masked(check, values, i, hi - i), 0.0, check)
    return row_sum(check, 0) == 0.0
