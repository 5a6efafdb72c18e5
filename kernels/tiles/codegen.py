"""LLVM code for vectors: what the operations on tiles are made of."""

from llvmlite import ir
from numba import types
from numba.core import cgutils, errors

from fastbp.kernels.tiles.target import TARGET

I32, I64 = ir.IntType(32), ir.IntType(64)
REGISTER_ELEMENT = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


def size_of(element):
    """Bytes of a number of an LLVM type in memory; Numba's `get_abi_sizeof` has LLVM parse a module for each answer."""
    return {"float": 4, "double": 8}.get(str(element)) or element.width // 8


def vector_type(tile):
    return ir.VectorType(REGISTER_ELEMENT[tile.elem], tile.lanes)


def integer_type(vector):
    """The vector of integers with the same bits."""
    return ir.VectorType(I32 if vector.element == ir.FloatType() else I64, vector.count)


def broadcast(builder, scalar, count):
    vector = ir.VectorType(scalar.type, count)
    undef = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undef, scalar, I32(0))
    return builder.shuffle_vector(one, undef, ir.Constant(ir.VectorType(I32, count), [0] * count))


def constant_vector(vector, value):
    return ir.Constant(vector, [value] * vector.count)


def shuffled(builder, a, b, picks):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(picks)), picks))


def unpack(builder, tile, value):
    return [builder.extract_value(value, i) for i in range(tile.rows * tile.vecs)]


def pack(builder, tile, vectors):
    value = ir.Constant(ir.ArrayType(vector_type(tile), len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, i)
    return value


def mangled(type_):
    if isinstance(type_, ir.VectorType):
        return f"v{type_.count}{mangled(type_.element)}"
    if isinstance(type_, ir.PointerType):
        return "p0"
    return {"float": "f32", "double": "f64"}.get(str(type_), str(type_))


def call_llvm(builder, name, result, args, overloaded):
    """Call an LLVM intrinsic on vectors; its suffix is made by hand, as llvmlite's own helpers refuse vectors."""
    name = ".".join(["llvm", name, *map(mangled, overloaded)])
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


def is_x86(builder):
    return builder.module.triple.startswith(("x86_64", "i686"))


def multiply_add(builder, a, b, c):
    # Without the instruction llvm.fma is a library call an element; fmuladd is then a multiplication and an addition.
    return call_llvm(builder, "fma" if TARGET.fma else "fmuladd", a.type, [a, b, c], [a.type])


def converted(builder, value, source, target):
    """Elements of a Numba type to another; `value` is a scalar or a vector as it lies in memory (bools are bytes)."""
    as_register = REGISTER_ELEMENT[target]
    if isinstance(value.type, ir.VectorType):
        as_register = ir.VectorType(as_register, value.type.count)
    if value.type == as_register:
        return value
    if isinstance(source, types.Float):
        return (builder.fpext if target.bitwidth > source.bitwidth else builder.fptrunc)(value, as_register)
    if target == types.boolean:
        return builder.icmp_unsigned("!=", value, ir.Constant(value.type, None))
    return (builder.sitofp if getattr(source, "signed", False) else builder.uitofp)(value, as_register)


def data_pointer(context, builder, array, value):
    return context.make_array(array)(context, builder, value).data if isinstance(array, types.Array) else value


def element_pointer(context, builder, array, value, offset, pointee=None):
    pointer = builder.gep(data_pointer(context, builder, array, value), [offset], inbounds=True)
    return builder.bitcast(pointer, pointee.as_pointer()) if pointee else pointer


def clamped_row(builder, r, rows):
    """Row r, or the last of `rows` where r lies past it; folds to r where rows is a constant."""
    last = builder.sub(rows, I64(1))
    return builder.select(builder.icmp_signed("<", I64(r), last), I64(r), last)


def vector_offsets(builder, tile, offset, stride, rows=None):
    """The offset of each vector of a tile in memory, row by row; rows past `rows` repeat the last one."""
    places = []
    for r in range(tile.rows):
        number = I64(r) if rows is None else clamped_row(builder, r, rows)
        start = builder.add(offset, builder.mul(number, stride))
        places += [builder.add(start, I64(v * tile.lanes)) for v in range(tile.vecs)]
    return places


def lane_masks(builder, tile, rows, width):
    """For each vector of a tile which lanes lie inside the first `rows` rows and `width` columns."""
    masks, full = [], tile.vecs * tile.lanes
    for r in range(tile.rows):
        valid = builder.select(builder.icmp_signed(">", rows, I64(r)), width, I64(0))
        # What is left of an array may not fit the 32 bits of a lane's number.
        valid = builder.select(builder.icmp_signed("<", valid, I64(full)), valid, I64(full))
        for v in range(tile.vecs):
            numbers = ir.Constant(ir.VectorType(I32, tile.lanes), list(range(v * tile.lanes, (v + 1) * tile.lanes)))
            masks.append(builder.icmp_signed("<", numbers, broadcast(builder, builder.trunc(valid, I32), tile.lanes)))
    return masks


def load_tile(context, builder, tile, array, value, offset, stride, masks=None, rows=None):
    """Load a tile from memory, converted; where masks are given, lanes outside are not read and are 0."""
    memory = ir.VectorType(context.get_data_type(array.dtype), tile.lanes)
    size = size_of(memory.element)
    vectors = []
    for i, place in enumerate(vector_offsets(builder, tile, offset, stride, rows)):
        pointer = element_pointer(context, builder, array, value, place, memory)
        if masks:
            args = [pointer, I32(size), masks[i], ir.Constant(memory, None)]
            vector = call_llvm(builder, "masked.load", memory, args, [memory, pointer.type])
        else:
            vector = builder.load(pointer, align=size)
        vectors.append(converted(builder, vector, array.dtype, tile.elem))
    return pack(builder, tile, vectors)


def transposed(builder, rows, size):
    """Vectors whose blocks of `size` lanes are transposed: blocks of size / 2, ..., 2, 1 lanes swap between rows."""
    rows, count, h = list(rows), rows[0].type.count, size // 2
    while h:
        low = [lane if not lane & h else count + lane - h for lane in range(count)]
        high = [lane + h if not lane & h else count + lane for lane in range(count)]
        for i in range(len(rows)):
            if not i & h:
                a, b = rows[i], rows[i + h]
                rows[i], rows[i + h] = shuffled(builder, a, b, low), shuffled(builder, a, b, high)
        h //= 2
    return rows


def load_transposed(context, builder, tile, array, value, offset, stride):
    """The rows of a square tile whose columns lie in memory.

    Sixteen bytes of memory go where they belong while they are loaded, and are then transposed among themselves: half
    the shuffles, of which a processor does one a cycle. dx is 2 % faster at 100 x 784 x 512.
    """
    element, count = vector_type(tile).element, tile.lanes
    few = 16 // size_of(element)
    part, undef = ir.VectorType(element, few), ir.Constant(ir.VectorType(element, few), ir.Undefined)
    spread = [lane % few for lane in range(count)]
    rows = []
    for first in range(0, count, few):
        vectors = []
        for q in range(few):
            vector = ir.Constant(vector_type(tile), ir.Undefined)
            for start in range(0, count, few):
                place = builder.add(offset, builder.add(builder.mul(I64(start + q), stride), I64(first)))
                pointer = element_pointer(context, builder, array, value, place, part)
                loaded = shuffled(builder, builder.load(pointer, align=size_of(element)), undef, spread)
                inside = [start <= lane < start + few for lane in range(count)]
                vector = shuffled(builder, vector, loaded, [lane + count * inside[lane] for lane in range(count)])
            vectors.append(vector)
        rows += transposed(builder, vectors, few)
    return rows


def store_tile(context, builder, tile, tile_value, array, value, offset, stride, masks=None):
    """Store a tile to memory, converted; where masks are given, lanes outside are not written."""
    vectors, memory = as_in_memory(context, builder, tile, tile_value, array)
    size = size_of(memory.element)
    for i, place in enumerate(vector_offsets(builder, tile, offset, stride)):
        pointer = element_pointer(context, builder, array, value, place, memory)
        if masks:
            args = [vectors[i], pointer, I32(size), masks[i]]
            call_llvm(builder, "masked.store", ir.VoidType(), args, [memory, pointer.type])
        else:
            builder.store(vectors[i], pointer, align=size)


def as_in_memory(context, builder, tile, value, array):
    """(The vectors of a tile as an array holds them, their type.)"""
    memory, vectors = ir.VectorType(context.get_data_type(array.dtype), tile.lanes), unpack(builder, tile, value)
    if tile.elem == types.boolean:
        return [builder.zext(vector, memory) for vector in vectors], memory
    return [converted(builder, vector, tile.elem, array.dtype) for vector in vectors], memory


def store_part(context, builder, tile, tile_value, array, value, offset, stride, rows, width):
    """Store the first `rows` rows and `width` columns of a tile.

    Rows past `rows` go where the last one does, before it.
    """
    if TARGET.vector_bytes == 64:
        masks = lane_masks(builder, tile, rows, width)
        store_tile(context, builder, tile, tile_value, array, value, offset, stride, masks)
        return
    vectors, _ = as_in_memory(context, builder, tile, tile_value, array)
    places = vector_offsets(builder, tile, offset, stride, rows)
    pointers = [element_pointer(context, builder, array, value, place) for place in places]
    with builder.if_then(builder.icmp_signed(">", rows, I64(0))):
        for v in range(tile.vecs):
            left = builder.sub(width, I64(v * tile.lanes))
            with builder.if_then(builder.icmp_signed(">", left, I64(0))):
                count = builder.select(builder.icmp_signed("<", left, I64(tile.lanes)), left, I64(tile.lanes))
                store_first(builder, vectors[v :: tile.vecs][::-1], pointers[v :: tile.vecs][::-1], count)


def store_first(builder, vectors, pointers, count):
    """The first `count` elements of vectors to where pointers say, one vector after the other.

    As a whole, or a half, a quarter and so on: a masked store takes 18 cycles with AVX2 (Zen 4), these less than 2.
    """
    lanes = part = vectors[0].type.count
    element = vectors[0].type.element
    while part:
        before, memory = builder.block, ir.VectorType(element, part).as_pointer()
        with builder.if_then(builder.icmp_signed("!=", builder.and_(count, I64(part)), I64(0))):
            for vector, pointer in zip(vectors, pointers, strict=True):
                first = shuffled(builder, vector, vector, list(range(part)))
                builder.store(first, builder.bitcast(pointer, memory), align=size_of(element))
            left = [shuffled(builder, v, v, [(n + part) % lanes for n in range(lanes)]) for v in vectors]
            ahead = [builder.gep(pointer, [I64(part)]) for pointer in pointers]
            stored = builder.block
        vectors, pointers = (
            [_either(builder, old, before, new, stored) for old, new in zip(*both, strict=True)]
            for both in ((vectors, left), (pointers, ahead))
        )
        part //= 2


def _either(builder, one, one_block, other, other_block):
    value = builder.phi(one.type)
    value.add_incoming(one, one_block)
    value.add_incoming(other, other_block)
    return value


def if_whole(builder, tile, rows, width, plain, masked):
    """plain() where rows x width covers the tile, else masked().

    With AVX-512 masks of a tile of several rows are free; elsewhere a branch is cheaper. Of one row it always is: with
    masks relu of 4096 x 1000 took 2.2 times as long (EPYC of Zen 5, AVX-512).
    """
    if TARGET.vector_bytes == 64 and tile.rows > 1:
        return masked()
    whole = builder.and_(
        builder.icmp_signed(">=", rows, I64(tile.rows)), builder.icmp_signed(">=", width, I64(tile.vecs * tile.lanes))
    )
    with builder.if_else(whole) as (then, otherwise):
        with then:
            first, first_block = plain(), builder.block
        with otherwise:
            second, second_block = masked(), builder.block
    if first is None:
        return None
    return _either(builder, first, first_block, second, second_block)


def literal_value(type_, what):
    if not isinstance(type_, types.IntegerLiteral):
        raise errors.TypingError(f"{what} must be a compile-time constant, got {type_}")
    return type_.literal_value
