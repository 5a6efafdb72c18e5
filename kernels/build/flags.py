"""The decorators that make kernels, with the reason of each option."""

from functools import partial

from numba import config, njit, types

from fastbp.kernels.build import objects
from fastbp.kernels.build.cache import KernelCache
from fastbp.kernels.build.compiling import at_ease
from fastbp.kernels.build.frontend import Expanded, Part
from fastbp.kernels.build.native import Native
from fastbp.kernels.build.signatures import declare
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


def expanded(function):
    """The same for a part that gives parts of its own constants to choose by.

    Its lines become the caller's before types are known.
    """
    return Expanded(function, OPTIONS)


def shared(function, returns=types.void):
    """A C function of its own, called: what is large and has several callers is compiled once."""
    return Native(function, OPTIONS, returns)


shared_number = partial(shared, returns=types.float64)  # the same, of a function that returns a float64


def part(function):
    """A part of the compiled loop: a C function that the loop calls by its address, see `kernels.loop.plan`."""
    return Native(function, OPTIONS, returns=types.int64)


entry = part  # what Python calls by its address: the loop itself


def kernel(*signatures, needs=None):
    """Compiles a function as a kernel, kept on disk; its signatures are what is compiled ahead of its first call.

    In each of them, Numba's `"given[:, ::1], real[::1], int64"`, `real` stands for the precision of the weights and
    `given` for that of x. `@kernel` alone is compiled when it is called. `needs` says of its types which C functions it
    calls, where these are worth compiling side by side.
    """
    if signatures and callable(signatures[0]):
        return _compiled(signatures[0], (), needs)
    return lambda function: _compiled(function, signatures, needs)


def _compiled(function, signatures, needs):
    if config.DISABLE_JIT:
        return silent(function)
    compiled = njit(**OPTIONS, no_cfunc_wrapper=True)(function)  # who wants an address takes a C function
    compiled._cache = KernelCache(function)
    compiled.compile = at_ease(compiled.compile, needs and (lambda signature: objects.load(needs(*signature))))
    compiled.needs = needs
    if signatures:
        declare(compiled, signatures)
    return compiled
