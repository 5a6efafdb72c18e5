"""Calling a part by its address."""

from llvmlite import ir
from numba import types

from fastbp.kernels.build.as_python import function_at
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation


@operation(interpreted=lambda address, *arguments: function_at(address).native(*arguments))
def call(typingctx, address, lo, hi, left, right, row, step):
    """What the part at this address returns: see `kernels.loop.plan`."""

    def codegen(context, builder, signature, arguments):
        function_type = ir.FunctionType(cg.I64, [argument.type for argument in arguments[1:]])
        return builder.call(builder.inttoptr(arguments[0], function_type.as_pointer()), arguments[1:])

    return types.int64(types.int64, *(types.int64,) * 4, row, step), codegen
