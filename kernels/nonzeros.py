"""Which numbers of a few rows are not zero, without a branch, a vector of columns at a time.

mark_nonzeros      a word for each column: bit i is set where x[i, column] is none
columns_not_zero   the columns where one of the rows has none, one after the other
"""

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.packing import PACKS, bits_of, is_kept, load_vector, packed, store_vector
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import TARGET

TOGETHER = 8  # rows whose bits go into the words at a time
MOST_ROWS = 56  # of a word of int64, without its sign: a multiple of these


def _mark_as_python(x, at, D, rows, words, k, first):
    for column in range(_together_as_python(x)):
        for row in range(rows):
            words[k + column] |= int(x[at + row * D + column] != 0) << first + row


def _together_as_python(x):
    return TARGET.vector_bytes // x.dtype.itemsize


@operation(interpreted=_together_as_python)
def columns_together(typingctx, x):
    """How many columns `_mark` and `_keep_columns` look at."""

    def codegen(context, builder, signature, arguments):
        return cg.I64(TARGET.vector_bytes * 8 // x.dtype.bitwidth)

    return types.int64(x), codegen


@operation(interpreted=_mark_as_python, prefer_literal=True)
def _mark(typingctx, x, at, D, rows, words, k, first):
    """Sets bits first, first + 1 ... of words[k:] by x[at:], x[at + D:] ...; so many rows, a constant."""
    count = cg.literal_value(rows, "rows")

    def codegen(context, builder, signature, arguments):
        data, at, stride, _, words_data, k, first = arguments
        lanes = TARGET.vector_bytes * 8 // x.dtype.bitwidth
        numbers = ir.VectorType(context.get_data_type(x.dtype), lanes)
        bits, long = ir.VectorType(ir.IntType(x.dtype.bitwidth), lanes), ir.VectorType(cg.I64, lanes)
        found = ir.Constant(bits, None)
        for row in range(count):
            place = builder.add(at, builder.mul(stride, cg.I64(row)))
            pointer = cg.element_pointer(context, builder, x, data, place, numbers)
            vector = builder.load(pointer, align=cg.size_of(numbers.element))
            kept = builder.fcmp_unordered("!=", vector, ir.Constant(numbers, None))
            bit = ir.Constant(bits, [1 << row] * lanes)
            found = builder.or_(found, builder.select(kept, bit, ir.Constant(bits, None)))
        wide = found if bits == long else builder.zext(found, long)
        wide = builder.shl(wide, cg.broadcast(builder, first, lanes))
        pointer = cg.element_pointer(context, builder, words, words_data, k, long)
        builder.store(builder.or_(builder.load(pointer, align=8), wide), pointer, align=8)
        return context.get_dummy_value()

    long = types.int64
    return types.void(x, long, long, rows, words, long, long), codegen


def _lowest_as_python(word):
    return (int(word) & -int(word)).bit_length() - 1


@operation(interpreted=_lowest_as_python)
def lowest_bit(typingctx, word):
    """The place of the lowest bit of a word that has one."""

    def codegen(context, builder, signature, arguments):
        never_none = ir.Constant(ir.IntType(1), 1)
        return cg.call_llvm(builder, "cttz", cg.I64, [arguments[0], never_none], [cg.I64])

    return types.int64(types.int64), codegen


@inlined
def mark_nonzeros(rows, D, x, words):
    """words[d] for the columns of x (rows, D), at most MOST_ROWS."""
    for d in range(D):
        words[d] = 0
    whole = D - D % columns_together(x)
    for first in range(0, rows, TOGETHER):
        if first + TOGETHER <= rows:
            for k in range(0, whole, columns_together(x)):
                _mark(x, first * D + k, D, TOGETHER, words, k, first)
        else:
            for row in range(first, rows):
                for k in range(0, whole, columns_together(x)):
                    _mark(x, row * D + k, D, 1, words, k, row)
    for d in range(whole, D):
        for row in range(rows):
            if x[row * D + d] != 0:
                words[d] |= 1 << row


def _keep_as_python(x, at, D, like, rows, k, columns, e):
    for column in range(_together_as_python(x)):
        if any(x[at + row * D + column] != 0 for row in range(rows)):
            columns[e] = k + column
            e += 1
    return e


@operation(interpreted=_keep_as_python)
def _keep_columns(typingctx, x, at, D, like, rows, k, columns, e):
    """Puts into columns[e:], counted from k, where one of the rows x[at:], x[at + D:] ... is not zero.

    There are `rows` of them, at most as many as a tile has. Returns where the next one belongs; behind, lanes may be
    overwritten.
    """

    def codegen(context, builder, signature, arguments):
        data, at, stride, _, rows, k, columns_data, e = arguments
        lanes, kept = TARGET.vector_bytes * 8 // x.dtype.bitwidth, None
        for row in range(like.rows):
            place = builder.add(at, builder.mul(cg.clamped_row(builder, row, rows), stride))
            found = is_kept(builder, load_vector(context, builder, x, data, place, lanes))
            kept = found if kept is None else builder.or_(kept, found)
        bits, found = bits_of(builder, kept)
        numbers = ir.Constant(ir.VectorType(cg.I32, lanes), list(range(lanes)))
        numbers = builder.add(numbers, cg.broadcast(builder, builder.trunc(k, cg.I32), lanes))
        store_vector(context, builder, columns, columns_data, e, packed(builder, numbers, kept, bits))
        return builder.add(e, found)

    long = types.int64
    return long(x, long, long, like, long, long, columns, long), codegen


@inlined
def columns_not_zero(like, rows, D, count, x, columns):
    """How many of the first `count` columns of x (rows, D), rows of a tile, are not zero; `columns` holds them.

    Behind these as many may be overwritten as a vector has lanes.
    """
    e, k = 0, 0
    while PACKS and k + columns_together(x) <= count:
        e = _keep_columns(x, k, D, like, rows, k, columns, e)
        k += columns_together(x)
    for column in range(k, count):
        nonzero = False
        for row in range(rows):
            nonzero = nonzero or x[row * D + column] != 0
        if nonzero:
            columns[e] = column
            e += 1
    return e
