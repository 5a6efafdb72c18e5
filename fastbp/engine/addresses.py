"""Where arrays lie, as the compiled loop is told."""

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
    return int(array.__array_interface__["data"][0])  # half the time of `ctypes.data`
