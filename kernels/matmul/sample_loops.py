"""The inner loops of products that read samples where they lie, each a function of its own as in `microkernel`."""

from fastbp.kernels.matmul.microkernel import apart, never_unrolled, put
from fastbp.kernels.matmul.product import FEW_ROWS, ROWS, ROWS_NARROW, ROWS_TWO, WIDE
from fastbp.kernels.tiles import fma, fma_step, load, load_row, prefetch_line, store, width_of, zeros
from fastbp.kernels.tiles.strided import fma_step_of_rows, row_pointers


def _samples_kernel(rows, vectors, fills):
    """C (rows, vectors) = `rows` samples @ B (depth, vectors), or C + that; if it fills, B goes to the panel too."""

    def multiply_samples(depth, a, places, b, b_row, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        begins = row_pointers(acc, a, places)
        for k in range(depth):
            terms = load_row(acc, b, k * b_row)
            if fills:
                store(terms, panel, k * width_of(acc), 0)
            acc = fma_step_of_rows(acc, begins, k, terms)
            never_unrolled()
        put(acc, adds, c, c_row)

    return apart(multiply_samples, f"multiply_samples_{rows}x{vectors}{'_filling' * fills}")


def _features_kernel(rows, vectors, fills, few):
    """C = `rows` features of all samples, turned, @ B; or C + factor[0] * that. Where they are few, `count` of them.

    Every `step`-th byte from `ahead` on is asked for meanwhile. The factor lies in memory, as none of AVX2's registers
    is left for it.
    """

    def multiply_features(depth, count, a, places, b, b_row, panel, c, c_row, factor, adds, ahead, step):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            terms = load_row(acc, b, k * b_row)
            if fills:
                store(terms, panel, k * width_of(acc), 0)
            acc = fma_step(acc, a, places[k], 1, count if few else rows, terms)
            prefetch_line(ahead, k * step)
            never_unrolled()
        if adds:
            acc = fma(acc, factor[0], load(acc, c, 0, c_row))  # rounded once, as where rows are left over
        store(acc, c, 0, c_row)

    return apart(multiply_features, f"multiply_features_{rows}x{vectors}{'_filling' * fills}")


# Rows of the tiles of so many vectors. Each sample has a pointer of its own, in a register.
ROWS_OF_FEATURES = {WIDE: ROWS, 2: ROWS_TWO, 1: ROWS_NARROW}
ROWS_OF_SAMPLES = {vectors: min(rows, 8) for vectors, rows in ROWS_OF_FEATURES.items()}
SAMPLES_KERNELS = {
    vectors: (
        _samples_kernel(rows, vectors, False),
        _samples_kernel(rows, vectors, True),
        _samples_kernel(FEW_ROWS, vectors, False),
    )
    for vectors, rows in ROWS_OF_SAMPLES.items()
}
FEATURES_KERNELS = {
    vectors: (
        _features_kernel(rows, vectors, False, False),
        _features_kernel(rows, vectors, True, False),
        _features_kernel(FEW_ROWS, vectors, False, True),
    )
    for vectors, rows in ROWS_OF_FEATURES.items()
}
