"""The one decorator that makes a kernel, with the reason of each option."""

from numba import njit

from fastbp.kernels.cache import KernelCache


def kernel(function):
    """Compiles a function as a kernel: GIL released, kept on disk, IEEE arithmetic as written."""
    compiled = njit(
        nogil=True,  # other Python threads compute meanwhile
        error_model="numpy",  # x / 0 is inf or NaN as in NumPy; Python's model makes each division a branch
        fastmath=False,  # NaN and infinity come out where the oracle has them
    )(function)
    if compiled is not function:  # NUMBA_DISABLE_JIT=1 gives the function back
        compiled._cache = KernelCache(function)
    return compiled
