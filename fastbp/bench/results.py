"""Rows, what a measurement of them has found, and the report of a whole run, which can be kept as JSON."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fastbp.bench.timing import Clock, Contender, Spread, calls_in_a_turn, check, time_rounds
from fastbp.boundary.arrays import TOLERANCE

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """`operation` on arrays of `shape`: (batch, width), (batch, inputs, outputs), or the widths of a whole network.

    The first contender is ours. `quick` rows are those of a quick run.
    """

    section: str
    operation: str
    shape: Shape
    dtype: str
    contenders: tuple[str, ...]
    quick: bool = False

    def __str__(self) -> str:
        return f"{self.operation} {self.size} {self.dtype}"

    @property
    def label(self) -> str:
        """What `fastbp bench` calls it: a layer and its widths, or how the network is trained."""
        if self.section == "training":
            return self.operation
        return f"{self.operation} {' → '.join(map(str, self.shape[1:]))}"

    @property
    def size(self) -> str:
        return "×".join(map(str, self.shape))


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
    def ours(self) -> str:
        return self.row.contenders[0]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Result":
        lists = {name: tuple(data["row"][name]) for name in ("shape", "contenders")}
        spreads = {
            name: {contender: Spread(**spread) for contender, spread in data[name].items()}
            for name in ("seconds", "rates", "ratios")
        }
        return cls(Row(**(data["row"] | lists)), data["rounds"], data["first_call"], **spreads)


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


@dataclass
class Report:
    """The machine and the versions by name, the rows measured, and those for which a contender is missing here."""

    facts: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        return cls(data["facts"], [Result.from_dict(result) for result in data["results"]], data["left_out"])


def as_json(report: Any) -> str:
    """A report, a dataclass with `results`, as JSON with a result a line: two runs can be compared line by line."""
    data = asdict(report)
    rows = ",\n".join(json.dumps(result, ensure_ascii=False) for result in data.pop("results"))
    head = json.dumps(data, ensure_ascii=False, indent=1).removesuffix("\n}")
    return f'{head},\n "results": [\n{rows}\n]}}\n'
