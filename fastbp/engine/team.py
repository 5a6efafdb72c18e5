"""Running a training kernel on several threads, and how many of them it is worth."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from fastbp import threads
from fastbp.kernels.team import CANCELLED, CLOSED, JOINED, PROGRESS, SIZE, TEAM_WORDS

# A step's two meetings cost 1 µs; below this many operations a thread they cost more than the thread saves.
FLOPS_PER_THREAD = 1e6
MOST_THREADS = 256

_pools: dict[int, ThreadPoolExecutor] = {}
_ready: set[Any] = set()  # kernels that are compiled, with the dtypes of their arguments


def threads_for(flops_of_a_step: float) -> int:
    """How many threads a step of so many floating-point operations is worth."""
    if flops_of_a_step < 2 * FLOPS_PER_THREAD:
        return 1
    # Never more than there are cores, whatever a user sets: four threads on two take up to 2.2 times as long as two.
    most = min(int(threads.get_num_threads()), int(threads.launched()), MOST_THREADS)
    return min(most, int(flops_of_a_step / FLOPS_PER_THREAD))


def run(kernel: Callable[..., Any], n: int, done: Callable[[int], object], *arguments: Any) -> int:
    """The kernel's result, from up to n threads; `done` learns how many steps it took, also if it is interrupted."""
    words = np.zeros(TEAM_WORDS, np.int64)
    members: list[Future[Any]] = []
    dtypes = (kernel, *(argument.dtype for argument in arguments if isinstance(argument, np.ndarray)))
    try:
        if dtypes in _ready:  # else a member might be who compiles, and Ctrl-C would wait for it
            with suppress(RuntimeError):  # the interpreter is about to end: no more threads, the leader goes on alone
                members.extend(_pool().submit(kernel, words, False, n, *arguments) for _ in range(n - 1))
        steps = int(kernel(words, True, n, *arguments))
        _ready.add(dtypes)
        return steps
    finally:
        if words[SIZE] == 0:  # interrupted before it began: who has come already is let go
            words[JOINED] += CLOSED
            words[SIZE] = CANCELLED
        try:
            for member in members:
                member.result()
        finally:
            done(int(words[PROGRESS]))


def _pool() -> ThreadPoolExecutor:
    """The threads of this process; a child of a fork starts its own."""
    process = os.getpid()
    if process not in _pools:
        _pools.clear()
        _pools[process] = ThreadPoolExecutor(MOST_THREADS, "fastbp")  # which starts them as they are needed
    return _pools[process]
