"""Dense samples (N, D) to compressed rows (CSR) of their non-zeros: C functions for the rows [lo, hi).

A vector of numbers at a time, without a branch for each: where the target has an instruction that moves what is kept to
the front of a vector, by that; with AVX2 by a permutation from a table; elsewhere number by number.
"""

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.packing import PACKS, at_once, bits_of, is_kept, load_vector, orders, packed, store_vector
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import TARGET

# Compressed samples, by what their columns and values are: bytes stay bytes, and columns are as short as they may be. A
# third of the memory to read for bytes, and three quarters for float32.
COMPRESSED = WIDE, NARROW, BYTES = range(3)
NARROW_BELOW = 1 << 16  # columns that uint16 can count
OVERRUN = 64  # elements behind the last one of a sample that may be read, and of its copy written


def form_of(source, D):
    """Which of COMPRESSED samples of this dtype become, with D columns."""
    if D > NARROW_BELOW:
        return WIDE
    return BYTES if str(source) == "uint8" else NARROW


def dtypes_of(form, dtype):
    """The dtypes of (columns, values) in this form, for a network of this dtype."""
    return "int32" if form == WIDE else "uint16", "uint8" if form == BYTES else str(dtype)


def _count_as_python(x, at, count):
    return sum(x[at + k] != 0 for k in range(count))


@operation(interpreted=_count_as_python, prefer_literal=True)
def _count(typingctx, x, at, count):
    """How many of x[at : at + count] are no zeros; count is a constant."""
    numbers = cg.literal_value(count, "count")

    def codegen(context, builder, signature, arguments):
        return bits_of(builder, is_kept(builder, load_vector(context, builder, x, *arguments[:2], numbers)))[1]

    return types.int64(x, types.int64, count), codegen


def _keep_as_python(x, at, scale, k, columns, values, e):
    return keep_one_by_one(at, at + lanes_together(values), x, scale, k - at, columns, values, e)


def _together_as_python(values):
    return min(TARGET.vector_bytes // 4, TARGET.vector_bytes // values.dtype.itemsize)


@operation(interpreted=_together_as_python)
def lanes_together(typingctx, values):
    """How many numbers `keep` looks at."""

    def codegen(context, builder, signature, arguments):
        return cg.I64(at_once(values.dtype))

    return types.int64(values), codegen


@operation(interpreted=_keep_as_python)
def keep(typingctx, x, at, scale, k, columns, values, e):
    """Puts what is no zero of x[at : at + lanes], times scale, into values[e:], and its columns from k.

    Returns where the next one belongs; behind, lanes may be overwritten.
    """
    count = at_once(values.dtype)

    def codegen(context, builder, signature, arguments):
        _, at, factor, k, _, _, e = arguments
        vector = load_vector(context, builder, x, arguments[0], at, count)
        kept = is_kept(builder, vector)
        bits, found = bits_of(builder, kept)
        lanes = ir.Constant(ir.VectorType(cg.I32, count), list(range(count)))
        places = builder.add(lanes, cg.broadcast(builder, builder.trunc(k, cg.I32), count))
        numbers = cg.converted(builder, vector, x.dtype, values.dtype)
        numbers = builder.fmul(numbers, cg.broadcast(builder, factor, count))
        places, numbers = (packed(builder, each, kept, bits) for each in (places, numbers))
        if columns.dtype.bitwidth < 32:
            places = builder.trunc(places, ir.VectorType(context.get_data_type(columns.dtype), count))
        store_vector(context, builder, columns, arguments[4], e, places)
        store_vector(context, builder, values, arguments[5], e, numbers)
        return builder.add(e, found)

    long = types.int64
    return long(x, long, values.dtype, long, columns, values, long), codegen


def _keep_bytes_as_python(x, at, k, columns, values, e, count):
    return keep_one_by_one(at, at + count, x, 1, k - at, columns, values, e)


@operation(interpreted=_keep_bytes_as_python, prefer_literal=True)
def _keep_bytes(typingctx, x, at, k, columns, values, e, count):
    """The same of `count` bytes, a constant, BYTES_AT_ONCE by instructions for these; their columns have two bytes."""
    together, step, number = cg.literal_value(count, "count"), BYTES_AT_ONCE, ir.IntType(16)

    def codegen(context, builder, signature, arguments):
        data, at, k, columns_data, values_data, e, _ = arguments
        all_kept, k = is_kept(builder, load_vector(context, builder, x, data, at, together)), builder.trunc(k, number)
        for first in range(0, together, step):
            kept = cg.shuffled(builder, all_kept, all_kept, list(range(first, first + step)))
            bits, found = bits_of(builder, kept)
            vector = load_vector(context, builder, x, data, builder.add(at, cg.I64(first)), step)
            lanes = ir.Constant(ir.VectorType(number, step), list(range(step)))
            if TARGET.compresses_bytes:
                vector, lanes = (packed(builder, each, kept, bits) for each in (vector, lanes))
            else:
                order = builder.load(builder.gep(orders(builder, step), [cg.I32(0), bits]), align=8)
                order = builder.bitcast(order, vector.type)
                vector, lanes = _shuffled_bytes(builder, vector, order), builder.zext(order, lanes.type)
            places = builder.add(lanes, cg.broadcast(builder, builder.add(k, number(first)), step))
            store_vector(context, builder, columns, columns_data, e, places)
            store_vector(context, builder, values, values_data, e, vector)
            e = builder.add(e, found)
        return e

    long = types.int64
    return long(x, long, long, columns, values, long, count), codegen


def _shuffled_bytes(builder, vector, order):
    """Bytes of a vector of eight, in this order."""
    twice = [*range(8), *range(8)]
    vector, order = (cg.shuffled(builder, each, each, twice) for each in (vector, order))
    moved = cg.call_llvm(builder, "x86.ssse3.pshuf.b.128", vector.type, [vector, order], [])
    return cg.shuffled(builder, moved, moved, list(range(8)))


@inlined
def keep_one_by_one(at, end, x, scale, shift, columns, values, e):
    """The same of x[at:end], whose columns begin `shift` later, without touching what lies behind."""
    return _keep_until(at, end, x, scale, shift, columns, values, e, e + end - at)


@inlined
def _finish_row(at, end, x, scale, shift, columns, values, e, row_end):
    """The same up to a row's counted end: what more there is stays out, and what is missing is a zero of column 0.

    Only samples that somebody changes meanwhile have more or less than was counted, and nothing is read or written
    outside of the arrays for these either.
    """
    e = _keep_until(at, end, x, scale, shift, columns, values, e, row_end)
    while e < row_end:
        columns[e] = 0
        values[e] = 0
        e += 1


@inlined
def _keep_until(at, end, x, scale, shift, columns, values, e, limit):
    for place in range(at, end):
        if x[place] != 0 and e < limit:
            columns[e] = place + shift
            values[e] = x[place]
            values[e] *= scale
            e += 1
    return e


@inlined
def _counted(x, at, D):
    """The non-zeros of x[at : at + D]."""
    found, k = 0, 0
    while k + 64 <= D:
        found += _count(x, at + k, 64)
        k += 64
    while k + 16 <= D:
        found += _count(x, at + k, 16)
        k += 16
    while k < D:
        found += x[at + k] != 0
        k += 1
    return found


@shared
def count_nonzeros(lo, hi, D, x, counts):
    """counts[i]: the non-zeros of row i of x (N, D)."""
    for i in range(lo, hi):
        counts[i] = _counted(x, i * D, D)


@shared
def compress_rows(lo, hi, D, x, scale, starts, columns, values):
    """The columns and values, times scale (1,), of row i's non-zeros, from starts[i] on; rounded as in a batch."""
    factor, limit, lanes = scale[0], starts[hi], lanes_together(values)
    for i in range(lo, hi):
        e, k, row = starts[i], 0, i * D
        while PACKS and k + lanes <= D and e + lanes <= limit:
            e = keep(x, row + k, factor, k, columns, values, e)
            k += lanes
        _finish_row(row + k, row + D, x, factor, -row, columns, values, e, starts[i + 1])


@shared
def compress_bytes(lo, hi, D, x, scale, starts, columns, values):
    """The same of bytes that stay bytes: with AVX2 images take half the time."""
    factor, limit = scale[0], starts[hi]
    for i in range(lo, hi):
        e, k, row = starts[i], 0, i * D
        while k + BYTES_LOOK <= D and e + BYTES_LOOK <= limit:
            if _count(x, row + k, BYTES_LOOK) != 0:
                e = _keep_bytes(x, row + k, k, columns, values, e, BYTES_LOOK)
            k += BYTES_LOOK
        while k + BYTES_AT_ONCE <= D and e + BYTES_AT_ONCE <= limit:
            e = _keep_bytes(x, row + k, k, columns, values, e, BYTES_AT_ONCE)
            k += BYTES_AT_ONCE
        _finish_row(row + k, row + D, x, factor, -row, columns, values, e, starts[i + 1])


BYTES_AT_ONCE = 32 if TARGET.compresses_bytes else 8
# Bytes passed over together where all are zeros: images take 0.9 of the time with AVX-512, no less with AVX2; images of
# float32 would take 1.2 times as long with either (EPYC of Zen 5).
BYTES_LOOK = 64


def functions(source, columns, values):
    """(count_nonzeros, what compresses) samples of one dtype into columns and values of these."""
    x, column, value = (types.CPointer(getattr(types, str(each))) for each in (source, columns, values))
    long, index = types.int64, types.CPointer(types.int64)
    count = count_nonzeros.of(long, long, long, x, index)
    of_bytes = PACKS and (str(columns), str(values)) == ("uint16", "uint8")
    compress = compress_bytes if of_bytes else compress_rows
    return count, compress.of(long, long, long, x, value, index, column, value)
