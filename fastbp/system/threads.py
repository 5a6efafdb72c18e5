"""How many threads the kernels may use, and when one is enough.

Results have the same bits for any number of threads: each sum has one order, whoever takes its parts.
"""

import operator
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Two threads begin to win at 4 million operations in float32 and at 2 in float64, as a parallel region with its calls
# of Numba costs 8 µs. From 5 million on they win 1.15 and 1.35 times, from 20 on more than 1.6 times (layers, 2 cores).
FLOPS_PER_THREAD = 2.5e6

# How often a thread of libgomp looks for work before it sleeps. By default it is 300000 times, and where another
# process needs one of two cores, a product of 60 µs takes 7500: the waiting thread keeps the working one from its core.
# 10000 times are 0.26 ms: longer than the pauses between the layers of a network, and the most that a product loses.
GOMP_SPINS = "10000"


def set_num_threads(n: int) -> None:
    """At most n threads from now on, in the whole process. ValueError when n is no positive integer."""
    _State.process = _positive(n, "n")


def get_num_threads() -> int:
    """How many threads a kernel may use when this Python thread calls it; 1 in a process that was forked.

    At first that is FASTBP_NUM_THREADS, else one for each core that the process may use.
    """
    if _State.forked:
        return 1
    return _local.threads or _State.process


@contextmanager
def threads(n: int) -> Iterator[None]:
    """At most n threads inside the block, for the kernels that this Python thread calls. ValueError as above."""
    before, _local.threads = _local.threads, _positive(n, "n")
    try:
        yield
    finally:
        _local.threads = before


def for_work(flops: float) -> int:
    """How many threads a product of so many floating-point operations is worth."""
    if flops < 2 * FLOPS_PER_THREAD:
        return 1
    allowed = get_num_threads()
    if allowed == 1 or threading_layer()[0] is None:
        return 1
    return min(int(flops / FLOPS_PER_THREAD), allowed, launched())


@contextmanager
def running(n: int) -> Iterator[int]:
    """Inside the block kernels may start n threads, by `launcher`, which it gives, when this Python thread calls them.

    Numba's own number of threads, which changes with them, is the same afterwards.
    """
    from numba import get_num_threads, set_num_threads

    before = get_num_threads()
    if before != n:  # each call costs 1.2 µs
        set_num_threads(n)
    try:
        yield launcher()
    finally:
        if before != n:
            set_num_threads(before)


def scratch(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Memory for a kernel to work in, at least `size` elements. Each Python thread keeps its own: it stays cached."""
    kept = _local.scratch.get(dtype)
    if kept is None or kept.size < size:
        kept = _local.scratch[dtype] = np.empty(size, dtype)
    return kept


@lru_cache(maxsize=1)
def threading_layer() -> tuple[str | None, str]:
    """The layer of Numba that runs the threads, or None where they don't run, and why. Numba starts it, if need be.

    Never workqueue, whose parallel regions cost 89 µs and which ends the process when two Python threads enter it.
    """
    import numba

    wanted = f"NUMBA_THREADING_LAYER is {numba.config.THREADING_LAYER}"
    try:
        with _short_waits():
            numba.get_num_threads()
    except ValueError as error:
        return None, f"{wanted}: {str(error).splitlines()[0]}"
    name = str(numba.threading_layer())
    if name != "workqueue":
        return name, f"the first that loads of {', '.join(numba.config.THREADING_LAYER_PRIORITY)}"
    faults = [fault for fault in map(_fault, ("tbb", "omp")) if fault]
    return None, f"{'; '.join(faults if len(faults) == 2 else [wanted])}; workqueue is not used"


@lru_cache(maxsize=1)
def launcher() -> int:
    """The address of the function of that layer which starts threads, for kernels; 0 without a layer."""
    name, _ = threading_layer()
    return int(import_module(f"numba.np.ufunc.{name}pool").parallel_for) if name else 0


def launched() -> int:
    """How many threads Numba has at most."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


@contextmanager
def _short_waits() -> Iterator[None]:
    """While libgomp loads, which reads the environment then. A user's own setting stays."""
    ours = not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    if ours:
        os.environ["GOMP_SPINCOUNT"] = GOMP_SPINS
    try:
        yield
    finally:
        if ours:
            os.environ.pop("GOMP_SPINCOUNT", None)  # another thread may have been first


def _fault(layer: str) -> str:
    """Why a layer does not load, or nothing."""
    try:
        import_module(f"numba.np.ufunc.{layer}pool")
    except ImportError as error:
        return f"{layer} does not load ({error})"
    return ""


def _positive(n: Any, name: str) -> int:
    try:
        value = 0 if isinstance(n, bool) else operator.index(n)
    except TypeError:
        value = 0
    if value < 1:
        raise ValueError(f"{name} must be a positive integer, got {n!r}")
    return value


def _default() -> int:
    """FASTBP_NUM_THREADS, else one for each core that this process may use."""
    named = os.environ.get("FASTBP_NUM_THREADS")
    if named:
        return _positive(int(named) if named.strip().isdecimal() else named, "FASTBP_NUM_THREADS")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _State:
    """What holds for the whole process: how many threads are allowed, and whether it was forked."""

    process = _default()
    forked = False


class _Local(threading.local):
    def __init__(self) -> None:
        self.threads: int | None = None
        self.scratch: dict[np.dtype[Any], NDArray[Any]] = {}


_local = _Local()


def _after_fork() -> None:
    # The threads of omp don't live on in the child, which it would kill on entering a region: serial from here on.
    _State.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
