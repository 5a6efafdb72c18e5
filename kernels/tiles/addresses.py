"""Which array lies at an address, for kernels that run as Python: they find the array's bounds there."""

import weakref
from bisect import bisect_right, insort
from ctypes import c_uint8

import numpy as np

_starts = []  # where the arrays that are known begin, sorted
_known = {}  # by that: (how many bytes, a weak reference to what holds them)


def note(array):
    """The address of an array, which `array_at` will find there as long as it lives."""
    start, owner = int(array.__array_interface__["data"][0]), array
    while isinstance(owner.base, np.ndarray):  # a view may be gone before its memory is
        owner = owner.base
    if start not in _known:
        insort(_starts, start)
    _known[start] = array.nbytes, weakref.ref(owner)
    return start


def array_at(address, dtype):
    """(The flat array in which an address lies, the element that lies there). IndexError where none is known."""
    if address == 0:
        return np.empty(0, dtype), 0
    for place in range(bisect_right(_starts, address) - 1, -1, -1):
        start = _starts[place]
        size, owner = _known[start]
        if owner() is None:
            del _starts[place], _known[start]
        elif address <= start + size:
            first = (address - start) % dtype.itemsize
            count = (size - first) // dtype.itemsize
            memory = np.frombuffer((c_uint8 * (count * dtype.itemsize)).from_address(start + first), dtype)
            memory.flags.writeable = owner().flags.writeable
            return memory, (address - start) // dtype.itemsize
    raise IndexError(f"no array is known to lie at {address:#x}")
