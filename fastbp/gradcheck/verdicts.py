"""What a gradient check says: of each element, of each parameter, of the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Verdict(StrEnum):
    """What central differences say of a gradient."""

    OK = "ok"  # they agree
    KINK = "kink"  # an activation changes sign within the step: the gradient is right on one side of it
    ROUNDING = "rounding"  # the loss is too coarse for the step: they differ by no more than its rounding explains
    WRONG = "wrong"  # the gradient is another one


_SAYS = {
    Verdict.KINK: "an activation changes sign within the step; the gradient is that of one side",
    Verdict.ROUNDING: "no verdict: the loss, rounded to float32 or very large, is too coarse for the step",
    Verdict.WRONG: "the gradient is not that of the loss",
}


@dataclass(frozen=True)
class ParameterCheck:
    """How backpropagation and central differences agree on one parameter."""

    mean_difference: float
    max_difference: float
    relative_error: float  # ‖a − n‖ / (‖a‖ + ‖n‖)
    worst_index: tuple[int, ...]  # of the largest difference; among the wrong elements where there are some
    verdict: Verdict  # the worst of its elements': wrong, rounding, kink, ok
    verdicts: NDArray[np.str_] = field(repr=False, compare=False)  # of each element, in the parameter's shape

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Also the state that earlier releases pickled, which knew two verdicts and none of an element."""
        if "ok" in state:
            verdict = Verdict.OK if state.pop("ok") else Verdict.WRONG
            state |= {"verdict": verdict, "verdicts": np.empty(0, "<U8")}
        vars(self).update(state)

    @property
    def ok(self) -> bool:
        """Whether the gradient is right: the two agree, or do on one side of a kink. A lost verdict is none."""
        return self.verdict in (Verdict.OK, Verdict.KINK)

    def count(self, verdict: Verdict | str) -> int:
        """How many elements have this verdict."""
        return int(np.count_nonzero(self.verdicts == str(verdict)))


class GradientCheck(dict[str, ParameterCheck]):
    """A `ParameterCheck` for each parameter's name; prints as a table. `ok` is the verdict on all of them."""

    def __init__(self, checks: Mapping[str, ParameterCheck], numerical_seconds: float, backprop_seconds: float) -> None:
        super().__init__(checks)
        self.numerical_seconds = numerical_seconds
        self.backprop_seconds = backprop_seconds

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.values())

    def __str__(self) -> str:
        lines = [f"{'':<8} {'mean |diff|':>12} {'max |diff|':>12} {'relative':>12}  {'worst at':<14} verdict"]
        for name, check in self.items():
            lines.append(
                f"{name:<8} {check.mean_difference:>12.2e} {check.max_difference:>12.2e} {check.relative_error:>12.2e}"
                f"  {check.worst_index!s:<14} {check.verdict}"
            )
        for verdict, says in _SAYS.items():
            counts = ((name, check.count(verdict), check.verdicts.size) for name, check in self.items())
            found = ", ".join(f"{count} of {size} in {name}" for name, count, size in counts if count)
            if found:
                lines.append(f"{verdict} ({found}): {says}")
        lines.append(f"numerical {self.numerical_seconds:.1f} s, backprop {self.backprop_seconds:.4f} s")
        return "\n".join(lines)
