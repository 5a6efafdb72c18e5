"""The one decorator that makes a kernel, with the reason of each option."""

from numba import config, njit

from fastbp.kernels import plain
from fastbp.kernels.cache import KernelCache


def kernel(function):
    """Compiles a function as a kernel: GIL released, kept on disk, IEEE arithmetic as written."""
    if config.DISABLE_JIT:
        return getattr(plain, function.__name__)
    compiled = njit(
        nogil=True,  # other Python threads compute meanwhile
        error_model="numpy",  # x / 0 is inf or NaN as in NumPy; Python's model makes each division a branch
        fastmath=False,  # NaN and infinity come out where the oracle has them
    )(function)
    compiled._cache = KernelCache(function)
    return compiled
