"""Where arrays lie, as the compiled loop is told."""

from ctypes import addressof, c_char
from typing import Any

from numba import config
from numpy.typing import NDArray

from fastbp.kernels.tiles.addresses import note


def address(array: NDArray[Any] | None) -> int:
    """Where an array lies; 0 for None. Without compilation its bounds are noted, for kernels that run as Python."""
    if array is None:
        return 0
    if config.DISABLE_JIT:
        note(array)
    memory: Any = array  # mypy: a buffer by Python 3.12's protocol alone
    try:
        return addressof(c_char.from_buffer(memory))  # 0.3 µs instead of the 1.1 of what follows
    except (TypeError, ValueError):  # read-only, or without elements
        return int(array.__array_interface__["data"][0])
