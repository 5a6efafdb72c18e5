"""Where elements lie: pointers to arrays and addresses, and what a kernel knows of them when it is compiled."""

from llvmlite import ir
from numba import types

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import TARGET


@operation
def pointer(typingctx, array):
    """The array's data as a bare pointer, good wherever an array is: what helpers should be given.

    Numba counts references to an array around every call, also an inlined one, and to count it empties the registers:
    400 cycles a tile, where a tile of 100 terms takes 1200.
    """

    def codegen(context, builder, sig, args):
        return cg.data_pointer(context, builder, array, args[0])

    return types.CPointer(array.dtype)(array), codegen


@operation
def reinterpret(typingctx, array, offset, like):
    """The memory from array[offset] on as a pointer of the type of `like`: scratch for another dtype."""

    def codegen(context, builder, sig, args):
        return cg.element_pointer(context, builder, array, *args[:2], pointee=context.get_data_type(like.dtype))

    return like(array, types.intp, like), codegen


def _address_as(element, name):
    @operation(name=name, doc=f"(address): a pointer to {element} at an address; 0 is one that nothing is read by.")
    def typed(typingctx, address):
        def codegen(context, builder, sig, args):
            return builder.inttoptr(args[0], context.get_data_type(element).as_pointer())

        return types.CPointer(element)(types.int64), codegen

    return typed


address_as_bytes = _address_as(types.uint8, "address_as_bytes")
address_as_uint16 = _address_as(types.uint16, "address_as_uint16")
address_as_int32 = _address_as(types.int32, "address_as_int32")
address_as_int64 = _address_as(types.int64, "address_as_int64")
address_as_float32 = _address_as(types.float32, "address_as_float32")
address_as_float64 = _address_as(types.float64, "address_as_float64")


@operation
def address_as(typingctx, address, like):
    """The address as a pointer of the type of `like`."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_data_type(like.dtype).as_pointer())

    return like(types.int64, like), codegen


@operation
def moved(typingctx, pointer, offset):
    """The pointer to pointer[offset]."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


@operation
def same_dtype(typingctx, array, like):
    """Whether the elements of both are of one dtype: a constant."""

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.IntType(1), array.dtype == like.dtype)

    return types.boolean(array, like), codegen


@operation
def pointer_if(typingctx, condition, pointer, otherwise):
    """One of two pointers; `pointer` whatever the condition is where they point to different dtypes."""
    fixed = pointer.dtype != otherwise.dtype

    def codegen(context, builder, sig, args):
        return args[1] if fixed else builder.select(*args)

    return pointer(types.boolean, pointer, otherwise), codegen


@operation
def aligned(typingctx, array):
    """The first offset of the array that starts a whole vector: loads from there never straddle two cache lines."""

    def codegen(context, builder, sig, args):
        size = cg.size_of(context.get_data_type(array.dtype))
        address = builder.ptrtoint(cg.data_pointer(context, builder, array, args[0]), cg.I64)
        return builder.udiv(builder.and_(builder.neg(address), cg.I64(TARGET.vector_bytes - 1)), cg.I64(size))

    return types.intp(array), codegen
