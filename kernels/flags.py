"""The decorators that make kernels, with the reason of each option."""

import gc
import signal
import threading
from contextlib import contextmanager
from functools import wraps

from numba import config, njit
from numba.core.compiler_lock import global_compiler_lock

from fastbp.kernels import plain
from fastbp.kernels.cache import KernelCache

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
            compiled.compile = _ending_when_interrupted(compiled.compile)
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
    compiled.compile = _at_ease(compiled.compile)
    return compiled


def _at_ease(compile):
    """Compiles one kernel at a time, collecting garbage rarely, with interrupts kept until they can be raised."""

    @wraps(compile)
    def compiling(signature):
        with global_compiler_lock, _interrupts_kept(), _garbage_collected_rarely():
            return compile(signature)

    return compiling


@contextmanager
def _garbage_collected_rarely():
    """Numba's compiler makes a hundred million objects: garbage is looked for less often meanwhile.

    The training loop compiles in 34 s instead of 39, with 570 MB at most instead of 480; without the collector in 32 s
    and 1040 MB.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], 50_000) if before[0] else 0, 20, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)


_interrupts = []  # that came while kernels are compiled


@contextmanager
def _interrupts_kept():
    """In this block Ctrl-C is raised between two parts of a kernel, or at the end.

    A KeyboardInterrupt that arises while LLVM calls back into Python is lost there, or the end of the process.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: _interrupts.append(1))
    try:
        yield
        _raise_interrupt()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _interrupts.clear()


def _ending_when_interrupted(compile):
    @wraps(compile)
    def compiling(signature):
        _raise_interrupt()
        return compile(signature)

    return compiling


def _raise_interrupt():
    if _interrupts:
        raise KeyboardInterrupt
