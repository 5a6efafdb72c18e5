"""Timing that can be believed on a shared machine: contenders take turns, and their ratios are taken turn by turn.

In each round every contender of a row runs once, for at least 30 µs; every other round goes through them backwards.
What slows the machine down for a while slows all of them down, and the median over the rounds leaves it out.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.bench.rows import Row
from fastbp.boundary.arrays import TOLERANCE

SHORTEST = 30e-6  # seconds of one turn; the clock itself takes 0.05 µs
ROUNDS = (11, 1000)  # at least, at most
PERCENTILES = (50, 20, 80)

Clock = Callable[[], float]
Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Contender:
    """Something to time: `call` does `work` (flops or bytes), and fills `outputs` or, without any, returns its results.

    `expected` is what the results must equal; empty where there is nothing to compare.
    """

    name: str
    call: Callable[[], Any]
    work: float = 1.0
    outputs: Arrays = ()
    expected: Arrays = ()


@dataclass(frozen=True)
class Spread:
    """Of the rounds of one row: the median, and what 20 % and 80 % of them stay below."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(*(float(f"{value:.4g}") for value in np.percentile(values, PERCENTILES)))


@dataclass(frozen=True)
class Result:
    """A row measured: seconds a call and work a second by contender, and our rate over each other contender's."""

    row: Row
    rounds: int
    first_call: float  # seconds: compiling, or loading what an earlier process compiled
    seconds: Mapping[str, Spread]
    rates: Mapping[str, Spread]
    ratios: Mapping[str, Spread] = field(default_factory=dict)

    @property
    def missed(self) -> dict[str, float]:
        """By contender, how far the ratio stays below the required figure, as a share of the figure."""
        compared = {name: self.ratios[name].median / least for name, least in self.required.items()}
        return {name: 1 - share for name, share in compared.items() if share < 1}

    @property
    def required(self) -> dict[str, float]:
        """The required figures whose contender has run."""
        return {name: least for name, least in self.row.required.items() if name in self.ratios}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Result":
        lists = {name: tuple(data["row"][name]) for name in ("shape", "contenders")}
        row = Row(**(data["row"] | lists))
        spreads = {
            name: {contender: Spread(**spread) for contender, spread in data[name].items()}
            for name in ("seconds", "rates", "ratios")
        }
        return cls(row, data["rounds"], data["first_call"], **spreads)


def measure(row: Row, contenders: Sequence[Contender], seconds: float, clock: Clock = time.perf_counter) -> Result:
    """Checks every contender, then times them for about so many seconds. ValueError when a result is wrong.

    The first contender is ours: the one that the others are compared with.
    """
    start = clock()
    contenders[0].call()
    first_call = clock() - start
    for contender in contenders:
        check(contender, TOLERANCE[np.dtype(row.dtype)])
    calls = [calls_in_a_turn(contender, clock) for contender in contenders]
    rounds = time_rounds(contenders, calls, seconds, clock)
    names = [contender.name for contender in contenders]
    rates = [[contender.work / taken for contender, taken in zip(contenders, turn, strict=True)] for turn in rounds]
    return Result(
        row=row,
        rounds=len(rounds),
        first_call=round(first_call, 4),
        seconds={name: Spread.of([turn[i] for turn in rounds]) for i, name in enumerate(names)},
        rates={name: Spread.of([rate[i] for rate in rates]) for i, name in enumerate(names)},
        ratios={name: Spread.of([rate[0] / rate[i] for rate in rates]) for i, name in enumerate(names) if i},
    )


def time_rounds(
    contenders: Sequence[Contender], calls: Sequence[int], seconds: float, clock: Clock = time.perf_counter
) -> list[list[float]]:
    """Seconds a call, by round and contender."""
    rounds: list[list[float]] = []
    end = clock() + seconds
    while len(rounds) < ROUNDS[0] or (clock() < end and len(rounds) < ROUNDS[1]):
        turn = [0.0] * len(contenders)
        order = range(len(contenders))
        for i in order if len(rounds) % 2 == 0 else reversed(order):
            contenders[i].call()  # what the others have displaced from the caches comes back
            turn[i] = _seconds(contenders[i].call, calls[i], clock)
        rounds.append(turn)
    return rounds


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
