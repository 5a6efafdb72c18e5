"""The tile language without a compiler: what each operation does when Python calls it, in NumPy, with bounds checked.

Kernels call operations by name, so that the same kernel, called as a Python function, runs here: with
NUMBA_DISABLE_JIT=1, in a debugger, or as `kernel.py_func(...)` beside the compiled one. A tile is a small array, a
pointer an array and a place in it. An access outside of that array is an IndexError; masked loads and stores touch
nothing else. Each operation rounds as the compiled one does, but that a multiply-add of float64 rounds twice, and that
numbers taken out of tiles and memory are float64 and int64, which Numba makes of them at the next chance.
"""

from functools import wraps

import numpy as np
from numba import types

from fastbp.kernels.tiles.addresses import array_at
from fastbp.kernels.tiles.target import TARGET
from fastbp.kernels.tiles.target import lanes as lanes_of_dtype


class Tile:
    """rows x vecs vectors of `lanes` elements, as an array of (rows, vecs * lanes)."""

    __slots__ = ("lanes", "values")
    __array_ufunc__ = None  # NumPy's numbers leave operators to the tile

    def __init__(self, values, lanes=None):
        self.values, self.lanes = values, lanes or lanes_of_dtype(values.dtype)

    @property
    def dtype(self):
        return self.values.dtype

    @property
    def elem(self):
        return types.boolean if self.dtype == np.bool_ else getattr(types, self.dtype.name)

    @property
    def rows(self):
        return len(self.values)

    @property
    def width(self):
        return self.values.shape[1]


class Pointer:
    """The place `start` in a flat array."""

    __slots__ = ("memory", "start")

    def __init__(self, memory, start=0):
        self.memory, self.start = memory, start

    @property
    def dtype(self):
        return self.memory.dtype

    def __getitem__(self, n):
        return _number(self.memory[_inside(self, n, n)])

    def __setitem__(self, n, value):
        self.memory[_inside(self, n, n)] = value


def silent(function):
    """Without NumPy's warnings, as compiled code."""

    @wraps(function)
    def quiet(*arguments):
        with np.errstate(all="ignore"):
            return function(*arguments)

    return quiet


def _number(value):
    return np.float64(value) if value.dtype.kind == "f" else np.int64(value)


def _dtype(like):
    return np.dtype(getattr(like, "dtype", np.float64))


# --- tiles ---


def zeros(rows, vecs, like):
    dtype = _dtype(like)
    return Tile(np.zeros((rows, vecs * lanes_of_dtype(dtype)), dtype))


def columns(like):
    return Tile(np.tile(np.arange(like.width, dtype=like.dtype), (like.rows, 1)), like.lanes)


def within(like, rows, width):
    inside = np.zeros(like.values.shape, np.bool_)
    inside[: max(rows, 0), : max(width, 0)] = True
    return Tile(inside, like.lanes)


def rows_of(tile):
    return tile.rows


def vecs_of(tile):
    return tile.width // tile.lanes


def width_of(tile):
    return tile.width


def lanes_of(tile):
    return tile.lanes if isinstance(tile, Tile) else lanes_of_dtype(tile.dtype)


def splat(like, value):
    values = value.values if isinstance(value, Tile) else _rounded(value, like.dtype)
    return Tile(np.array(np.broadcast_to(values, like.values.shape)), like.lanes)


def convert(tile, like):
    with np.errstate(all="ignore"):
        return Tile(tile.values.astype(_dtype(like)), tile.lanes)


# --- pointers ---


def pointer(array):
    if not array.flags.c_contiguous:
        raise ValueError("a kernel takes C-contiguous arrays")
    return Pointer(array.reshape(-1))


def _pointer_of(array):
    return array if isinstance(array, Pointer) else pointer(array)


def reinterpret(array, offset, like):
    p = _pointer_of(array)
    memory = p.memory[p.start + offset :].view(np.uint8)
    return Pointer(memory[: len(memory) // like.dtype.itemsize * like.dtype.itemsize].view(like.dtype))


def _address_as(dtype):
    def typed(address):
        return Pointer(*array_at(int(address), np.dtype(dtype)))

    return typed


address_as_bytes, address_as_int32, address_as_int64 = map(_address_as, ("uint8", "int32", "int64"))
address_as_float32, address_as_float64 = map(_address_as, ("float32", "float64"))


def address_as(address, like):
    return Pointer(*array_at(int(address), like.dtype))


def moved(pointer, offset):
    return Pointer(pointer.memory, pointer.start + int(offset))


def same_dtype(array, like):
    return array.dtype == like.dtype


def pointer_if(condition, pointer, otherwise):
    return pointer if condition or pointer.dtype != otherwise.dtype else otherwise


def aligned(array):
    p = _pointer_of(array)
    address = p.memory.ctypes.data + p.start * p.dtype.itemsize
    return -address % TARGET.vector_bytes // p.dtype.itemsize


# --- memory ---


def _inside(p, first, last):
    """The place of element `first`. IndexError unless it and the element `last` lie in the array."""
    for n in (first, last):
        if not 0 <= p.start + n < p.memory.size:
            raise IndexError(f"index {p.start + n} is out of bounds for an array of {p.memory.size} {p.dtype}")
    return int(p.start + first)


def _block(array, offset, stride, rows, width):
    """(The flat array, the places in it of a block of rows)."""
    p, first = _pointer_of(array), int(offset)
    if rows == 1:
        first = _inside(p, first, first + width - 1)
        return p.memory, slice(first, first + width)
    last = first + int(stride) * (rows - 1)
    _inside(p, min(first, last), max(first, last) + width - 1)
    starts = p.start + first + int(stride) * np.arange(rows)
    return p.memory, starts[:, None] + np.arange(width)


def _loaded(rows, like, array, offset, stride, inner_rows, width):
    values = np.zeros((rows, like.width), like.dtype)
    inner_rows, width = min(rows, int(inner_rows)), min(like.width, int(width))
    if inner_rows > 0 and width > 0:
        memory, places = _block(array, offset, stride, inner_rows, width)
        with np.errstate(all="ignore"):
            values[:inner_rows, :width] = memory[places]
    return Tile(values, like.lanes)


def load(like, array, offset, stride):
    return _loaded(like.rows, like, array, offset, stride, like.rows, like.width)


def load_masked(like, array, offset, stride, rows, width):
    return _loaded(like.rows, like, array, offset, stride, rows, width)


def load_clamped(like, array, offset, stride, rows):
    tile = _loaded(like.rows, like, array, offset, stride, rows, like.width)
    return Tile(tile.values[np.minimum(np.arange(like.rows), rows - 1)], like.lanes)


def load_row(like, array, offset):
    return _loaded(1, like, array, offset, 0, 1, like.width)


def load_row_masked(like, array, offset, width):
    return _loaded(1, like, array, offset, 0, 1, width)


def load_second_masked(like, array, offset, width):
    return load_every_masked(like, array, offset, 2, width)


def load_every_masked(like, array, offset, stride, width):
    """A column of a block with as many rows."""
    values, width = np.zeros((1, like.width), like.dtype), min(like.width, int(width))
    if width > 0:
        memory, places = _block(array, offset, stride, width, 1)
        values[0, :width] = memory[places].reshape(-1)
    return Tile(values, like.lanes)


def load_transposed(like, array, offset, stride):
    if like.rows != like.lanes or array.dtype != like.dtype:
        raise TypeError(f"load_transposed needs rows = lanes and one dtype, got {like.dtype} and {array.dtype}")
    return transpose(load(like, array, offset, stride))


def store(tile, array, offset, stride):
    store_masked(tile, array, offset, stride, tile.rows, tile.width)


def store_masked(tile, array, offset, stride, rows, width):
    rows, width = min(tile.rows, int(rows)), min(tile.width, int(width))
    if rows > 0 and width > 0:
        memory, places = _block(array, offset, stride, rows, width)
        if (tile.dtype.kind == "f") != (memory.dtype.kind == "f"):
            raise TypeError(f"a tile of {tile.dtype} can't be stored as {memory.dtype}")
        with np.errstate(all="ignore"):
            memory[places] = tile.values[:rows, :width]


def store_row_masked(tile, array, offset, width):
    store_masked(tile, array, offset, 0, 1, width)


def fma_step(acc, a, offset, stride, rows, b):
    memory, places = _block(a, offset, stride, min(acc.rows, int(rows)), 1)
    with np.errstate(all="ignore"):
        factors = memory[places].astype(acc.dtype).reshape(-1, 1)[np.minimum(np.arange(acc.rows), int(rows) - 1)]
        return Tile(_multiply_add(factors, b.values, acc.values), acc.lanes)


def prefetch(like, array, offset):
    pass


def prefetch_line(array, offset):
    pass


# --- element by element ---


def _rounded(number, dtype):
    with np.errstate(all="ignore"):
        return dtype.type(number)


def _elementwise(function):
    def operation(*operands):
        tiles = [operand for operand in operands if isinstance(operand, Tile)]
        like = max(tiles, key=lambda tile: tile.dtype != np.bool_)
        for tile in tiles:
            if tile.width != like.width or tile.dtype not in (like.dtype, np.bool_):
                raise TypeError(f"tiles of {like.width} {like.dtype} and of {tile.width} {tile.dtype}")
        with np.errstate(all="ignore"):
            return Tile(
                function(*[o.values if isinstance(o, Tile) else like.dtype.type(o) for o in operands]), like.lanes
            )

    return operation


def _multiply_add(a, b, c):
    if c.dtype == np.float32 and TARGET.fma:
        return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)
    return a * b + c


add, sub, mul, div = map(_elementwise, (np.add, np.subtract, np.multiply, np.divide))
fma = _elementwise(_multiply_add)
neg, absolute, sqrt, rint = map(_elementwise, (np.negative, np.abs, np.sqrt, np.rint))
maximum = _elementwise(lambda a, b: np.where(a > b, a, b))
minimum = _elementwise(lambda a, b: np.where(a < b, a, b))
less, less_equal, greater = map(_elementwise, (np.less, np.less_equal, np.greater))
greater_equal, equal, not_equal = map(_elementwise, (np.greater_equal, np.equal, np.not_equal))
logical_and, logical_or, logical_not = map(_elementwise, (np.logical_and, np.logical_or, np.logical_not))
select = _elementwise(np.where)


# --- along and across rows, in the compiled code's order ---


def row(tile, r):
    return Tile(tile.values[r : r + 1], tile.lanes)


def _vectors_folded(tile, function):
    """(rows, lanes): the vectors of each row one after the other."""
    vectors = tile.values.reshape(tile.rows, -1, tile.lanes)
    folded = vectors[:, 0]
    for v in range(1, vectors.shape[1]):
        folded = function(folded, vectors[:, v])
    return folded


def _fold(tile, function):
    """A number for each row."""
    folded = _vectors_folded(tile, function)
    while folded.shape[1] > 1:
        half = folded.shape[1] // 2
        folded = function(folded[:, :half], folded[:, half:])
    return folded[:, 0]


def _larger(a, b):
    return np.where(a > b, a, b)


def _larger_or_nan(a, b):
    return np.where(a != a, a, _larger(a, b))


@silent
def row_sum(tile, r):
    return _number(_fold(row(tile, r), np.add)[0])


@silent
def row_max(tile, r):
    return _number(_fold(row(tile, r), _larger_or_nan)[0])


@silent
def total(tile):
    return row_sum(Tile(tile.values.reshape(1, -1), tile.lanes), 0)


@silent
def add_row_sums(tile, column, other):
    values = tile.values.copy()
    values[:, int(column)] += _fold(other, np.add)
    return Tile(values, tile.lanes)


def _spread(tile, function):
    """The same number in every lane of a row."""
    folded, half = _vectors_folded(tile, function), tile.lanes // 2
    while half:
        folded = function(folded, folded[:, np.arange(tile.lanes) ^ half])
        half //= 2
    return Tile(np.tile(folded, tile.width // tile.lanes), tile.lanes)


@silent
def sum_of_rows(tile):
    return _spread(tile, np.add)


@silent
def max_of_rows(tile):
    return _spread(tile, _larger)


def first_element(tile):
    return _number(tile.values[0, 0])


def transpose(tile):
    return Tile(tile.values.T.copy(), tile.lanes)


# --- denormals: stay what they are ---


def flush_denormals():
    return 0


def restore(before):
    pass
