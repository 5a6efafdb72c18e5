"""The decorators that make kernels, with the reason of each option."""

from numba import config, njit

from fastbp.kernels import plain
from fastbp.kernels.cache import KernelCache
from fastbp.kernels.compiling import at_ease, ending_when_interrupted

OPTIONS = {
    "nogil": True,  # other Python threads compute meanwhile
    "error_model": "numpy",  # x / 0 is inf or NaN as in NumPy; Python's model makes each division a branch
    "fastmath": False,  # NaN and infinity come out where the oracle has them
}


def _called(**options):
    """The decorator of what kernels call, for these options."""

    def compiled_in_its_turn(function):
        compiled = njit(**OPTIONS, **options)(function)
        if not config.DISABLE_JIT:
            compiled.compile = ending_when_interrupted(compiled.compile)
        return compiled

    return compiled_in_its_turn


# Part of a kernel, compiled into its caller: a call would send tiles through memory. Sees arrays as pointers.
inlined = _called(forceinline=True)
# The same for a part that gives parts of its own constants to choose by: its lines become the caller's.
merged = njit(**OPTIONS, inline="always")

# A part of its own, called: for large parts that several places use, and compiled once.
shared = _called()


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
    compiled.compile = at_ease(compiled.compile)
    return compiled
