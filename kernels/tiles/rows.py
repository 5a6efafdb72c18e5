"""Along and across the rows of a tile: one row, sums and largest elements, transposition."""

from numba import types
from numba.core import errors

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.arithmetic import _maximum
from fastbp.kernels.tiles.operation import operation


@operation(prefer_literal=True)
def row(typingctx, tile, r):
    """Row r of a tile as a one-row tile; r is a constant."""
    first, result = cg.literal_value(r, "r") * tile.vecs, tile.shaped(rows=1)

    def codegen(context, builder, sig, args):
        return cg.pack(builder, result, cg.unpack(builder, tile, args[0])[first : first + tile.vecs])

    return result(tile, r), codegen


def _fold(builder, vectors, emit):
    """One row to a number: vector by vector first, then lane i with lane i + half, a fixed order."""
    folded, *others = vectors
    for vector in others:
        folded = emit(builder, folded, vector)
    while folded.type.count > 1:
        half = folded.type.count // 2
        folded = emit(builder, *[cg.shuffled(builder, folded, folded, list(range(i, i + half))) for i in (0, half)])
    return builder.extract_element(folded, cg.I32(0))


def _horizontal(name, doc, emit):
    @operation(name=name, doc=doc, prefer_literal=True)
    def fold(typingctx, tile, r):
        first = cg.literal_value(r, "r") * tile.vecs

        def codegen(context, builder, sig, args):
            return _fold(builder, cg.unpack(builder, tile, args[0])[first : first + tile.vecs], emit)

        return tile.elem(tile, r), codegen

    return fold


def _maximum_or_nan(builder, a, b):
    return builder.select(builder.fcmp_unordered("!=", a, a), a, builder.select(builder.fcmp_ordered(">", a, b), a, b))


row_sum = _horizontal(
    "row_sum", "(tile, r): the sum of row r, always in the same order; r is a constant.", lambda b, x, y: b.fadd(x, y)
)
row_max = _horizontal(
    "row_max", "(tile, r): the largest element of row r, NaN if there is one; r is a constant.", _maximum_or_nan
)


@operation
def add_row_sums(typingctx, tile, column, other):
    """tile[r, column] + the sum of other[r, :], in row_sum's order; the rest of the tile as it was."""

    def codegen(context, builder, sig, args):
        value, column, other_value = args
        vectors, others = cg.unpack(builder, tile, value), cg.unpack(builder, other, other_value)
        for r in range(tile.rows):
            total = _fold(builder, others[r * other.vecs : (r + 1) * other.vecs], lambda b, x, y: b.fadd(x, y))
            position = builder.trunc(column, cg.I32)
            old = builder.extract_element(vectors[r * tile.vecs], position)
            vectors[r * tile.vecs] = builder.insert_element(vectors[r * tile.vecs], builder.fadd(old, total), position)
        return cg.pack(builder, tile, vectors)

    return tile(tile, types.intp, other), codegen


def _spread(name, doc, emit):
    """An operation that folds each row with emit, the result in every lane of the row: no trip through scalars."""

    @operation(name=name, doc=doc)
    def spread(typingctx, tile):
        def codegen(context, builder, sig, args):
            vectors, results = cg.unpack(builder, tile, args[0]), []
            for r in range(tile.rows):
                folded, *others = vectors[r * tile.vecs : (r + 1) * tile.vecs]
                for vector in others:
                    folded = emit(builder, folded, vector)
                h = tile.lanes // 2
                while h:
                    crossed = cg.shuffled(builder, folded, folded, [lane ^ h for lane in range(tile.lanes)])
                    folded = emit(builder, folded, crossed)
                    h //= 2
                results += [folded] * tile.vecs
            return cg.pack(builder, tile, results)

        return tile(tile), codegen

    return spread


sum_of_rows = _spread(
    "sum_of_rows",
    "(tile): in every lane of a row the row's sum, always in the same order.",
    lambda b, x, y: b.fadd(x, y),
)
max_of_rows = _spread(
    "max_of_rows", "(tile): in every lane of a row its largest element; see maximum for NaN.", _maximum
)


@operation
def total(typingctx, tile):
    """The sum of all elements, always in the same order."""

    def codegen(context, builder, sig, args):
        return _fold(builder, cg.unpack(builder, tile, args[0]), lambda b, x, y: b.fadd(x, y))

    return tile.elem(tile), codegen


@operation
def first_element(typingctx, tile):
    """tile[0, 0] as a number."""

    def codegen(context, builder, sig, args):
        return builder.extract_element(builder.extract_value(args[0], 0), cg.I32(0))

    return tile.elem(tile), codegen


@operation
def transpose(typingctx, tile):
    """A square tile (rows = lanes, one vector a row) transposed: swaps blocks of 1, 2, 4, ... lanes between rows."""
    if tile.rows != tile.lanes or tile.vecs != 1:
        raise errors.TypingError(f"transpose needs rows = lanes and vecs = 1, got {tile}")

    def codegen(context, builder, sig, args):
        return cg.pack(builder, tile, cg.transposed(builder, cg.unpack(builder, tile, args[0]), tile.lanes))

    return tile(tile), codegen
