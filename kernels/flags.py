"""The decorators that make kernels, with the reason of each option."""

import gc
from functools import wraps

from numba import config, njit

from fastbp.kernels import plain
from fastbp.kernels.cache import KernelCache

OPTIONS = {
    "nogil": True,  # other Python threads compute meanwhile
    "error_model": "numpy",  # x / 0 is inf or NaN as in NumPy; Python's model makes each division a branch
    "fastmath": False,  # NaN and infinity come out where the oracle has them
}

# Part of a kernel, compiled into its caller: a call would send tiles through memory. Sees arrays as pointers.
inlined = njit(**OPTIONS, forceinline=True)
# The same for a part that gives parts of its own constants to choose by: its lines become the caller's.
merged = njit(**OPTIONS, inline="always")

# A part of its own, called: for large parts that several places use, and compiled once.
shared = njit(**OPTIONS)


def kernel(function):
    """Compiles a function as a kernel, kept on disk."""
    return _compiled(function)


def parallel_kernel(function):
    """Compiles a function whose `prange` runs on several threads, kept on disk."""
    return _compiled(function, parallel=True)


def _compiled(function, **options):
    if config.DISABLE_JIT:  # tiles can't run as Python
        return getattr(plain, function.__name__, function)
    compiled = njit(**OPTIONS, **options)(function)
    compiled._cache = KernelCache(function)
    compiled.compile = _collecting_rarely(compiled.compile)
    return compiled


def _collecting_rarely(compile):
    """Numba's compiler makes a hundred million objects: garbage is looked for less often meanwhile.

    The training loop compiles in 34 s instead of 39, with 570 MB at most instead of 480; without the collector in 32 s
    and 1040 MB.
    """

    @wraps(compile)
    def compiling(signature):
        before = gc.get_threshold()
        gc.set_threshold(max(before[0], 50_000) if before[0] else 0, 20, 10)
        try:
            return compile(signature)
        finally:
            gc.set_threshold(*before)

    return compiling
