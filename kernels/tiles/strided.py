"""Loads of every second element, or every n-th, of a row in memory."""

from llvmlite import ir
from numba import types

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.tile import TileType


@operation
def load_second_masked(typingctx, like, array, offset, width):
    """The one-row tile of array[offset + 2*c] for the columns c before `width`; past them nothing is read and it is 0.

    Two vectors are loaded for one, of which each second element is kept.
    """
    tile = like.shaped(rows=1)

    def codegen(context, builder, sig, args):
        _, data, offset, width = args
        memory = ir.VectorType(context.get_data_type(array.dtype), tile.lanes)
        size = context.get_abi_sizeof(memory.element)
        # The last element that is wanted is the last one that may be read.
        reach = builder.sub(builder.mul(width, cg.I64(2)), cg.I64(1))
        masks = cg.lane_masks(builder, TileType(tile.elem, 1, 2 * tile.vecs, tile.lanes), cg.I64(1), reach)
        vectors = []
        for n, mask in enumerate(masks):
            place = builder.add(offset, cg.I64(n * tile.lanes))
            pointer = cg.element_pointer(context, builder, array, data, place, memory)
            arguments = [pointer, cg.I32(size), mask, ir.Constant(memory, None)]
            vectors.append(cg.call_llvm(builder, "masked.load", memory, arguments, [memory, pointer.type]))
        even = list(range(0, 2 * tile.lanes, 2))
        kept = [cg.shuffled(builder, a, b, even) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        return cg.pack(builder, tile, [cg.converted(builder, v, array.dtype, tile.elem) for v in kept])

    return tile(like, array, types.intp, types.intp), codegen


@operation
def load_every_masked(typingctx, like, array, offset, stride, width):
    """The one-row tile of array[offset + c*stride] for the columns c before `width`; past them it is 0."""
    tile = like.shaped(rows=1)

    def codegen(context, builder, sig, args):
        _, data, offset, stride, width = args
        memory = ir.VectorType(context.get_data_type(array.dtype), tile.lanes)
        size = context.get_abi_sizeof(memory.element)
        places = ir.VectorType(cg.I64, tile.lanes)
        steps = cg.broadcast(builder, stride, tile.lanes)
        vectors = []
        for n, mask in enumerate(cg.lane_masks(builder, tile, cg.I64(1), width)):
            numbers = ir.Constant(places, list(range(n * tile.lanes, (n + 1) * tile.lanes)))
            offsets = builder.add(cg.broadcast(builder, offset, tile.lanes), builder.mul(numbers, steps))
            start = cg.data_pointer(context, builder, array, data)
            addresses = builder.add(
                cg.broadcast(builder, builder.ptrtoint(start, cg.I64), tile.lanes),
                builder.mul(offsets, cg.constant_vector(places, size)),
            )
            pointers = builder.inttoptr(addresses, ir.VectorType(start.type, tile.lanes))
            arguments = [pointers, cg.I32(size), mask, ir.Constant(memory, None)]
            vectors.append(cg.call_llvm(builder, "masked.gather", memory, arguments, [memory, pointers.type]))
        return cg.pack(builder, tile, [cg.converted(builder, v, array.dtype, tile.elem) for v in vectors])

    return tile(like, array, *[types.intp] * 3), codegen
