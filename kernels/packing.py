"""Vectors whose lanes are kept or not, and those that are kept moved to the front: what finds and packs numbers.

Where the target has an instruction for that, by it; with AVX2 by a permutation from a table. These are parts of the
operations of `nonzeros` and `loop.compress`, made of LLVM's code.
"""

from llvmlite import ir

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.target import TARGET

I8 = ir.IntType(8)

PACKS = TARGET.avx2


def at_once(values):
    """Numbers that are packed together: words of 32 bits, or values that are longer."""
    return min(TARGET.vector_bytes // 4, TARGET.vector_bytes * 8 // values.bitwidth)


def load_vector(context, builder, x, data, at, count):
    """x[at : at + count]."""
    memory = ir.VectorType(context.get_data_type(x.dtype), count)
    pointer = cg.element_pointer(context, builder, x, data, at, memory)
    return builder.load(pointer, align=cg.size_of(memory.element))


def store_vector(context, builder, array, data, at, vector):
    """array[at : at + lanes] = vector."""
    pointer = cg.element_pointer(context, builder, array, data, at, vector.type)
    builder.store(vector, pointer, align=cg.size_of(vector.type.element))


def is_kept(builder, vector):
    """Which elements are no zeros: NaN is none, −0.0 is one."""
    zero = ir.Constant(vector.type, None)
    if isinstance(vector.type.element, ir.IntType):
        return builder.icmp_unsigned("!=", vector, zero)
    return builder.fcmp_unordered("!=", vector, zero)


def bits_of(builder, kept):
    """(A bit for each lane, how many are set), as int64."""
    bits = builder.zext(builder.bitcast(kept, ir.IntType(kept.type.count)), cg.I64)
    return bits, cg.call_llvm(builder, "ctpop", cg.I64, [bits], [cg.I64])


def packed(builder, vector, kept, bits):
    """A vector whose kept lanes lie at its front."""
    if TARGET.vector_bytes == 64:
        blank = ir.Constant(vector.type, None)
        return cg.call_llvm(builder, "x86.avx512.mask.compress", vector.type, [vector, blank, kept], [vector.type])
    if vector.type == ir.VectorType(cg.I32, 4):  # half a register
        wide = cg.shuffled(builder, vector, vector, [0, 1, 2, 3, 0, 1, 2, 3])
        front = packed(builder, wide, None, bits)
        return cg.shuffled(builder, front, front, [0, 1, 2, 3])
    words = ir.VectorType(cg.I32, 8)
    order = builder.load(builder.gep(orders(builder, vector.type.count), [cg.I32(0), bits]), align=8)
    order = builder.zext(builder.bitcast(order, ir.VectorType(I8, 8)), words)
    moved = cg.call_llvm(builder, "x86.avx2.permd", words, [builder.bitcast(vector, words), order], [])
    return builder.bitcast(moved, vector.type)


def orders(builder, count):
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
