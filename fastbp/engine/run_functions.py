"""Which C functions a run calls: they depend on the data, the optimizer and the loss, and are entered in its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.addresses import address
from fastbp.engine.data import Data
from fastbp.engine.operations import Operation
from fastbp.kernels.loop import parts
from fastbp.kernels.loop.sparse import CHAIN
from fastbp.kernels.nonzero_products import TOGETHER

# What a layer's `Compiled.skipping` holds, in this order.
SKIPPING = ("gather", "forward", "backward", "update", "admits", "holds", "enter", "leave")
FEW_SAMPLES, FEW_INPUTS = 16, 64  # a batch of fewer, and shorter ones, are copied together: their products differ


class RunFunctions:
    """The functions of runs with the same operations, entered in their plan, settings and row of `kernels.loop.plan`.

    `skipping` is the plan while zeros are skipped: the plan itself where none are.
    """

    def __init__(
        self,
        plan: NDArray[Any],
        settings: Any,
        run: Any,
        operations: Sequence[Operation],
        dtype: np.dtype[Any],
        *,
        learns: bool,
    ) -> None:
        self.plan = self.skipping = plan
        self.entered_for: Any = None  # which data, optimizer and loss
        self._settings, self._run, self._dtype, self._learns = settings, run, dtype, learns
        self._each = [operation.compiled for operation in operations]
        self._known: dict[Any, list[int]] = {}  # addresses, by what they were asked for with

    def enter_for(
        self, data: Data, optimizer: Any, loss: Any, decay: float, batch: int, *, clips: bool, in_place: bool
    ) -> bool:
        """Enters what such a run calls; whether that has changed. Arguments as `Workspace.run_for` has them."""
        # While zeros are skipped, a gradient is never made as a whole.
        skipping = () if clips else self._skipping(data)
        # Chain by chain, 60,000 samples would be 469 additions to W: what is below half a unit in its last place is
        # lost in each. Of a float32 step with lr = 1e-4 59 % was made.
        most = TOGETHER if skipping and data.skips_in_place else CHAIN
        direct = self._learns and optimizer.adds and not decay and not clips and batch <= most
        in_place = in_place or (self._learns and self._reads_in_place(data, batch))
        few = tuple(batch <= compiled.few_samples for compiled in self._each)
        wanted = (data.kind, data.labels.ndim, optimizer, loss, decay != 0, clips, direct, skipping, in_place, few)
        if wanted == self.entered_for:
            return False
        self.entered_for = None  # until all is there: Ctrl-C may come
        self._enter(data, optimizer, loss, decay != 0, direct, skipping, in_place, few)
        self._clip(optimizer if clips else None)
        self.entered_for = wanted
        return True

    def addresses_of(self, wanted: Sequence[Any]) -> list[int]:
        """Where the C functions of these parts of operations lie."""
        return self._addresses(self._typed(wanted))

    def _enter(
        self,
        data: Data,
        optimizer: Any,
        loss: Any,
        decays: bool,
        direct: bool,
        skipping: Sequence[Any],
        in_place: bool,
        few: Sequence[bool],
    ) -> None:
        """Enters functions; those that are new are compiled, all at once."""
        rows = [self._parts_of(compiled, is_few, decays) for compiled, is_few in zip(self._each, few, strict=True)]
        of_run, of_settings = {"gather": parts.gather_of(data.kind, in_place)}, {}
        if in_place and self._learns:
            of_run["gather"], rows[0]["forward"], rows[0]["update"] = self._each[0].in_place
        if self._learns:
            of_run |= {"labels": loss.labels[data.labels.ndim], "loss": loss.parts[data.labels.ndim]}
            of_settings = {"optimize": optimizer.part, "decays": parts.DECAYS if decays else None}
        of_skipping = dict(zip(SKIPPING, skipping, strict=True)) if skipping else {}
        *found, of_skipping, of_run, of_settings = self._lie_at([*rows, of_skipping, of_run], [of_settings])
        for row, addresses in zip(self.plan, found, strict=True):
            for name, at in addresses.items():
                row[name] = at
        first = self.plan[:1]
        if not (first["masks"] | first["dx"])[0] and self._each[0].backward_is_dx:
            first["backward"] = 0
        run, settings = self._run, self._settings
        settings.direct = direct
        adds = np.array([compiled.adds_gradient for compiled in self._each])
        self.plan["update_columns"] = np.where(adds, self.plan["forward_columns"], 0) if direct else 0
        run.other_plan = 0
        for table, addresses in ((run, of_run), (settings, of_settings)):
            for name, at in addresses.items():
                setattr(table, name, at)
        self.skipping = self._skip(of_skipping) if skipping else self.plan
        run.grouped = any(compiled.sums for compiled in self._each)
        run.plan = address(self.skipping)
        self.plan["asks"][0] = data.starts is None

    def _parts_of(self, compiled: Any, few: bool, decays: bool) -> dict[str, Any]:
        """The parts of an operation, by the names of the plan's row."""
        found = {"forward": self._forward(compiled, few), "penalty": compiled.penalty if decays else None}
        if self._learns:
            found |= {"backward": compiled.backward, "update": compiled.update}
        return found

    def _forward(self, compiled: Any, few: bool) -> Any:
        """The part that an operation's samples go through, in a batch of few of them or of more."""
        if few:
            return compiled.forward_of_few
        return compiled.forward if self._learns else compiled.predict or compiled.forward

    def _reads_in_place(self, data: Data, batch: int) -> bool:
        """Whether the first operation reads samples where they lie, in a step that learns."""
        compiled, columns, rows = self._each[0], int(self.plan["M"][0]), int(self.plan["D"][0])
        fits = data.kind == self._dtype.name and data.scale == 1 and batch >= FEW_SAMPLES and rows >= FEW_INPUTS
        return bool(compiled.in_place) and fits and 1 < columns <= compiled.most_in_place

    def _clip(self, optimizer: Any) -> None:
        """Has the step of this optimizer taken once all gradients are made and clipped; of None as they are made."""
        run, settings = self._run, self._settings
        if optimizer is None:
            run.clips = settings.after_clipping = 0
            return
        typed = [parts.of_parameter(part, self._dtype) for part in (parts.NO_STEP, parts.CLIPPED_STEP)]
        settings.after_clipping = settings.optimize
        settings.optimize, run.clips = self._addresses(typed)

    def _skipping(self, data: Data) -> tuple[Any, ...]:
        """The parts of a first operation that skips the zeros of such samples; none where it doesn't."""
        if data.is_sparse:
            return self._each[0].skipping
        return self._each[0].skipping_in_place if data.skips_in_place and self._learns else ()

    def _skip(self, found: Mapping[str, int]) -> NDArray[Any]:
        """The plan that skips zeros, and what is done around its use; this one is the other one then."""
        skipping, run = self.plan.copy(), self._run
        first = skipping[:1]
        run.gather, run.other_gather = found["gather"], run.gather
        first["forward"] = found["forward"]
        for name in ("backward", "update"):
            first[name] = found[name] if self._learns else 0
        first["forward_columns"] = first["backward_columns"] = first["update_columns"] = 0
        run.admits, run.holds, run.enter = found["admits"], found["holds"], found["enter"]
        run.leave = found["leave"] if self._learns else 0
        run.other_plan = address(self.plan)
        return skipping

    def _lie_at(self, of_operations: Sequence[Mapping[str, Any]], of_parameters: Sequence[Mapping[str, Any]]) -> Any:
        """Tables of parts, by name, as tables of where their C functions lie."""
        functions = self._typed([part for table in of_operations for part in table.values()])
        functions += [parts.of_parameter(part, self._dtype) for table in of_parameters for part in table.values()]
        found = iter(self._addresses(functions))
        return [{name: next(found) for name in table} for table in (*of_operations, *of_parameters)]

    def _typed(self, wanted: Sequence[Any]) -> list[Any]:
        """The C functions of parts of operations."""
        return [parts.of_operation(part, self._dtype) for part in wanted]

    def _addresses(self, functions: Sequence[Any]) -> list[int]:
        key = tuple(functions)
        if key not in self._known:
            # The loop beside its parts: it calls none by name, and takes a second on one core.
            self._known[key] = parts.addresses([parts.loop_of(self._dtype), *functions])[1:]
        return self._known[key]
