"""Denormal numbers taken for 0, for a while."""

from llvmlite import ir
from numba import types

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation


@operation
def flush_denormals(typingctx):
    """From here on this thread takes denormal numbers for 0, where the target can; returns what `restore` takes.

    An operation on one costs 150 cycles, and the probabilities and gradients of a trained network are full of them.
    """

    def codegen(context, builder, sig, args):
        if not cg.is_x86(builder):
            return cg.I32(0)
        place = builder.alloca(cg.I32)
        cg.call_llvm(builder, "x86.sse.stmxcsr", ir.VoidType(), [place], [])
        before = builder.load(place)
        builder.store(builder.or_(before, cg.I32(0x8040)), place)  # results and operands
        cg.call_llvm(builder, "x86.sse.ldmxcsr", ir.VoidType(), [place], [])
        return before

    return types.int32(), codegen


@operation
def restore(typingctx, before):
    """Undoes `flush_denormals`."""

    def codegen(context, builder, sig, args):
        if cg.is_x86(builder):
            place = builder.alloca(cg.I32)
            builder.store(args[0], place)
            cg.call_llvm(builder, "x86.sse.ldmxcsr", ir.VoidType(), [place], [])
        return context.get_dummy_value()

    return types.void(types.int32), codegen
