"""The inner loop of all matrix products: a function of its own for each shape of a tile, which multiplies and adds.

    C (rows, vectors) = A (rows, depth) @ panel (depth, vectors), or C += that

A is read by its strides, so that A and its transpose are one case; the panel lies in the order in which it is read; C
is its place in the result, or a buffer. What else a product needs is done before and after (`panels`).

These functions are never merged with their callers. Where they were, the register allocator saw thousands of
instructions at once: with AVX2 it spilled three of twelve accumulators in the hottest loop, which then ran at 0.6 of
the multiply-add peak instead of 0.9 (Zen 3). A C function is the same machine code when it is loaded as when it was
compiled. `tests/kernels/matmul/test_microkernel.py` reads that code for a list of processors.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.tiles import add, fma_step, load, load_row, prefetch_line, rows_of, store, width_of, zeros
from fastbp.kernels.tiles.operation import operation


@operation(interpreted=lambda: None)
def never_unrolled(typingctx):
    """The loop that says this is not unrolled: LLVM takes an empty line of assembly for a call.

    A tile is work enough for one round. Of several rounds LLVM kept so many addresses that it spilled them.
    """

    def codegen(context, builder, sig, args):
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)
        return context.get_dummy_value()

    return types.void(), codegen


def apart(function, name):
    """Compiles a function of its own, under this name."""
    function.__name__ = function.__qualname__ = name  # a part of the symbol: each shape has its own
    return shared(function)


@inlined
def put(acc, adds, c, c_row):
    """A tile to its place, or added to what lies there."""
    if adds:
        acc = add(acc, load(acc, c, 0, c_row))
    store(acc, c, 0, c_row)


def reading_kernel(rows, vectors):
    """The function (depth, a, a_row, a_k, panel, c, c_row, adds): A[r, k] = a[r * a_row + k * a_k]."""

    def multiply(depth, a, a_row, a_k, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            acc = fma_step(acc, a, k * a_k, a_row, rows, load_row(acc, panel, k * width_of(acc)))
            never_unrolled()
        put(acc, adds, c, c_row)

    return apart(multiply, f"multiply_{rows}x{vectors}")


def reading_few_kernel(rows, vectors):
    """The same with one more argument, how many rows of A there are: those past them repeat the last one."""

    def multiply_few(depth, count, a, a_row, a_k, panel, c, c_row):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            acc = fma_step(acc, a, k * a_k, a_row, count, load_row(acc, panel, k * width_of(acc)))
            never_unrolled()
        store(acc, c, 0, c_row)

    return apart(multiply_few, f"multiply_few_{rows}x{vectors}")


def filling_kernel(rows, vectors):
    """The same from B as it lies, rows of b_row elements, which it copies to the panel on the way.

    A copy of its own took 14,000 of 141,000 cycles at 100 x 784 x 48.
    """

    def fill_and_multiply(depth, a, a_row, a_k, b, b_row, panel, c, c_row, adds):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            terms = load_row(acc, b, k * b_row)
            store(terms, panel, k * width_of(acc), 0)
            acc = fma_step(acc, a, k * a_k, a_row, rows, terms)
            never_unrolled()
        put(acc, adds, c, c_row)

    return apart(fill_and_multiply, f"fill_and_multiply_{rows}x{vectors}")


def prefetching_kernel(rows, vectors):
    """The same as reading_kernel, which prefetches the tile of A below, and every `step`-th byte from `ahead` on.

    Line by line, as a burst holds up the tile. A step of 784-50-10 is 10 % faster by the row, on two threads 5 by A.
    """

    def prefetch_and_multiply(depth, a, a_row, a_k, panel, c, c_row, adds, ahead, step):
        acc = zeros(rows, vectors, c)
        for k in range(depth):
            acc = fma_step(acc, a, k * a_k, a_row, rows, load_row(acc, panel, k * width_of(acc)))
            prefetch_line(ahead, k * step)
            prefetch_line(a, k * a_k + rows_of(acc) * a_row)
            never_unrolled()
        put(acc, adds, c, c_row)

    return apart(prefetch_and_multiply, f"prefetch_and_multiply_{rows}x{vectors}")


class Microkernels(NamedTuple):
    """The functions of one shape."""

    rows: int
    few: int  # rows of the tile for the rows left over
    vectors: int
    read: Any
    read_few: Any
    fill: Any
    prefetch: Any


def microkernels(rows, few, vectors):
    read, fill, prefetch = (make(rows, vectors) for make in (reading_kernel, filling_kernel, prefetching_kernel))
    return Microkernels(rows, few, vectors, read, reading_few_kernel(few, vectors), fill, prefetch)
