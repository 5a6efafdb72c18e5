"""Dense samples (N, D) to compressed rows (CSR) of their non-zeros: C functions for the rows [lo, hi).

A vector of numbers at a time, without a branch for each: where the target has an instruction that moves what is kept to
the front of a vector, by that; with AVX2 by a permutation from a table; elsewhere number by number.
"""

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles import lanes_of, zeros
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import TARGET

I8 = ir.IntType(8)


def _load(context, builder, x, data, at, count):
    memory = ir.VectorType(context.get_data_type(x.dtype), count)
    pointer = cg.element_pointer(context, builder, x, data, at, memory)
    return builder.load(pointer, align=context.get_abi_sizeof(memory.element))


def _is_kept(builder, vector):
    """Which elements are no zeros: NaN is none, −0.0 is one."""
    zero = ir.Constant(vector.type, None)
    if isinstance(vector.type.element, ir.IntType):
        return builder.icmp_unsigned("!=", vector, zero)
    return builder.fcmp_unordered("!=", vector, zero)


def _bits(builder, kept):
    """(A bit for each lane, how many are set), as int64."""
    bits = builder.zext(builder.bitcast(kept, ir.IntType(kept.type.count)), cg.I64)
    return bits, cg.call_llvm(builder, "ctpop", cg.I64, [bits], [cg.I64])


def _count_as_python(x, at, count):
    return sum(x[at + k] != 0 for k in range(count))


@operation(interpreted=_count_as_python, prefer_literal=True)
def _count(typingctx, x, at, count):
    """How many of x[at : at + count] are no zeros; count is a constant."""
    numbers = cg.literal_value(count, "count")

    def codegen(context, builder, signature, arguments):
        return _bits(builder, _is_kept(builder, _load(context, builder, x, *arguments[:2], numbers)))[1]

    return types.int64(x, types.int64, count), codegen


def _packed(builder, vector, kept, bits):
    """A vector whose kept lanes lie at its front."""
    if TARGET.vector_bytes == 64:
        blank = ir.Constant(vector.type, None)
        return cg.call_llvm(builder, "x86.avx512.mask.compress", vector.type, [vector, blank, kept], [vector.type])
    if vector.type == ir.VectorType(cg.I32, 4):  # half a register
        wide = cg.shuffled(builder, vector, vector, [0, 1, 2, 3, 0, 1, 2, 3])
        packed = _packed(builder, wide, None, bits)
        return cg.shuffled(builder, packed, packed, [0, 1, 2, 3])
    words = ir.VectorType(cg.I32, 8)
    order = builder.load(builder.gep(_orders(builder, vector.type.count), [cg.I32(0), bits]), align=8)
    order = builder.zext(builder.bitcast(order, ir.VectorType(I8, 8)), words)
    moved = cg.call_llvm(builder, "x86.avx2.permd", words, [builder.bitcast(vector, words), order], [])
    return builder.bitcast(moved, vector.type)


def _orders(builder, count):
    """The table of AVX2: for each set of lanes that are kept, which words of the vector come first; a byte each."""
    name = f"orders_of_{count}_lanes"
    if name not in builder.module.globals:
        words, orders = 8 // count, []
        for bits in range(1 << count):
            kept = [lane for lane in range(count) if bits >> lane & 1]
            order = [lane * words + word for lane in kept for word in range(words)]
            orders.append(sum(word << 8 * place for place, word in enumerate(order)))
        table = ir.GlobalVariable(builder.module, ir.ArrayType(cg.I64, len(orders)), name)
        table.initializer, table.global_constant, table.linkage = (
            ir.Constant(table.value_type, orders),
            True,
            "internal",
        )
    return builder.module.globals[name]


def _keep_as_python(like, x, at, scale, k, columns, values, e, limit):
    for lane in range(lanes_of(like)):
        if x[at + lane] != 0:
            columns[e], values[e], e = k + lane, x[at + lane] * scale, e + 1
    return e


@operation(interpreted=_keep_as_python)
def _keep(typingctx, like, x, at, scale, k, columns, values, e, limit):
    """Puts what is no zero of x[at : at + lanes], times scale, into values[e:], and its columns from k.

    Returns where the next one belongs. What lies behind, before `limit`, may be overwritten.
    """

    def codegen(context, builder, signature, arguments):
        _, data, at, scale, k, columns_data, values_data, e, limit = arguments
        count = like.lanes
        vector = _load(context, builder, x, data, at, count)
        kept = _is_kept(builder, vector)
        bits, found = _bits(builder, kept)
        numbers = cg.converted(builder, vector, x.dtype, like.elem)
        numbers = builder.fmul(numbers, cg.broadcast(builder, scale, count))
        lanes = ir.Constant(ir.VectorType(cg.I32, count), list(range(count)))
        places = builder.add(lanes, cg.broadcast(builder, builder.trunc(k, cg.I32), count))
        for array, pointer, value in ((columns, columns_data, places), (values, values_data, numbers)):
            packed = _packed(builder, value, kept, bits)
            memory = cg.element_pointer(context, builder, array, pointer, e, packed.type)
            size = context.get_abi_sizeof(packed.type.element)
            with builder.if_else(builder.icmp_signed("<=", builder.add(e, cg.I64(count)), limit)) as (whole, part):
                with whole:
                    builder.store(packed, memory, align=size)
                with part:
                    ones = builder.sub(builder.shl(cg.I64(1), found), cg.I64(1))
                    front = builder.bitcast(builder.trunc(ones, ir.IntType(count)), kept.type)
                    kinds = [packed.type, memory.type]
                    cg.call_llvm(builder, "masked.store", ir.VoidType(), [packed, memory, cg.I32(size), front], kinds)
        return builder.add(e, found)

    long = types.int64
    return long(like, x, long, like.elem, long, columns, values, long, long), codegen


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
    tile, factor, limit = zeros(1, 1, values), scale[0], starts[hi]
    for i in range(lo, hi):
        e, k = starts[i], 0
        if PACKS:
            while k + lanes_of(values) <= D:
                if _count(x, i * D + k, lanes_of(values)) != 0:
                    e = _keep(tile, x, i * D + k, factor, k, columns, values, e, limit)
                k += lanes_of(values)
        while k < D:
            if x[i * D + k] != 0:
                columns[e] = k
                values[e] = x[i * D + k]
                values[e] *= factor
                e += 1
            k += 1


# With AVX, FMA comes with AVX2 on all processors that have it.
PACKS = TARGET.vector_bytes == 64 or (TARGET.vector_bytes == 32 and TARGET.fma)


def functions(source, dtype):
    """(count_nonzeros, compress_rows) of samples of one dtype into values of another."""
    x, value = (types.CPointer(getattr(types, str(each))) for each in (source, dtype))
    long, index = types.int64, types.CPointer(types.int64)
    count = count_nonzeros.of(long, long, long, x, index)
    return count, compress_rows.of(long, long, long, x, value, index, types.CPointer(types.int32), value)
