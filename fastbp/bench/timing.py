"""Timing that can be believed on a shared machine: contenders take turns, and their ratios are taken turn by turn.

In each round every contender of a row runs once, for at least 30 µs; every other round goes through them backwards.
What slows the machine down for a while slows all of them down, and the median over the rounds leaves it out.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORTEST = 30e-6  # seconds of one turn; the clock itself takes 0.05 µs
ROUNDS = (11, 1000)  # at least, at most
PERCENTILES = (50, 20, 80)

Clock = Callable[[], float]
Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Contender:
    """Something to time: `call` does `work` (flops or bytes), and fills `outputs` or, without any, returns its results.

    `expected` is what the results must equal; empty where there is nothing to compare. One that `follows` has its turn
    right after the contender before it, in every round: a processor that has just moved data has less of its peak left.
    """

    name: str
    call: Callable[[], Any]
    work: float = 1.0
    outputs: Arrays = ()
    expected: Arrays = ()
    follows: bool = False


@dataclass(frozen=True)
class Spread:
    """The median of the rounds of one row, and what 20 % and 80 % of them stay below."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(*(float(f"{value:.4g}") for value in np.percentile(values, PERCENTILES)))


def time_rounds(
    contenders: Sequence[Contender], calls: Sequence[int], seconds: float, clock: Clock = time.perf_counter
) -> list[list[float]]:
    """Seconds a call, by round and contender."""
    rounds: list[list[float]] = []
    end = clock() + seconds
    while len(rounds) < ROUNDS[0] or (clock() < end and len(rounds) < ROUNDS[1]):
        turn = [0.0] * len(contenders)
        for i in _order(contenders, backwards=len(rounds) % 2 == 1):
            contenders[i].call()  # what the others have displaced from the caches comes back
            turn[i] = _seconds(contenders[i].call, calls[i], clock)
        rounds.append(turn)
    return rounds


def _order(contenders: Sequence[Contender], backwards: bool) -> Iterator[int]:
    together: list[list[int]] = []
    for i, contender in enumerate(contenders):
        if together and contender.follows:
            together[-1].append(i)
        else:
            together.append([i])
    return chain.from_iterable(reversed(together) if backwards else together)


def calls_in_a_turn(contender: Contender, clock: Clock = time.perf_counter) -> int:
    """How many calls take SHORTEST together."""
    calls = 1
    while (taken := _seconds(contender.call, calls, clock)) * calls < SHORTEST:
        calls = max(calls + 1, min(8 * calls, int(1.2 * SHORTEST / max(taken, 1e-9))))
    return calls


def _seconds(call: Callable[[], Any], calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls


def check(contender: Contender, tolerance: float) -> None:
    """ValueError where a result differs: max|a − b| > tolerance · max(1, max|b|)."""
    for output in contender.outputs:
        output.fill(1 if output.dtype.kind == "b" else np.nan)  # what isn't written isn't right
    returned = contender.call()
    results = contender.outputs or returned
    if not contender.expected:
        return
    for got, expected in zip(results, contender.expected, strict=True):
        got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
        if got.shape != expected.shape:
            raise ValueError(f"{contender.name} gives shape {got.shape}, expected {expected.shape}: not timed")
        worst = float(np.max(np.abs(got - expected), initial=0))
        if not worst <= tolerance * max(1.0, float(np.max(np.abs(expected), initial=0))):
            raise ValueError(f"{contender.name} is wrong by {worst:.2g} at most: not timed")
