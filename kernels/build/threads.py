"""One kernel on several threads, those of Numba's threading layer: each calls a C function with its number.

Numba's `prange` would compile each loop anew, as a function of arrays: half a second a kernel, on one core.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastbp.kernels.build.native import declared_in
from fastbp.kernels.tiles.operation import operation

I64, POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
LOOP = ir.FunctionType(ir.VoidType(), [POINTER.as_pointer(), I64.as_pointer(), I64.as_pointer(), POINTER])
LAUNCHER = ir.FunctionType(ir.VoidType(), [LOOP.as_pointer(), *LOOP.args, I64, I64, ir.IntType(32)])


def _one_after_another(function, launcher, threads, arguments):
    for part in range(threads):
        function(part, threads, *arguments)


@operation(interpreted=_one_after_another)
def on_threads(typingctx, function, launcher, threads, arguments):
    """function(part, threads, *arguments) for each part in range(threads), on so many threads; returns when all have.

    The function is a C function, `shared`. `launcher` is the address of the `parallel_for` of Numba's layer; where it
    is 0, one part comes after another.
    """
    given = tuple(map(types.unliteral, arguments))

    def codegen(context, builder, signature, values):
        _, launcher, threads, each = values
        called = function.typing_key.of(types.int64, types.int64, *given)
        packed = context.get_arg_packer(given).as_arguments(builder, cgutils.unpack_tuple(builder, each))
        with builder.if_else(cgutils.is_not_null(builder, launcher)) as (there, missing):
            with there:
                _launch(context, builder, called, launcher, threads, packed)
            with missing, cgutils.for_range(builder, threads) as loop:
                builder.call(declared_in(context, builder.module, called), [loop.index, threads, *packed])
        return context.get_dummy_value()

    return types.void(function, types.int64, types.int64, arguments), codegen


def _launch(context, builder, called, launcher, threads, packed):
    """Calls the layer as it calls a universal function of NumPy: of one array, whose n-th element lies at 1 + n."""
    record = ir.LiteralStructType([I64, *(value.type for value in packed)])
    data = cgutils.alloca_once(builder, record)
    for n, value in enumerate([threads, *packed]):
        builder.store(value, cgutils.gep_inbounds(builder, data, 0, n))
    one = cgutils.alloca_once_value(builder, I64(1))
    arguments = [
        _thread(context, builder, called, record),
        cgutils.alloca_once_value(builder, builder.inttoptr(I64(1), POINTER)),
        cgutils.alloca_once_value(builder, threads),
        *(one, builder.bitcast(data, POINTER), I64(0), I64(1)),
        builder.trunc(threads, ir.IntType(32)),
    ]
    builder.call(builder.inttoptr(launcher, LAUNCHER.as_pointer()), arguments)


def _thread(context, builder, called, record):
    """The function that the layer calls on each thread: it passes the number of a part and what the record holds."""
    target = declared_in(context, builder.module, called)
    function = ir.Function(builder.module, LOOP, builder.module.get_unique_name(f"{called.symbol}.thread"))
    function.linkage = "internal"
    inside = ir.IRBuilder(function.append_basic_block())
    first, count, _, data = function.args
    part = inside.sub(inside.ptrtoint(inside.load(first), I64), I64(1))
    data = inside.bitcast(data, record.as_pointer())
    given = [inside.load(cgutils.gep_inbounds(inside, data, 0, n)) for n in range(len(record.elements))]
    with cgutils.for_range(inside, inside.load(count)) as loop:  # one part, or several that follow, as the layer likes
        inside.call(target, [inside.add(part, loop.index), *given])
    inside.ret_void()
    return function
