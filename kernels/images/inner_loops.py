"""The inner loop of a convolution: a function of its own for each shape of a tile, as in `kernels.matmul.microkernel`.

    C (rows, vectors) = A (rows, depth) @ panel (depth, vectors), or C += that

Neither A nor C is a matrix in memory. Term k of row r of A is a[starts[r] + offsets[k]], and row r of C begins at
c[places[r]]: so A is what the filters see of an image, which lies there once.
"""

from fastbp.kernels.matmul.microkernel import apart, never_unrolled
from fastbp.kernels.tiles import add, load_row, width_of, zeros
from fastbp.kernels.tiles.strided import fma_step_of_rows, load_rows, row_pointers, store_rows


def seeing_kernel(rows, vectors):
    """The function (depth, a, starts, offsets, panel, c, places, adds)."""

    def see_and_multiply(depth, a, starts, offsets, panel, c, places, adds):
        acc = zeros(rows, vectors, c)
        begins = row_pointers(acc, a, starts)
        for k in range(depth):
            acc = fma_step_of_rows(acc, begins, offsets[k], load_row(acc, panel, k * width_of(acc)))
            never_unrolled()
        to = row_pointers(acc, c, places)
        if adds:
            acc = add(acc, load_rows(acc, to, 0))
        store_rows(acc, to)

    return apart(see_and_multiply, f"see_and_multiply_{rows}x{vectors}")
