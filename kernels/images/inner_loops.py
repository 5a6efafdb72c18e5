"""The inner loops of a convolution: functions of their own, which multiply and add a tile.

    C (rows, vectors) = A (rows, depth) @ panel (depth, vectors), or C += that

They are never merged with their callers: the register allocator sees one loop at a time, and a tile's accumulators stay
in registers.
"""

from fastbp.kernels.matmul.microkernel import apart, never_unrolled, put
from fastbp.kernels.tiles import fma_step, load_row, store, width_of, zeros
from fastbp.kernels.tiles.strided import fma_step_of_rows, row_pointers


def reading_kernel(rows, vectors):
    """The function (depth, a, a_row, panel, c, c_row, adds): A as it lies, rows a_row elements apart."""

    def read_and_multiply(depth, a, a_row, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            acc = fma_step(acc, a, k, a_row, rows, load_row(acc, panel, k * width_of(acc)))
            never_unrolled()
        put(acc, adds, c, c_row)

    return apart(read_and_multiply, f"read_and_multiply_{rows}x{vectors}")


def gathering_kernel(rows, vectors):
    """The function (depth, a, a_row, b, places, panel, c, c_row, adds): row k of B is at b[places[k]], and copied."""

    def gather_and_multiply(depth, a, a_row, b, places, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            terms = load_row(acc, b, places[k])
            store(terms, panel, k * width_of(acc), 0)
            acc = fma_step(acc, a, k, a_row, rows, terms)
            never_unrolled()
        put(acc, adds, c, c_row)

    return apart(gather_and_multiply, f"gather_and_multiply_{rows}x{vectors}")


def scattered_kernel(rows, vectors):
    """The function (depth, a, places, panel, c, c_row, adds): row r of A begins at a[places[r]]."""

    def multiply_scattered(depth, a, places, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        begins = row_pointers(acc, a, places)
        for k in range(depth):
            acc = fma_step_of_rows(acc, begins, k, load_row(acc, panel, k * width_of(acc)))
            never_unrolled()
        put(acc, adds, c, c_row)

    return apart(multiply_scattered, f"multiply_scattered_{rows}x{vectors}")
