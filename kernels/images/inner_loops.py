"""The inner loops of a convolution: functions of their own, which multiply and add a tile.

    C (rows, vectors) = A (rows, depth) @ panel (depth, vectors), or C += that

They are never merged with their callers: the register allocator sees one loop at a time, and a tile's accumulators stay
in registers.
"""

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import merged, shared
from fastbp.kernels.tiles import add, fma_step, load, load_row, store, width_of, zeros
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.strided import fma_step_of_rows, row_pointers


@operation(interpreted=lambda: None)
def never_unrolled(typingctx):
    """The loop that says this is not unrolled: LLVM takes an empty line of assembly for a call.

    A tile is work enough for one round, and of several rounds so many addresses are kept that they spill.
    """

    def codegen(context, builder, sig, args):
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)
        return context.get_dummy_value()

    return types.void(), codegen


def apart(function, name):
    """Compiles a function of its own, under this name."""
    function.__name__ = function.__qualname__ = name  # a part of the symbol: each shape has its own
    return shared(function)


@merged
def _put(acc, adds, c, c_row):
    if adds:
        acc = add(acc, load(acc, c, 0, c_row))
    store(acc, c, 0, c_row)


def reading_kernel(rows, vectors):
    """The function (depth, a, a_row, panel, c, c_row, adds): A as it lies, rows a_row elements apart."""

    def read_and_multiply(depth, a, a_row, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            acc = fma_step(acc, a, k, a_row, rows, load_row(acc, panel, k * width_of(acc)))
            never_unrolled()
        _put(acc, adds, c, c_row)

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
        _put(acc, adds, c, c_row)

    return apart(gather_and_multiply, f"gather_and_multiply_{rows}x{vectors}")


def scattered_kernel(rows, vectors):
    """The function (depth, a, places, panel, c, c_row, adds): row r of A begins at a[places[r]]."""

    def multiply_scattered(depth, a, places, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        begins = row_pointers(acc, a, places)
        for k in range(depth):
            acc = fma_step_of_rows(acc, begins, k, load_row(acc, panel, k * width_of(acc)))
            never_unrolled()
        _put(acc, adds, c, c_row)

    return apart(multiply_scattered, f"multiply_scattered_{rows}x{vectors}")
