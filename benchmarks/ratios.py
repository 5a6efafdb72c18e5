"""A report of ratios: the others' time over ours, each by its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastbp.bench.timing import Spread


@dataclass(frozen=True)
class Ratio:
    """The other's time over ours."""

    name: str
    value: Spread


@dataclass
class Ratios:
    """Facts by name, and what was measured."""

    facts: dict[str, str] = field(default_factory=dict)
    results: list[Ratio] = field(default_factory=list)

    @classmethod
    def of(cls, facts: dict[str, str], found: Mapping[str, list[float]]) -> "Ratios":
        """Of each name, the ratios of the rounds."""
        return cls(facts, [Ratio(name, Spread.of(ratios)) for name, ratios in found.items()])

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Ratios":
        return cls(data["facts"], [Ratio(each["name"], Spread(**each["value"])) for each in data["results"]])

    @property
    def ratios(self) -> dict[str, Spread]:
        return {each.name: each.value for each in self.results}
