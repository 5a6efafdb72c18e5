"""The tile type, zeros, and a tile's shape as compile-time constants."""

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.target import TARGET


class TileType(types.Type):
    """rows x vecs vectors of `lanes` elements; `elem` is float32, float64 or boolean."""

    def __init__(self, elem, rows, vecs, lanes):
        self.elem, self.rows, self.vecs, self.lanes = elem, rows, vecs, lanes
        super().__init__(f"Tile({elem}, {rows}x{vecs}x{lanes})")

    def shaped(self, rows=None, elem=None):
        """This type with other rows or another element."""
        return TileType(elem or self.elem, rows or self.rows, self.vecs, self.lanes)


@register_model(TileType)
class TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.ArrayType(cg.vector_type(fe_type), fe_type.rows * fe_type.vecs))


@operation(prefer_literal=True)
def zeros(typingctx, rows, vecs, like):
    """rows x vecs vectors of 0 in the dtype of `like`, an array, a tile or a number; rows and vecs are constants."""
    elem = like.elem if isinstance(like, TileType) else getattr(like, "dtype", like)
    tile = TileType(
        elem, cg.literal_value(rows, "rows"), cg.literal_value(vecs, "vecs"), TARGET.vector_bytes * 8 // elem.bitwidth
    )

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.ArrayType(cg.vector_type(tile), tile.rows * tile.vecs), None)

    return tile(rows, vecs, like), codegen


@operation
def columns(typingctx, like):
    """tile[r, c] = c."""

    def codegen(context, builder, sig, args):
        vector = cg.vector_type(like)
        row = [ir.Constant(vector, [float(v * like.lanes + i) for i in range(like.lanes)]) for v in range(like.vecs)]
        return cg.pack(builder, like, row * like.rows)

    return like(like), codegen


@operation
def within(typingctx, like, rows, width):
    """A tile of bools, true inside the first `rows` rows and `width` columns: what the masked operations touch."""
    result = like.shaped(elem=types.boolean)

    def codegen(context, builder, sig, args):
        return cg.pack(builder, result, cg.lane_masks(builder, like, *args[1:]))

    return result(like, types.intp, types.intp), codegen


def _constant_of(name, doc, measure):
    @operation(name=name, doc=doc)
    def constant(typingctx, tile):
        number = types.literal(measure(tile))
        return number(tile), lambda context, builder, sig, args: cg.I64(number.literal_value)

    return constant


rows_of = _constant_of("rows_of", "(tile): its number of rows, a constant.", lambda t: t.rows)
vecs_of = _constant_of("vecs_of", "(tile): its vectors a row, a constant.", lambda t: t.vecs)
width_of = _constant_of("width_of", "(tile): its columns, vecs * lanes, a constant.", lambda t: t.vecs * t.lanes)
lanes_of = _constant_of(
    "lanes_of",
    "(tile or array): elements in one vector of this dtype, a constant.",
    lambda t: t.lanes if isinstance(t, TileType) else TARGET.vector_bytes * 8 // t.dtype.bitwidth,
)
