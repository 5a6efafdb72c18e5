"""C functions and tables without a compiler: a part of the loop is called as the Python function that it is.

With NUMBA_DISABLE_JIT=1 a row of the plan holds a number that stands for a function instead of an address, and what a
C function would be given as an address becomes a `Pointer` or a `Row` before it is called.
"""

from ctypes import c_double, c_int64

import numpy as np
from numba import types

from fastbp.kernels.tiles.addresses import array_at
from fastbp.kernels.tiles.interpreter import silent
from fastbp.kernels.tiles.interpreter_memory import Pointer

_functions = {}  # by the numbers that stand for them


def number_of(function):
    """What stands for a C function where its address would stand."""
    _functions[id(function)] = function
    return id(function)


def function_at(number):
    """The C function that a number stands for."""
    return _functions[number]


def taking_numbers(function):
    """The C function for those who call it with addresses, as Python code does."""

    @silent
    def call(*numbers):
        return function.native(*map(from_c, function.types, numbers))

    return call


def from_c(type_, number):
    """What a number of C is to a kernel that runs as Python."""
    if isinstance(type_, types.CPointer):
        return Pointer(*array_at(number, np.dtype(str(type_.dtype))))
    return Row(type_, number) if hasattr(type_, "table") else number


def to_c(value):
    """The other way round."""
    if isinstance(value, Row):
        return value._address
    if isinstance(value, Pointer):
        return value.memory.ctypes.data + value.start * value.dtype.itemsize if value.memory.size else 0
    return value


class Row:
    """A row of a table, or the first of several. Its fields are numbers, pointers and other rows."""

    __slots__ = ("_address", "_type")

    def __init__(self, type_, address):
        object.__setattr__(self, "_type", type_)
        object.__setattr__(self, "_address", address)

    def __getattr__(self, name):
        return from_c(self._type.field(name), self._place(name).value)

    def __setattr__(self, name, value):
        self._place(name).value = to_c(value)

    def __getitem__(self, n):
        """IndexError where the rows' array is known, and has fewer."""
        place = self._address + int(n) * self._type.table.dtype.itemsize
        try:
            rows, first = array_at(self._address, self._type.table.dtype)
        except IndexError:
            return Row(self._type, place)
        if not 0 <= first + n < len(rows):
            raise IndexError(f"row {first + n} is out of bounds for {len(rows)} rows of {self._type.table.name}")
        return Row(self._type, place)

    def _place(self, name):
        kind = c_double if self._type.field(name) == types.float64 else c_int64
        return kind.from_address(self._address + 8 * list(self._type.table.fields).index(name))
