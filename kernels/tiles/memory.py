"""Tiles and memory: loads, stores, the step of a product that reads one factor from memory, prefetches."""

from functools import partial

from llvmlite import ir
from numba import types
from numba.core import errors

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import CACHE_LINE


@operation
def load(typingctx, like, array, offset, stride):
    """tile[r, c] = array[offset + r*stride + c]."""

    def codegen(context, builder, sig, args):
        return cg.load_tile(context, builder, like, array, *args[1:])

    return like(like, array, types.intp, types.intp), codegen


@operation
def load_masked(typingctx, like, array, offset, stride, rows, width):
    """A tile loaded inside the first `rows` rows and `width` columns; outside nothing is read and the tile is 0."""

    def codegen(context, builder, sig, args):
        *where, rows, width = args[1:]
        plain = partial(cg.load_tile, context, builder, like, array, *where)
        return cg.if_whole(builder, like, rows, width, plain, lambda: plain(cg.lane_masks(builder, like, rows, width)))

    return like(like, array, *[types.intp] * 4), codegen


@operation
def load_clamped(typingctx, like, array, offset, stride, rows):
    """A tile loaded with rows past `rows` >= 1 that repeat the last one: no masks, and nothing is read there."""

    def codegen(context, builder, sig, args):
        return cg.load_tile(context, builder, like, array, *args[1:-1], rows=args[-1])

    return like(like, array, *[types.intp] * 3), codegen


@operation
def load_row(typingctx, like, array, offset):
    """The one-row tile array[offset : offset + width]."""
    tile = like.shaped(rows=1)

    def codegen(context, builder, sig, args):
        return cg.load_tile(context, builder, tile, array, *args[1:], cg.I64(0))

    return tile(like, array, types.intp), codegen


@operation
def load_row_masked(typingctx, like, array, offset, width):
    """The one-row tile array[offset : offset + width]; past `width` nothing is read and the tile is 0."""
    tile = like.shaped(rows=1)

    def codegen(context, builder, sig, args):
        *where, width = args[1:]
        plain = partial(cg.load_tile, context, builder, tile, array, *where, cg.I64(0))
        return cg.if_whole(
            builder, tile, cg.I64(1), width, plain, lambda: plain(cg.lane_masks(builder, tile, cg.I64(1), width))
        )

    return tile(like, array, types.intp, types.intp), codegen


@operation
def load_transposed(typingctx, like, array, offset, stride):
    """tile[r, c] = array[offset + c*stride + r], for a square tile; half of the shuffles of transpose."""
    if like.rows != like.lanes or like.vecs != 1 or array.dtype != like.elem:
        raise errors.TypingError(f"load_transposed needs rows = lanes, vecs = 1 and one dtype, got {like} and {array}")

    def codegen(context, builder, sig, args):
        _, data, offset, stride = args
        return cg.pack(builder, like, cg.load_transposed(context, builder, like, array, data, offset, stride))

    return like(like, array, types.intp, types.intp), codegen


@operation
def store(typingctx, tile, array, offset, stride):
    """array[offset + r*stride + c] = tile[r, c]."""

    def codegen(context, builder, sig, args):
        cg.store_tile(context, builder, tile, args[0], array, *args[1:])
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp), codegen


@operation
def store_masked(typingctx, tile, array, offset, stride, rows, width):
    """Stores a tile inside the first `rows` rows and `width` columns; nothing else is written."""

    def codegen(context, builder, sig, args):
        *where, rows, width = args[1:]
        plain = partial(cg.store_tile, context, builder, tile, args[0], array, *where)
        part = partial(cg.store_part, context, builder, tile, args[0], array, *args[1:])
        cg.if_whole(builder, tile, rows, width, plain, part)
        return context.get_dummy_value()

    return types.void(tile, array, *[types.intp] * 4), codegen


@operation
def store_row_masked(typingctx, tile, array, offset, width):
    """array[offset + c] = tile[0, c] for the columns before `width`; nothing else is written."""

    def codegen(context, builder, sig, args):
        data, offset, width = args[1:]
        where, one = (context, builder, tile, args[0], array, data, offset, cg.I64(0)), cg.I64(1)
        whole, part = partial(cg.store_tile, *where), partial(cg.store_part, *where, one, width)
        cg.if_whole(builder, tile, one, width, whole, part)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp), codegen


@operation
def fma_step(typingctx, acc, a, offset, stride, rows, b):
    """acc[r, :] + a[offset + r*stride] * b[:], b a one-row tile. Rows past `rows` repeat the last one."""

    def codegen(context, builder, sig, args):
        value, data, offset, stride, rows, row = args
        vectors, brow = cg.unpack(builder, acc, value), cg.unpack(builder, b, row)
        for r in range(acc.rows):
            place = builder.add(offset, builder.mul(cg.clamped_row(builder, r, rows), stride))
            size = cg.size_of(context.get_data_type(a.dtype))
            scalar = builder.load(cg.element_pointer(context, builder, a, data, place), align=size)
            splat = cg.broadcast(builder, cg.converted(builder, scalar, a.dtype, acc.elem), acc.lanes)
            for v in range(acc.vecs):
                i = r * acc.vecs + v
                vectors[i] = cg.multiply_add(builder, splat, brow[v], vectors[i])
        return cg.pack(builder, acc, vectors)

    return acc(acc, a, types.intp, types.intp, types.intp, b), codegen


@operation
def prefetch(typingctx, like, array, offset):
    """Ask for array[offset : offset + width] in the second-level cache; any offset is safe."""

    def codegen(context, builder, sig, args):
        _, data, offset = args
        step = CACHE_LINE // cg.size_of(context.get_data_type(array.dtype))
        for c in range(0, like.vecs * like.lanes + step, step):
            place = builder.gep(cg.data_pointer(context, builder, array, data), [builder.add(offset, cg.I64(c))])
            place = builder.bitcast(place, ir.IntType(8).as_pointer())
            cg.call_llvm(builder, "prefetch", ir.VoidType(), [place, cg.I32(0), cg.I32(2), cg.I32(1)], [place.type])
        return context.get_dummy_value()

    return types.void(like, array, types.intp), codegen


@operation
def prefetch_line(typingctx, array, offset):
    """Ask for the cache line of array[offset] in the first-level cache; any offset is safe."""

    def codegen(context, builder, sig, args):
        place = cg.element_pointer(context, builder, array, *args, pointee=ir.IntType(8))
        cg.call_llvm(builder, "prefetch", ir.VoidType(), [place, cg.I32(0), cg.I32(3), cg.I32(1)], [place.type])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen
