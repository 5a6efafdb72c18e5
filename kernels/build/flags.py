"""The decorators that make kernels, with the reason of each option."""

from functools import partial

from numba import config, njit, types

from fastbp.kernels.build import objects
from fastbp.kernels.build.cache import KernelCache
from fastbp.kernels.build.compiling import at_ease
from fastbp.kernels.build.frontend import Merged, Part
from fastbp.kernels.build.native import Native
from fastbp.kernels.tiles.interpreter import silent

OPTIONS = {
    "nogil": True,  # other Python threads compute meanwhile
    "error_model": "numpy",  # x / 0 is inf or NaN as in NumPy; Python's model makes each division a branch
    "_nrt": False,  # no references are counted: the caller owns all memory
    "fastmath": False,  # NaN and infinity come out where the oracle has them
}


def inlined(function):
    """Part of a kernel, compiled into its caller: a call would send tiles through memory. Sees arrays as pointers."""
    return Part(function, {**OPTIONS, "forceinline": True})


def merged(function):
    """The same for a part that gives parts of its own constants to choose by: its lines become the caller's."""
    return Merged(function, OPTIONS)


def shared(function):
    """A C function of its own, called: what is large and has several callers is compiled once."""
    return Native(function, OPTIONS)


def part(function):
    """A part of the compiled loop: a C function that the loop calls by its address, see `kernels.loop.plan`."""
    return Native(function, OPTIONS, returns=types.int64)


entry = part  # what Python calls by its address: the loop itself


def kernel(function=None, *, needs=None):
    """Compiles a function as a kernel, kept on disk.

    `needs` says of its types which C functions it calls, where these are worth compiling side by side.
    """
    if function is None:
        return partial(kernel, needs=needs)
    return _compiled(function, needs)


def parallel_kernel(function=None, *, needs=None):
    """The same for a function whose `prange` runs on several threads."""
    if function is None:
        return partial(parallel_kernel, needs=needs)
    return _compiled(function, needs, parallel=True)


def _compiled(function, needs, **options):
    if config.DISABLE_JIT:
        return silent(function)
    compiled = njit(**OPTIONS, **options)(function)
    compiled._cache = KernelCache(function)
    compiled.compile = at_ease(compiled.compile, needs and (lambda signature: objects.load(needs(*signature))))
    return compiled
