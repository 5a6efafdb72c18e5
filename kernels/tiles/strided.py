"""Rows whose elements lie some distance apart in memory, and tiles whose rows lie anywhere.

What ends in `_between` touches only the columns from `first` on and before `width`, which may lie outside of the tile
or be no column at all: elsewhere nothing is read, and the tile is 0.
"""

from llvmlite import ir
from numba import types

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.tile import TileType

ONE = cg.I64(1)


def _between(builder, tile, first, width):
    """The masks of a one-row tile."""
    inside, before = cg.lane_masks(builder, tile, ONE, width), cg.lane_masks(builder, tile, ONE, first)
    return [builder.and_(a, builder.not_(b)) for a, b in zip(inside, before, strict=True)]


@operation
def load_between(typingctx, like, array, offset, first, width):
    """The one-row tile of array[offset + c]."""
    tile = like.shaped(rows=1)

    def codegen(context, builder, sig, args):
        _, data, offset, first, width = args
        masks = _between(builder, tile, first, width)
        return cg.load_tile(context, builder, tile, array, data, offset, cg.I64(0), masks)

    return tile(like, array, *[types.intp] * 3), codegen


@operation
def load_second_between(typingctx, like, array, offset, first, width):
    """The one-row tile of array[offset + 2*c]: two vectors are loaded for one, of which each second element is kept."""
    tile = like.shaped(rows=1)
    twice = TileType(tile.elem, 1, 2 * tile.vecs, tile.lanes)

    def codegen(context, builder, sig, args):
        _, data, offset, first, width = args
        # The last element that is wanted is the last one that may be read.
        reach = builder.sub(builder.add(width, width), ONE)
        masks = _between(builder, twice, builder.add(first, first), reach)
        loaded = cg.load_tile(context, builder, twice, array, data, offset, cg.I64(0), masks)
        vectors, even = cg.unpack(builder, twice, loaded), list(range(0, 2 * tile.lanes, 2))
        kept = [cg.shuffled(builder, a, b, even) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        return cg.pack(builder, tile, kept)

    return tile(like, array, *[types.intp] * 3), codegen


@operation
def load_every_between(typingctx, like, array, offset, stride, first, width):
    """The one-row tile of array[offset + c*stride]."""
    tile = like.shaped(rows=1)

    def codegen(context, builder, sig, args):
        _, data, offset, stride, first, width = args
        memory = ir.VectorType(context.get_data_type(array.dtype), tile.lanes)
        size = cg.size_of(memory.element)
        start = cg.element_pointer(context, builder, array, data, offset)
        address, step = builder.ptrtoint(start, cg.I64), builder.mul(stride, cg.I64(size))
        places, vectors = ir.VectorType(cg.I64, tile.lanes), []
        for n, mask in enumerate(_between(builder, tile, first, width)):
            numbers = ir.Constant(places, list(range(n * tile.lanes, (n + 1) * tile.lanes)))
            distances = builder.mul(numbers, cg.broadcast(builder, step, tile.lanes))
            addresses = builder.add(cg.broadcast(builder, address, tile.lanes), distances)
            pointers = builder.inttoptr(addresses, ir.VectorType(start.type, tile.lanes))
            arguments = [pointers, cg.I32(size), mask, ir.Constant(memory, None)]
            vectors.append(cg.call_llvm(builder, "masked.gather", memory, arguments, [memory, pointers.type]))
        return cg.pack(builder, tile, [cg.converted(builder, v, array.dtype, tile.elem) for v in vectors])

    return tile(like, array, *[types.intp] * 4), codegen


@operation
def store_between(typingctx, tile, array, offset, first, width):
    """array[offset + c] = tile[0, c]."""

    def codegen(context, builder, sig, args):
        value, data, offset, first, width = args
        masks = _between(builder, tile, first, width)
        cg.store_tile(context, builder, tile, value, array, data, offset, cg.I64(0), masks)
        return context.get_dummy_value()

    return types.void(tile, array, *[types.intp] * 3), codegen


@operation
def zipped(typingctx, even, odd):
    """The row a[0], b[0], a[1], b[1], ... of two rows of one vector each: a row of two."""
    both = TileType(even.elem, 1, 2, even.lanes)

    def codegen(context, builder, sig, args):
        (a,), (b,) = cg.unpack(builder, even, args[0]), cg.unpack(builder, odd, args[1])
        picks = [lane // 2 + (lane % 2) * even.lanes for lane in range(2 * even.lanes)]
        halves = [cg.shuffled(builder, a, b, picks[: even.lanes]), cg.shuffled(builder, a, b, picks[even.lanes :])]
        return cg.pack(builder, both, halves)

    return both(even, odd), codegen


def _halved(name, first):
    @operation(name=name, doc=f"(pair): the {name[:-1]} columns of a row of two vectors, one vector.")
    def halved(typingctx, pair):
        half = TileType(pair.elem, 1, 1, pair.lanes)

        def codegen(context, builder, sig, args):
            a, b = cg.unpack(builder, pair, args[0])
            return cg.pack(builder, half, [cg.shuffled(builder, a, b, list(range(first, 2 * pair.lanes, 2)))])

        return half(pair), codegen

    return halved


evens, odds = _halved("evens", 0), _halved("odds", 1)


@operation
def row_pointers(typingctx, like, array, offsets):
    """Where the rows of a tile begin, as a tuple of pointers: array[offsets[r]] for each row r of `like`."""
    result = types.UniTuple(array, like.rows)

    def codegen(context, builder, sig, args):
        _, data, places = args
        pointers = []
        for r in range(like.rows):
            place = builder.load(builder.gep(places, [cg.I64(r)]))
            pointers.append(cg.element_pointer(context, builder, array, data, place))
        return context.make_tuple(builder, result, pointers)

    return result(like, array, offsets), codegen


@operation
def fma_step_of_rows(typingctx, acc, rows, offset, b):
    """acc[r, :] + rows[r][offset] * b[:], b a one-row tile: `fma_step` for rows that lie anywhere."""

    def codegen(context, builder, sig, args):
        value, pointers, offset, row = args
        vectors, brow = cg.unpack(builder, acc, value), cg.unpack(builder, b, row)
        for r in range(acc.rows):
            scalar = builder.load(builder.gep(builder.extract_value(pointers, r), [offset], inbounds=True))
            factor = cg.converted(builder, scalar, rows.dtype.dtype, acc.elem)
            factors = cg.broadcast(builder, factor, acc.lanes)
            for v in range(acc.vecs):
                i = r * acc.vecs + v
                vectors[i] = cg.multiply_add(builder, factors, brow[v], vectors[i])
        return cg.pack(builder, acc, vectors)

    return acc(acc, rows, types.intp, b), codegen


@operation
def load_rows(typingctx, like, rows, offset):
    """The tile of rows[r][offset + c]: `load` for rows that lie anywhere."""

    def codegen(context, builder, sig, args):
        row, vectors = like.shaped(rows=1), []
        for r in range(like.rows):
            begin = builder.extract_value(args[1], r)
            loaded = cg.load_tile(context, builder, row, rows.dtype, begin, args[2], cg.I64(0))
            vectors += cg.unpack(builder, row, loaded)
        return cg.pack(builder, like, vectors)

    return like(like, rows, types.intp), codegen


@operation
def store_rows(typingctx, tile, rows):
    """The rows of a tile to where pointers say."""

    def codegen(context, builder, sig, args):
        row, vectors = tile.shaped(rows=1), cg.unpack(builder, tile, args[0])
        for r in range(tile.rows):
            begin = builder.extract_value(args[1], r)
            value = cg.pack(builder, row, vectors[r * tile.vecs : (r + 1) * tile.vecs])
            cg.store_tile(context, builder, row, value, rows.dtype, begin, cg.I64(0), cg.I64(0))
        return context.get_dummy_value()

    return types.void(tile, rows), codegen
