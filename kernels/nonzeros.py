"""Which numbers of a few rows are not zero, without a branch, a vector of columns at a time.

mark_nonzeros      a word for each column: bit i is set where x[i, column] is not zero
columns_not_zero   the columns where at least one of the rows is not zero, one after the other
"""

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.packing import PACKS, bits_of, is_kept, load_vector, packed, store_vector
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import TARGET

ROWS_TOGETHER = 8  # whose bits go into the words at a time
MOST_ROWS = 56  # of a word of int64, without its sign: a multiple of these


def _mark_as_python(x, begins, k, words, to, first):
    for column in range(_together_as_python(x)):
        for row, begin in enumerate(begins):
            words[to + column] |= int(x[begin + k + column] != 0) << first + row


def _together_as_python(x):
    return TARGET.vector_bytes // x.dtype.itemsize


@operation(interpreted=_together_as_python)
def columns_together(typingctx, x):
    """How many columns `_mark` and `_keep_columns` look at."""

    def codegen(context, builder, signature, arguments):
        return cg.I64(TARGET.vector_bytes * 8 // x.dtype.bitwidth)

    return types.int64(x), codegen


@operation(interpreted=_mark_as_python)
def _mark(typingctx, x, begins, k, words, to, first):
    """Sets bits first, first + 1 ... of words[to:] by x[begins[0] + k:], x[begins[1] + k:] ..."""

    def codegen(context, builder, signature, arguments):
        data, begins_value, k, words_data, to, first = arguments
        lanes = TARGET.vector_bytes * 8 // x.dtype.bitwidth
        numbers = ir.VectorType(context.get_data_type(x.dtype), lanes)
        bits, long = ir.VectorType(ir.IntType(x.dtype.bitwidth), lanes), ir.VectorType(cg.I64, lanes)
        found = ir.Constant(bits, None)
        for row in range(len(begins)):
            place = builder.add(builder.extract_value(begins_value, row), k)
            pointer = cg.element_pointer(context, builder, x, data, place, numbers)
            vector = builder.load(pointer, align=cg.size_of(numbers.element))
            kept = builder.fcmp_unordered("!=", vector, ir.Constant(numbers, None))
            bit = ir.Constant(bits, [1 << row] * lanes)
            found = builder.or_(found, builder.select(kept, bit, ir.Constant(bits, None)))
        wide = found if bits == long else builder.zext(found, long)
        wide = builder.shl(wide, cg.broadcast(builder, first, lanes))
        pointer = cg.element_pointer(context, builder, words, words_data, to, long)
        builder.store(builder.or_(builder.load(pointer, align=8), wide), pointer, align=8)
        return context.get_dummy_value()

    long = types.int64
    return types.void(x, begins, long, words, long, long), codegen


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
def evenly(places, i, D):
    """Where row i begins: one lies behind the other."""
    return i * D


@inlined
def listed(places, i, D):
    """Where row i begins: `places` says it. Gradients of samples take 1.1 times as long."""
    return places[i]


def marking(begin):
    """The function that marks what isn't zero in rows that begin where `begin(places, i, D)` says."""

    @inlined
    def mark_nonzeros(top, rows, places, D, lo, hi, x, words):
        """words[d - lo] for the columns d in [lo, hi) of so many rows, at most MOST_ROWS, from row `top` on."""
        whole = hi - (hi - lo) % columns_together(x)
        for d in range(hi - lo):
            words[d] = 0
        for first in range(0, rows, ROWS_TOGETHER):
            i = top + first
            if first + ROWS_TOGETHER <= rows:
                eight = (
                    *(begin(places, i, D), begin(places, i + 1, D), begin(places, i + 2, D), begin(places, i + 3, D)),
                    *(begin(places, i + 4, D), begin(places, i + 5, D), begin(places, i + 6, D)),
                    begin(places, i + 7, D),
                )
                for d in range(lo, whole, columns_together(x)):
                    _mark(x, eight, d, words, d - lo, first)
            else:
                for row in range(first, rows):
                    one = (begin(places, top + row, D),)
                    for d in range(lo, whole, columns_together(x)):
                        _mark(x, one, d, words, d - lo, row)
        for d in range(whole, hi):
            for row in range(rows):
                if x[begin(places, top + row, D) + d] != 0:
                    words[d - lo] |= 1 << row

    return mark_nonzeros


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
def columns_not_zero(like, rows, step, count, x, columns):
    """How many of the first `count` columns of rows of x, those of a tile, are not zero; `columns` holds them.

    The rows lie `step` elements apart. Behind the columns as many may be overwritten as a vector has lanes.
    """
    e, k = 0, 0
    while PACKS and k + columns_together(x) <= count:
        e = _keep_columns(x, k, step, like, rows, k, columns, e)
        k += columns_together(x)
    for column in range(k, count):
        nonzero = False
        for row in range(rows):
            nonzero = nonzero or x[row * step + column] != 0
        if nonzero:
            columns[e] = column
            e += 1
    return e
