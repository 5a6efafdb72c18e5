"""A function of tiles, over all elements of arrays."""

from numba import types

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.tiles.memory import load_row_masked, store_row_masked
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.tile import width_of, zeros


def _load_each(like, pointers, offset, width):
    return tuple(load_row_masked(like, pointer, offset, width) for pointer in pointers)


def _store_each(tiles, pointers, offset, width):
    for tile, pointer in zip(tiles if isinstance(tiles, tuple) else (tiles,), pointers, strict=True):
        store_row_masked(tile, pointer, offset, width)


@operation(interpreted=_load_each)
def load_each(typingctx, like, pointers, offset, width):
    """The tiles `load_row_masked` of each pointer of a tuple."""
    loads = [load_row_masked._defn(typingctx, like, pointer, offset, width) for pointer in pointers.types]

    def codegen(context, builder, signature, arguments):
        value, pointers_value, *where = arguments
        tiles = []
        for n, (each, emit) in enumerate(loads):
            pointer = builder.extract_value(pointers_value, n)
            tiles.append(emit(context, builder, each, [value, pointer, *where]))
        return context.make_tuple(builder, signature.return_type, tiles)

    result = types.Tuple([each.return_type for each, _ in loads])
    return result(like, pointers, types.intp, types.intp), codegen


@operation(interpreted=_store_each)
def store_each(typingctx, tiles, pointers, offset, width):
    """`store_row_masked` of each tile of a tuple, or of the only one, to its pointer."""
    several = isinstance(tiles, types.BaseTuple)
    kinds = tiles.types if several else (tiles,)
    stores = [
        store_row_masked._defn(typingctx, tile, pointer, offset, width)
        for tile, pointer in zip(kinds, pointers.types, strict=True)
    ]

    def codegen(context, builder, signature, arguments):
        value, pointers_value, *where = arguments
        for n, (each, emit) in enumerate(stores):
            tile = builder.extract_value(value, n) if several else value
            emit(context, builder, each, [tile, builder.extract_value(pointers_value, n), *where])
        return context.get_dummy_value()

    return types.void(tiles, pointers, types.intp, types.intp), codegen


def elementwise(function, vectors):
    """The part (lo, hi, inputs, outputs, numbers) that computes the elements [lo, hi) of arrays.

    `function` takes a tile of each input, and the numbers, and returns a tile for each output. Inputs and outputs are
    tuples of pointers, of which some may be the same; a tile has so many vectors.
    """

    @inlined
    def apply(lo, hi, inputs, outputs, numbers):
        step = zeros(1, vectors, outputs[0])
        for i in range(lo, hi, width_of(step)):
            tiles = load_each(step, inputs, i, hi - i)
            store_each(function(*(tiles + numbers)), outputs, i, hi - i)

    return apply
