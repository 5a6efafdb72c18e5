"""The tile language without a compiler: what each operation does when Python calls it, in NumPy, with bounds checked.

Kernels call operations by name, so that the same kernel, called as a Python function, runs here: with
NUMBA_DISABLE_JIT=1, in a debugger, or as `kernel.py_func(...)` beside the compiled one. A tile is a small array; loads,
stores and pointers are in `interpreter_memory`. Each operation rounds as the compiled one does, but that a multiply-add
of float64 rounds twice, and that numbers taken out of tiles and memory are float64 and int64, which Numba makes of them
at the next chance.
"""

from functools import wraps

import numpy as np
from numba import types

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


def silent(function):
    """Without NumPy's warnings, as compiled code."""

    @wraps(function)
    def quiet(*arguments):
        with np.errstate(all="ignore"):
            return function(*arguments)

    return quiet


def number(value):
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


def multiply_add(a, b, c):
    if c.dtype == np.float32 and TARGET.fma:
        return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)
    return a * b + c


add, sub, mul, div = map(_elementwise, (np.add, np.subtract, np.multiply, np.divide))
fma = _elementwise(multiply_add)
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
    return number(_fold(row(tile, r), np.add)[0])


@silent
def row_max(tile, r):
    return number(_fold(row(tile, r), _larger_or_nan)[0])


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
    return number(tile.values[0, 0])


def transpose(tile):
    return Tile(tile.values.T.copy(), tile.lanes)


# --- denormals: stay what they are ---


def flush_denormals():
    return 0


def restore(before):
    pass
