"""Running a training kernel on several threads, and how many of them it is worth."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from ctypes import addressof
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
from numba import config

from fastbp.engine.addresses import address
from fastbp.kernels.loop import parts
from fastbp.kernels.loop.team import CANCELLED, CLOSED, JOINED, PROGRESS, SIZE, TEAM_WORDS
from fastbp.system import threads

# A step's two meetings cost 1 µs; below this many operations a thread they cost more than the thread saves.
FLOPS_PER_THREAD = 1e6
MOST_THREADS = 256
# What counts of each number of threads are the last times that it was taken. The other one is tried again after a few
# hundredths of a second, for a thirty-second of a slice, 2 ms, and then after twice as long each time, up to a second.
# Threads that save less than a twentieth aren't worth a second core. Where ten processes shared two cores, such a trial
# took half a second: what one loses is at most a fiftieth of the time to the next.
TRIALS, TRIAL, PAYS = 3, 32, 0.95
FIRST_SECONDS_BETWEEN, SECONDS_BETWEEN, SECONDS_FOR_ONE_LOST = 0.05, 1.0, 50.0
BYTES_PER_THREAD = 1 << 20  # of memory that is passed over: 100 µs, and to wake a thread takes 30

_pools: dict[int, ThreadPoolExecutor] = {}
_loops: dict[Any, Callable[[int, int], int]] = {}  # for networks of each dtype


def threads_for(flops_of_a_step: float) -> int:
    """How many threads a step of so many floating-point operations is worth."""
    if flops_of_a_step < 2 * FLOPS_PER_THREAD or config.DISABLE_JIT:  # Python runs one thread at a time
        return 1
    # Never more than there are cores, whatever a user sets: four threads on two take up to 2.2 times as long as two.
    most = min(int(threads.get_num_threads()), int(threads.launched()), MOST_THREADS)
    return min(most, int(flops_of_a_step / FLOPS_PER_THREAD))


class Pace:
    """How many threads take the steps of one kind in least time: as many as `most`, or one alone; measured meanwhile.

    The bits are the same either way. Where another process holds a core, the team waits for who has none: two threads
    took 1.4 times as long as one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds: dict[int, list[float]] = {most: [], 1: []}  # of a step, as it was lately
        self._since, self._between = 0.0, FIRST_SECONDS_BETWEEN  # seconds since the other number was tried, and until
        self._tries, self._lost = False, 0.0  # whether it is being tried, and how many seconds that cost last

    def next(self) -> tuple[int, bool]:
        """(How many threads take the next steps, whether only to measure: then a few steps will do.)"""
        if self._most == 1:
            return 1, False
        # In turns, and the first of each counts least: while threads start and samples come into the caches, two took
        # 1.3 times as long as later, and were given up for a second.
        n = min(self._seconds, key=lambda n: len(self._seconds[n]))
        if len(self._seconds[n]) < TRIALS:
            return n, True
        pays = min(self._seconds[self._most]) < PAYS * min(self._seconds[1])
        self._tries = self._since >= max(self._between, SECONDS_FOR_ONE_LOST * self._lost)
        if self._tries:
            self._since, self._between = 0.0, min(2 * self._between, SECONDS_BETWEEN)
        return self._most if pays != self._tries else 1, self._tries

    def took(self, n: int, steps: int, seconds: float) -> None:
        """Notes what so many steps took."""
        if n in self._seconds and steps:
            self._since += seconds
            if self._tries:
                self._lost = seconds - steps * min(map(min, self._seconds.values()))
            self._seconds[n] = [*self._seconds[n], seconds / steps][-TRIALS:]


def run(table: Any, dtype: np.dtype[Any], n: int, done: Callable[[int], object]) -> int:
    """The steps that a run of `kernels.loop.plan` took, by up to n threads; `done` learns them, also if interrupted."""
    loop = _loops.get(dtype)
    if loop is None:
        loop = _loops[dtype] = parts.loop_of(dtype).function()
    words = np.zeros(TEAM_WORDS, np.int64)
    table.team, table.threads, place = address(words), n, addressof(table)
    members = [_Task(_join, loop, table, words) for _ in range(n - 1)]
    try:
        with suppress(RuntimeError):  # the interpreter is about to end: no more threads, the leader goes on alone
            for member in members:
                member.begin()
        return loop(place, 1)
    finally:
        if words[SIZE] == 0:  # interrupted before it began: who has come already is let go
            words[JOINED] += CLOSED
            words[SIZE] = CANCELLED
        try:
            for member in members:
                member.end()
        finally:
            done(int(words[PROGRESS]))


def _join(loop: Callable[[int, int], int], table: Any, words: Any) -> None:
    """One more thread's part of a run; holds on to the memory that it works in."""
    loop(addressof(table), 0)


class _Task:
    """What a thread of the pool does once, or never where Ctrl-C came before anybody knew that it would."""

    __slots__ = ("_arguments", "_future", "_turn", "_work")

    def __init__(self, work: Callable[..., object], *arguments: object) -> None:
        self._work, self._arguments, self._turn = work, arguments, Lock()
        self._future: Future[Any] | None = None

    def begin(self) -> None:
        """Has a thread do it. RuntimeError where there are none any more."""
        self._future = _submit(self.do)

    def do(self) -> None:
        if self._turn.acquire(blocking=False):
            try:
                self._work(*self._arguments)
            finally:
                self._turn.release()

    def end(self) -> None:
        """Returns when it is done, or won't be any more."""
        if self._future is not None:
            self._future.result()
        else:
            self._turn.acquire()


def share(rows: int, size: int, work: Callable[[int, int], object]) -> None:
    """work(lo, hi) for all rows of so many bytes, on as many threads as these are worth."""
    n = max(1, min(int(threads.get_num_threads()), int(threads.launched()), rows, size // BYTES_PER_THREAD))
    borders = [rows * part // n for part in range(n + 1)]
    others = [_Task(work, *each) for each in pairwise(borders[1:])]
    try:
        for other in others:
            try:
                other.begin()
            except RuntimeError:  # the interpreter is about to end: no more threads
                other.do()
        work(*borders[:2])
    finally:
        for other in others:
            other.end()


def _submit(work: Callable[[], object]) -> Future[Any]:
    """What a thread of the pool is to do. Ctrl-C meanwhile ends the pool; the next call makes another.

    A thread that has just started when it comes is in no list of Python's yet, which waits for it when the process ends
    and never tells it to go: 4 of 130 commands that were interrupted as their threads started never ended.
    """
    pool = _pool()
    try:
        return pool.submit(work)
    except BaseException:
        if _pools.get(os.getpid()) is pool:
            _pools.clear()
        pool.shutdown(wait=False)
        raise


def _pool() -> ThreadPoolExecutor:
    """The threads of this process; a child of a fork starts its own."""
    process = os.getpid()
    pool = _pools.get(process)
    if pool is None:
        for other in _pools.keys() - {process}:
            _pools.pop(other, None)
        pool = _pools.setdefault(process, ThreadPoolExecutor(MOST_THREADS, "fastbp"))  # starts them as they are needed
    return pool
