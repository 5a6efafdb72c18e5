"""Register tiles: explicit vectors for Numba kernels.

A tile is a small matrix of floats that lives in the processor's vector registers: `rows` x `vecs` vectors of `lanes`
elements each. To Numba it is one value whose shape is part of its type; to LLVM it is an array of vectors. Every
operation below is an intrinsic whose code generation is unrolled in Python, so a kernel stays a few lines of ordinary
Numba that caches on disk:

    acc = zeros(8, 3, out)                                  # 24 registers of zeros, of out's dtype
    for k in range(K):
        b = load_row(acc, W, k * M)                         # 1 x 3 vectors: W[k, :width]
        acc = fma_step(acc, x, i * K + k, K, 8, b)          # acc[r, :] += x[i + r, k] * b[:]
    store(maximum(0.0, acc), out, i * M, M)

How to read the signatures
  - `like` is a tile (or, in `zeros`, an array or a number) that gives shape and dtype; its value is not used.
  - Memory is an array, or the `pointer` of one, plus a flat offset in elements. Nothing is checked, and negative
    offsets don't wrap around. Elements are converted on the way: a float64 tile loads from uint8, bool, float32 and
    float64 arrays alike.
  - Elementwise operations take tiles of one shape; a tile of one row is repeated over the rows, a number over all.
  - Comparisons give tiles of bools, for `select` and for `store` into bool or uint8 arrays.

How wide a vector is depends on the target Numba compiles for, not on the processor underneath: see `TARGET`.
A tile with more vectors than the target has registers spills, and is then slower by a factor of two or more.
"""

from functools import partial

from llvmlite import ir
from numba import types
from numba.core import errors
from numba.extending import intrinsic, models, register_model

from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.codegen import TARGET

# --- the type ---


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


# --- making, loading and storing ---


@intrinsic(prefer_literal=True)
def zeros(typingctx, rows, vecs, like):
    """rows x vecs vectors of 0 in the dtype of `like`, an array, a tile or a number; rows and vecs are constants."""
    elem = like.elem if isinstance(like, TileType) else getattr(like, "dtype", like)
    tile = TileType(
        elem, cg.literal_value(rows, "rows"), cg.literal_value(vecs, "vecs"), TARGET.vector_bytes * 8 // elem.bitwidth
    )

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.ArrayType(cg.vector_type(tile), tile.rows * tile.vecs), None)

    return tile(rows, vecs, like), codegen


@intrinsic
def pointer(typingctx, array):
    """The array's data as a bare pointer, good wherever an array is: what helpers should be given.

    Numba counts references to an array around every call, also an inlined one, and to count it empties the registers:
    400 cycles a tile, where a tile of 100 terms takes 1200.
    """

    def codegen(context, builder, sig, args):
        return cg.data_pointer(context, builder, array, args[0])

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def reinterpret(typingctx, array, offset, like):
    """The memory from array[offset] on as a pointer of the type of `like`: scratch for another dtype."""

    def codegen(context, builder, sig, args):
        return cg.element_pointer(context, builder, array, *args[:2], pointee=context.get_data_type(like.dtype))

    return like(array, types.intp, like), codegen


def _address_as(element, name):
    @intrinsic
    def typed(typingctx, address):
        def codegen(context, builder, sig, args):
            return builder.inttoptr(args[0], context.get_data_type(element).as_pointer())

        return types.CPointer(element)(types.int64), codegen

    return cg.named(typed, name, f"(address): a pointer to {element} at an address; 0 is one that nothing is read by.")


address_as_bytes = _address_as(types.uint8, "address_as_bytes")
address_as_int32 = _address_as(types.int32, "address_as_int32")
address_as_int64 = _address_as(types.int64, "address_as_int64")
address_as_float32 = _address_as(types.float32, "address_as_float32")
address_as_float64 = _address_as(types.float64, "address_as_float64")


@intrinsic
def address_as(typingctx, address, like):
    """The address as a pointer of the type of `like`."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_data_type(like.dtype).as_pointer())

    return like(types.int64, like), codegen


@intrinsic
def moved(typingctx, pointer, offset):
    """The pointer to pointer[offset]."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


@intrinsic
def flush_denormals(typingctx):
    """From here on this thread takes denormal numbers for 0, where the target can; returns what `restore` takes.

    An operation on one costs 150 cycles, and the probabilities and gradients of a trained network are full of them.
    """

    def codegen(context, builder, sig, args):
        if not cg.is_x86(builder):
            return cg.I32(0)
        place = builder.alloca(cg.I32)
        cg.call_llvm(builder, "x86.sse.stmxcsr", ir.VoidType(), [place], [])
        before = builder.load(place)
        builder.store(builder.or_(before, cg.I32(0x8040)), place)  # results and operands
        cg.call_llvm(builder, "x86.sse.ldmxcsr", ir.VoidType(), [place], [])
        return before

    return types.int32(), codegen


@intrinsic
def restore(typingctx, before):
    """Undoes `flush_denormals`."""

    def codegen(context, builder, sig, args):
        if cg.is_x86(builder):
            place = builder.alloca(cg.I32)
            builder.store(args[0], place)
            cg.call_llvm(builder, "x86.sse.ldmxcsr", ir.VoidType(), [place], [])
        return context.get_dummy_value()

    return types.void(types.int32), codegen


@intrinsic
def same_dtype(typingctx, array, like):
    """Whether the elements of both are of one dtype: a constant."""

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.IntType(1), array.dtype == like.dtype)

    return types.boolean(array, like), codegen


@intrinsic
def pointer_if(typingctx, condition, pointer, otherwise):
    """One of two pointers; `pointer` whatever the condition is where they point to different dtypes."""
    fixed = pointer.dtype != otherwise.dtype

    def codegen(context, builder, sig, args):
        return args[1] if fixed else builder.select(*args)

    return pointer(types.boolean, pointer, otherwise), codegen


@intrinsic
def splat(typingctx, like, value):
    """A tile shaped as `like` with `value` everywhere: a number, or a tile of one row that is repeated."""

    def codegen(context, builder, sig, args):
        return cg.pack(builder, like, _operand(builder, like, value, args[1]))

    return like(like, value), codegen


@intrinsic
def load(typingctx, like, array, offset, stride):
    """tile[r, c] = array[offset + r*stride + c]."""

    def codegen(context, builder, sig, args):
        return cg.load_tile(context, builder, like, array, *args[1:])

    return like(like, array, types.intp, types.intp), codegen


@intrinsic
def load_masked(typingctx, like, array, offset, stride, rows, width):
    """As load, inside the first `rows` rows and `width` columns; outside nothing is read and the tile is 0."""

    def codegen(context, builder, sig, args):
        *where, rows, width = args[1:]
        plain = partial(cg.load_tile, context, builder, like, array, *where)
        return cg.if_whole(builder, like, rows, width, plain, lambda: plain(cg.lane_masks(builder, like, rows, width)))

    return like(like, array, *[types.intp] * 4), codegen


@intrinsic
def load_clamped(typingctx, like, array, offset, stride, rows):
    """As load, but the rows past `rows` >= 1 repeat the last one: no masks, and nothing is read there."""

    def codegen(context, builder, sig, args):
        return cg.load_tile(context, builder, like, array, *args[1:-1], rows=args[-1])

    return like(like, array, *[types.intp] * 3), codegen


@intrinsic
def load_row(typingctx, like, array, offset):
    """The one-row tile array[offset : offset + width]."""
    tile = like.shaped(rows=1)

    def codegen(context, builder, sig, args):
        return cg.load_tile(context, builder, tile, array, *args[1:], cg.I64(0))

    return tile(like, array, types.intp), codegen


@intrinsic
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


@intrinsic
def store(typingctx, tile, array, offset, stride):
    """array[offset + r*stride + c] = tile[r, c]."""

    def codegen(context, builder, sig, args):
        cg.store_tile(context, builder, tile, args[0], array, *args[1:])
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp), codegen


@intrinsic
def store_masked(typingctx, tile, array, offset, stride, rows, width):
    """As store, inside the first `rows` rows and `width` columns; nothing else is written."""

    def codegen(context, builder, sig, args):
        *where, rows, width = args[1:]
        plain = partial(cg.store_tile, context, builder, tile, args[0], array, *where)
        cg.if_whole(builder, tile, rows, width, plain, lambda: plain(cg.lane_masks(builder, tile, rows, width)))
        return context.get_dummy_value()

    return types.void(tile, array, *[types.intp] * 4), codegen


@intrinsic
def store_row_masked(typingctx, tile, array, offset, width):
    """array[offset + c] = tile[0, c] for the columns before `width`; nothing else is written."""

    def codegen(context, builder, sig, args):
        *where, width = args[1:]
        one = cg.I64(1)
        plain = partial(cg.store_tile, context, builder, tile, args[0], array, *where, cg.I64(0))
        cg.if_whole(builder, tile, one, width, plain, lambda: plain(cg.lane_masks(builder, tile, one, width)))
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp), codegen


@intrinsic
def fma_step(typingctx, acc, a, offset, stride, rows, b):
    """acc[r, :] + a[offset + r*stride] * b[:], b a one-row tile. Rows past `rows` repeat the last one."""

    def codegen(context, builder, sig, args):
        value, data, offset, stride, rows, row = args
        vectors, brow = cg.unpack(builder, acc, value), cg.unpack(builder, b, row)
        for r in range(acc.rows):
            place = builder.add(offset, builder.mul(cg.clamped_row(builder, r, rows), stride))
            size = context.get_abi_sizeof(context.get_data_type(a.dtype))
            scalar = builder.load(cg.element_pointer(context, builder, a, data, place), align=size)
            splat = cg.broadcast(builder, cg.converted(builder, scalar, a.dtype, acc.elem), acc.lanes)
            for v in range(acc.vecs):
                i = r * acc.vecs + v
                vectors[i] = cg.multiply_add(builder, splat, brow[v], vectors[i])
        return cg.pack(builder, acc, vectors)

    return acc(acc, a, types.intp, types.intp, types.intp, b), codegen


@intrinsic
def prefetch(typingctx, like, array, offset):
    """Ask for array[offset : offset + width] in the second-level cache; any offset is safe."""

    def codegen(context, builder, sig, args):
        _, data, offset = args
        step = cg.CACHE_LINE // context.get_abi_sizeof(context.get_data_type(array.dtype))
        for c in range(0, like.vecs * like.lanes + step, step):
            place = builder.gep(cg.data_pointer(context, builder, array, data), [builder.add(offset, cg.I64(c))])
            place = builder.bitcast(place, ir.IntType(8).as_pointer())
            cg.call_llvm(builder, "prefetch", ir.VoidType(), [place, cg.I32(0), cg.I32(2), cg.I32(1)], [place.type])
        return context.get_dummy_value()

    return types.void(like, array, types.intp), codegen


@intrinsic
def prefetch_line(typingctx, array, offset):
    """Ask for the cache line of array[offset] in the first-level cache; any offset is safe."""

    def codegen(context, builder, sig, args):
        place = cg.element_pointer(context, builder, array, *args, pointee=ir.IntType(8))
        cg.call_llvm(builder, "prefetch", ir.VoidType(), [place, cg.I32(0), cg.I32(3), cg.I32(1)], [place.type])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def aligned(typingctx, array):
    """The first offset of the array that starts a whole vector: loads from there never straddle two cache lines."""

    def codegen(context, builder, sig, args):
        size = context.get_abi_sizeof(context.get_data_type(array.dtype))
        address = builder.ptrtoint(cg.data_pointer(context, builder, array, args[0]), cg.I64)
        return builder.udiv(builder.and_(builder.neg(address), cg.I64(TARGET.vector_bytes - 1)), cg.I64(size))

    return types.intp(array), codegen


@intrinsic
def columns(typingctx, like):
    """tile[r, c] = c."""

    def codegen(context, builder, sig, args):
        vector = cg.vector_type(like)
        row = [ir.Constant(vector, [float(v * like.lanes + i) for i in range(like.lanes)]) for v in range(like.vecs)]
        return cg.pack(builder, like, row * like.rows)

    return like(like), codegen


@intrinsic
def within(typingctx, like, rows, width):
    """A tile of bools, true inside the first `rows` rows and `width` columns: what the masked operations touch."""
    result = like.shaped(elem=types.boolean)

    def codegen(context, builder, sig, args):
        return cg.pack(builder, result, cg.lane_masks(builder, like, *args[1:]))

    return result(like, types.intp, types.intp), codegen


# --- shapes as compile-time constants ---


def _constant_of(name, doc, measure):
    @intrinsic
    def constant(typingctx, tile):
        number = types.literal(measure(tile))
        return number(tile), lambda context, builder, sig, args: cg.I64(number.literal_value)

    return cg.named(constant, name, doc)


rows_of = _constant_of("rows_of", "(tile): its number of rows, a constant.", lambda t: t.rows)
vecs_of = _constant_of("vecs_of", "(tile): its vectors a row, a constant.", lambda t: t.vecs)
width_of = _constant_of("width_of", "(tile): its columns, vecs * lanes, a constant.", lambda t: t.vecs * t.lanes)
lanes_of = _constant_of(
    "lanes_of",
    "(tile or array): elements in one vector of this dtype, a constant.",
    lambda t: t.lanes if isinstance(t, TileType) else TARGET.vector_bytes * 8 // t.dtype.bitwidth,
)


# --- elementwise ---


def _operand(builder, tile, type_, value):
    """An operand as rows*vecs vectors: a tile of that shape, one row repeated, or a number everywhere."""
    if not isinstance(type_, TileType):
        scalar = cg.converted(builder, value, types.unliteral(type_), tile.elem)
        return [cg.broadcast(builder, scalar, tile.lanes)] * (tile.rows * tile.vecs)
    vectors = cg.unpack(builder, type_, value)
    return vectors * tile.rows if type_.rows == 1 else vectors


def _elementwise(arity, name, doc, emit, elem=None):
    """An intrinsic emit(builder, *vectors) on each vector of its operands; elem where the result is of another."""

    def operation(*operands):
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
        lambda typingctx, a: operation(a),
        lambda typingctx, a, b: operation(a, b),
        lambda typingctx, a, b, c: operation(a, b, c),
    )
    return cg.named(intrinsic((unary, binary, ternary)[arity - 1]), name, doc)


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


@intrinsic
def convert(typingctx, tile, like):
    """The tile's elements in the dtype of `like` (an array or a tile); rows, vecs and lanes stay."""
    result = tile.shaped(elem=like.elem if isinstance(like, TileType) else like.dtype)

    def codegen(context, builder, sig, args):
        vectors = [cg.converted(builder, v, tile.elem, result.elem) for v in cg.unpack(builder, tile, args[0])]
        return cg.pack(builder, result, vectors)

    return result(tile, like), codegen


# --- along and across rows ---


@intrinsic(prefer_literal=True)
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
    @intrinsic(prefer_literal=True)
    def fold(typingctx, tile, r):
        first = cg.literal_value(r, "r") * tile.vecs

        def codegen(context, builder, sig, args):
            return _fold(builder, cg.unpack(builder, tile, args[0])[first : first + tile.vecs], emit)

        return tile.elem(tile, r), codegen

    return cg.named(fold, name, doc)


def _maximum_or_nan(builder, a, b):
    return builder.select(builder.fcmp_unordered("!=", a, a), a, builder.select(builder.fcmp_ordered(">", a, b), a, b))


row_sum = _horizontal(
    "row_sum", "(tile, r): the sum of row r, always in the same order; r is a constant.", lambda b, x, y: b.fadd(x, y)
)
row_max = _horizontal(
    "row_max", "(tile, r): the largest element of row r, NaN if there is one; r is a constant.", _maximum_or_nan
)


@intrinsic
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
    """An intrinsic that folds each row with emit, the result in every lane of the row: no trip through scalars."""

    @intrinsic
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

    return cg.named(spread, name, doc)


sum_of_rows = _spread(
    "sum_of_rows",
    "(tile): in every lane of a row the row's sum, always in the same order.",
    lambda b, x, y: b.fadd(x, y),
)
max_of_rows = _spread(
    "max_of_rows", "(tile): in every lane of a row its largest element; see maximum for NaN.", _maximum
)


@intrinsic
def total(typingctx, tile):
    """The sum of all elements, always in the same order."""

    def codegen(context, builder, sig, args):
        return _fold(builder, cg.unpack(builder, tile, args[0]), lambda b, x, y: b.fadd(x, y))

    return tile.elem(tile), codegen


@intrinsic
def first_element(typingctx, tile):
    """tile[0, 0] as a number."""

    def codegen(context, builder, sig, args):
        return builder.extract_element(builder.extract_value(args[0], 0), cg.I32(0))

    return tile.elem(tile), codegen


@intrinsic
def transpose(typingctx, tile):
    """A square tile (rows = lanes, one vector a row) transposed: swaps blocks of 1, 2, 4, ... lanes between rows."""
    if tile.rows != tile.lanes or tile.vecs != 1:
        raise errors.TypingError(f"transpose needs rows = lanes and vecs = 1, got {tile}")

    def codegen(context, builder, sig, args):
        return cg.pack(builder, tile, cg.transposed(builder, cg.unpack(builder, tile, args[0]), tile.lanes))

    return tile(tile), codegen


@intrinsic
def load_transposed(typingctx, like, array, offset, stride):
    """tile[r, c] = array[offset + c*stride + r], for a square tile; half of the shuffles of transpose."""
    if like.rows != like.lanes or like.vecs != 1 or array.dtype != like.elem:
        raise errors.TypingError(f"load_transposed needs rows = lanes, vecs = 1 and one dtype, got {like} and {array}")

    def codegen(context, builder, sig, args):
        _, data, offset, stride = args
        return cg.pack(builder, like, cg.load_transposed(context, builder, like, array, data, offset, stride))

    return like(like, array, types.intp, types.intp), codegen
