"""Pointers, loads and stores without a compiler: see `interpreter`.

A pointer is an array and a place in it. An access outside of that array is an IndexError; masked loads and stores touch
nothing else.
"""

import numpy as np

from fastbp.kernels.tiles.addresses import array_at
from fastbp.kernels.tiles.interpreter import Tile, multiply_add, number, transpose
from fastbp.kernels.tiles.target import TARGET


class Pointer:
    """The place `start` in a flat array."""

    __slots__ = ("memory", "start")

    def __init__(self, memory, start=0):
        self.memory, self.start = memory, start

    @property
    def dtype(self):
        return self.memory.dtype

    def __getitem__(self, n):
        return number(self.memory[_inside(self, n, n)])

    def __setitem__(self, n, value):
        self.memory[_inside(self, n, n)] = value


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


address_as_bytes, address_as_uint16 = map(_address_as, ("uint8", "uint16"))
address_as_int32, address_as_int64 = map(_address_as, ("int32", "int64"))
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


def load_between(like, array, offset, first, width):
    return load_every_between(like, array, offset, 1, first, width)


def load_second_between(like, array, offset, first, width):
    return load_every_between(like, array, offset, 2, first, width)


def load_every_between(like, array, offset, stride, first, width):
    """A column of a block with as many rows."""
    values, first, width = np.zeros((1, like.width), like.dtype), max(0, int(first)), min(like.width, int(width))
    if first < width:
        memory, places = _block(array, offset + first * stride, stride, width - first, 1)
        values[0, first:width] = memory[places].reshape(-1)
    return Tile(values, like.lanes)


def store_between(tile, array, offset, first, width):
    first = max(0, int(first))
    if first < tile.width:
        store_row_masked(Tile(tile.values[:, first:], tile.lanes), array, offset + first, width - first)


def zipped(even, odd):
    return Tile(np.stack([even.values, odd.values], axis=-1).reshape(1, -1), even.lanes)


def evens(pair):
    return Tile(pair.values[:, ::2].copy(), pair.lanes)


def odds(pair):
    return Tile(pair.values[:, 1::2].copy(), pair.lanes)


def row_pointers(like, array, offsets):
    return tuple(moved(array, offsets[r]) for r in range(like.rows))


def fma_step_of_rows(acc, rows, offset, b):
    with np.errstate(all="ignore"):
        factors = np.array([[row[offset]] for row in rows], acc.dtype)
        return Tile(multiply_add(factors, b.values, acc.values), acc.lanes)


def load_rows(like, rows, offset):
    return Tile(np.concatenate([load_row(like, row, offset).values for row in rows]), like.lanes)


def store_rows(tile, rows):
    for r, row in enumerate(rows):
        store_row_masked(Tile(tile.values[r : r + 1], tile.lanes), row, 0, tile.width)


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
        return Tile(multiply_add(factors, b.values, acc.values), acc.lanes)


def prefetch(like, array, offset):
    pass


def prefetch_line(array, offset):
    pass
