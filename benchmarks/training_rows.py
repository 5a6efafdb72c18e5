"""What is trained, and what a measurement of it has found; no peers and no processes here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.bench.timing import Spread


@dataclass(frozen=True)
class Task:
    """A network by its widths, the batch, the optimizer ("SGD", "Adam"), the data ("MNIST", "digits"), the threads."""

    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    data: str
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.network}, {self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def widths(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def network(self) -> str:
        return f"{self.widths}, batch {self.batch}, {self.optimizer}, {self.data}"

    @property
    def flops(self) -> float:
        """The operations of a step's products alone: forward, dW, and dx of all but the first layer."""
        products = [2.0 * self.batch * n * m for n, m in pairwise(self.sizes)]
        return 3 * sum(products) - products[0]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Task":
        return cls(**(dict(data) | {"sizes": tuple(data["sizes"])}))


TASKS = (
    Task((784, 50, 10), 100, "SGD", "MNIST"),
    Task((784, 512, 512, 10), 100, "SGD", "MNIST"),
    Task((64, 32, 10), 32, "Adam", "digits"),
)


@dataclass(frozen=True)
class TrainingResult:
    """A task measured, by system: seconds a step, samples a second, the share of the multiply-add peak.

    `shares` are those of the peak in turns of its own, `shares_after`, ours alone, of what the cores gave at once after
    each turn. `ratios` are the samples a second of the first system over each other one's, round by round; `steps`
    those of a turn; `errors` the largest relative difference of a loss from the float64 reference's; `busy` the share
    of a core that a system used while it was the others' turn.
    """

    task: Task
    rounds: int
    steps: Mapping[str, int]
    seconds: Mapping[str, Spread]
    samples: Mapping[str, Spread]
    shares: Mapping[str, Spread]
    shares_after: Mapping[str, Spread]
    ratios: Mapping[str, Spread]
    errors: Mapping[str, float]
    busy: Mapping[str, float]

    @classmethod
    def of(
        cls,
        task: Task,
        turns: Mapping[str, Sequence[float]],
        peak: Sequence[float],
        after: Mapping[str, Sequence[float]],
        **rest: Any,
    ) -> Any:
        """From the seconds a step of each round by system, and the peak in flops a second, alone and after each."""
        first = next(iter(turns.values()))

        def shares(name: str, peaks: Sequence[float]) -> Spread:
            return Spread.of([task.flops / s / p for s, p in zip(turns[name], peaks, strict=True)])

        return cls(
            task,
            len(peak),
            seconds={name: Spread.of(taken) for name, taken in turns.items()},
            samples={name: Spread.of([task.batch / s for s in taken]) for name, taken in turns.items()},
            shares={name: shares(name, peak) for name in turns},
            shares_after={name: shares(name, peaks) for name, peaks in after.items()},
            ratios={
                name: Spread.of([s / ours for s, ours in zip(taken, first, strict=True)])
                for name, taken in list(turns.items())[1:]
            },
            **rest,
        )

    def fastest_other(self) -> str:
        """The fastest system that isn't ours; nothing where there is none."""
        others = [name for name in self.samples if not name.startswith("fastbp")]
        return max(others, key=lambda name: self.samples[name].median, default="")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TrainingResult":
        spreads = {
            part: {name: Spread(**spread) for name, spread in data[part].items()}
            for part in ("seconds", "samples", "shares", "shares_after", "ratios")
        }
        return cls(**(dict(data) | spreads | {"task": Task.from_dict(data["task"])}))


@dataclass
class TrainingReport:
    """Facts by name, the tasks measured, who was left out and why, and the two measurements of whole processes.

    `commands`: by command and part ("whole command", "training"), seconds. `first_steps`: by system and architecture
    ("first", "second"), seconds from nothing to the first loss. Both are empty when they weren't asked for.
    """

    facts: dict[str, str] = field(default_factory=dict)
    results: list[TrainingResult] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    commands: dict[str, dict[str, Spread]] = field(default_factory=dict)
    first_steps: dict[str, dict[str, Spread]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TrainingReport":
        spreads = {
            part: {name: {key: Spread(**s) for key, s in spread.items()} for name, spread in data[part].items()}
            for part in ("commands", "first_steps")
        }
        results = [TrainingResult.from_dict(result) for result in data["results"]]
        return cls(**(dict(data) | spreads | {"results": results}))


def draw_order(samples: int, batch: int, steps: int, seed: int) -> NDArray[np.intp]:
    """Indices (steps, batch): each sample once, in a random order, before any comes again."""
    rng, needed = np.random.default_rng(seed), steps * batch
    epochs = [rng.permutation(samples) for _ in range(-(-needed // samples))]
    return np.concatenate(epochs)[:needed].reshape(steps, batch)
