"""Arithmetic element by element: tiles, rows that are repeated, and numbers; comparisons, choices, conversions."""

from numba import types
from numba.core import errors

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation
from fastbp.kernels.tiles.tile import TileType


def _operand(builder, tile, type_, value):
    """An operand as rows*vecs vectors: a tile of that shape, one row repeated, or a number everywhere."""
    if not isinstance(type_, TileType):
        scalar = cg.converted(builder, value, types.unliteral(type_), tile.elem)
        return [cg.broadcast(builder, scalar, tile.lanes)] * (tile.rows * tile.vecs)
    vectors = cg.unpack(builder, type_, value)
    return vectors * tile.rows if type_.rows == 1 else vectors


@operation
def splat(typingctx, like, value):
    """A tile shaped as `like` with `value` everywhere: a number, or a tile of one row that is repeated."""

    def codegen(context, builder, sig, args):
        return cg.pack(builder, like, _operand(builder, like, value, args[1]))

    return like(like, value), codegen


def _elementwise(arity, name, doc, emit, elem=None):
    """An operation emit(builder, *vectors) on each vector of its operands; elem where the result is of another."""

    def of_types(*operands):
        tiles = [o for o in operands if isinstance(o, TileType)]
        rows = max(t.rows for t in tiles)
        tile = max(tiles, key=lambda t: t.elem != types.boolean).shaped(rows=rows)
        if any((t.vecs, t.lanes) != (tile.vecs, tile.lanes) or t.rows not in (1, rows) for t in tiles):
            raise errors.TypingError(f"{name}: tiles of different shapes, {operands}")
        result = tile.shaped(elem=elem)

        def codegen(context, builder, sig, args):
            columns = [_operand(builder, tile, o, a) for o, a in zip(operands, args, strict=True)]
            return cg.pack(builder, result, [emit(builder, *vectors) for vectors in zip(*columns, strict=True)])

        return result(*operands), codegen

    # Numba reads the number of arguments from the signature
    unary, binary, ternary = (
        lambda typingctx, a: of_types(a),
        lambda typingctx, a, b: of_types(a, b),
        lambda typingctx, a, b, c: of_types(a, b, c),
    )
    return operation((unary, binary, ternary)[arity - 1], name=name, doc=doc)


def _comparison(name, symbol, ordered=True):
    def emit(builder, a, b):
        return (builder.fcmp_ordered if ordered else builder.fcmp_unordered)(symbol, a, b)

    said = "False" if ordered else "True"
    return _elementwise(
        2, name, f"(a, b): a {symbol} b, a tile of bools; {said} where either is NaN.", emit, elem=types.boolean
    )


def _abs(builder, x):
    return cg.call_llvm(builder, "fabs", x.type, [x], [x.type])


def _maximum(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _minimum(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


add = _elementwise(2, "add", "(a, b): a + b.", lambda builder, a, b: builder.fadd(a, b))
sub = _elementwise(2, "sub", "(a, b): a - b.", lambda builder, a, b: builder.fsub(a, b))
mul = _elementwise(2, "mul", "(a, b): a * b.", lambda builder, a, b: builder.fmul(a, b))
div = _elementwise(2, "div", "(a, b): a / b.", lambda builder, a, b: builder.fdiv(a, b))
fma = _elementwise(3, "fma", "(a, b, c): a * b + c, rounded once where the target can.", cg.multiply_add)
neg = _elementwise(1, "neg", "(x): -x.", lambda builder, x: builder.fneg(x))
absolute = _elementwise(1, "absolute", "(x): |x|.", _abs)
sqrt = _elementwise(
    1, "sqrt", "(x): the square root.", lambda builder, x: cg.call_llvm(builder, "sqrt", x.type, [x], [x.type])
)
rint = _elementwise(
    1,
    "rint",
    "(x): to the nearest whole number, ties to even.",
    lambda builder, x: cg.call_llvm(builder, "rint", x.type, [x], [x.type]),
)
maximum = _elementwise(
    2, "maximum", "(a, b): a where a > b, else b, so a NaN in b passes and one in a does not (as in x86).", _maximum
)
minimum = _elementwise(
    2, "minimum", "(a, b): a where a < b, else b, so a NaN in b passes and one in a does not (as in x86).", _minimum
)
less = _comparison("less", "<")
less_equal = _comparison("less_equal", "<=")
greater = _comparison("greater", ">")
greater_equal = _comparison("greater_equal", ">=")
equal = _comparison("equal", "==")
not_equal = _comparison("not_equal", "!=", ordered=False)
logical_and = _elementwise(
    2, "logical_and", "(p, q): both.", lambda builder, p, q: builder.and_(p, q), elem=types.boolean
)
logical_or = _elementwise(
    2, "logical_or", "(p, q): either.", lambda builder, p, q: builder.or_(p, q), elem=types.boolean
)
logical_not = _elementwise(1, "logical_not", "(p): not.", lambda builder, p: builder.not_(p), elem=types.boolean)
select = _elementwise(3, "select", "(p, a, b): a where p, else b.", lambda builder, p, a, b: builder.select(p, a, b))


@operation
def convert(typingctx, tile, like):
    """The tile's elements in the dtype of `like` (an array or a tile); rows, vecs and lanes stay."""
    result = tile.shaped(elem=like.elem if isinstance(like, TileType) else like.dtype)

    def codegen(context, builder, sig, args):
        vectors = [cg.converted(builder, v, tile.elem, result.elem) for v in cg.unpack(builder, tile, args[0])]
        return cg.pack(builder, result, vectors)

    return result(tile, like), codegen
