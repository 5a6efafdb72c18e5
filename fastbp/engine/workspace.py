"""The memory of a compiled run: buffers for the largest batch, and the tables that say where everything lies."""

import math
import operator
from collections.abc import Sequence
from ctypes import addressof
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine import launch
from fastbp.engine.addresses import address
from fastbp.engine.data import Data
from fastbp.engine.operations import Operation
from fastbp.kernels.loop import parts, plan
from fastbp.kernels.loop.sparse import CHAIN, padded_columns
from fastbp.kernels.matmul.product import scratch_size
from fastbp.kernels.tiles.target import CACHE_LINE, lanes

# A W whose vectors straddle two cache lines, as NumPy allocates it, is copied for the time of a run. Two threads, which
# then share no line where their columns meet, take a step of 784-512-512-10 4 % faster, one thread 1 %; to copy W there
# and back costs 0.4 ms.
STEPS_PER_COPY = 16


class Workspace:
    """Buffers for batches of up to `capacity` samples, and tables of `kernels.loop.plan` for `operations` to use.

    `run` is the table that the loop is given; what differs from run to run is entered by `run_for` and `point_at`.
    """

    def __init__(self, operations: list[Operation], dtype: np.dtype[Any], capacity: int, *, learns: bool) -> None:
        self.capacity, self.dtype, self.learns = capacity, dtype, learns
        self.operations = operations
        self.kept: list[NDArray[Any]] = []
        self._longest = 0  # row of compressed samples that there is room for
        self._copies: dict[str, int] = {}  # of weights, by name: addresses
        self._rows: list[NDArray[Any]] = []
        self._functions: dict[Any, list[int]] = {}  # addresses, by what they were asked for with
        self._arranged: Any = None
        self._pointed: list[NDArray[Any]] = []  # the arrays whose addresses are entered
        self._copied = False
        self._paces: dict[Any, launch.Pace] = {}
        self.plan = np.zeros(len(operations), plan.Operation.dtype)
        self.skipping = self.plan  # while zeros are skipped
        self.batch = np.zeros(0, plan.Batch.dtype)
        self.settings, self.numbers, self.run = plan.Settings.row(), np.zeros(8), plan.Run.row()
        self.costs = np.zeros(capacity)
        self._parameters: dict[str, NDArray[Any]] = {}
        self._states: dict[str, NDArray[np.int64]] = {}
        self._lay_out()

    def _lay_out(self) -> None:
        """Buffers between the operations, and for their parameters."""
        capacity, outputs = self.capacity, self.operations[-1].outputs
        self._x = before = self._buffer(capacity, self.operations[0].inputs)
        self._labels = self._buffer(capacity, outputs, dtype=np.float64) if self.learns else 0
        self._y = self._buffer(capacity, outputs) if self.learns else 0
        gradient = mask = 0  # where the gradient of an operation's input goes, and which mask that has to pass
        for row, operation in zip(self.plan, self.operations, strict=True):
            row["D"], row["M"], row["x"] = operation.inputs, operation.outputs, before
            row["out"] = before = self._buffer(capacity, operation.outputs)
            if operation.has_mask:
                row["mask"] = self._buffer(capacity, operation.outputs, dtype=np.uint8)
            if operation.affine is not None:
                self._lay_out_parameters(row, operation)
            if self.learns:
                row["dx"], row["dout"] = gradient, self._buffer(capacity, operation.outputs)
                if operation.affine is None and not gradient:  # nobody reads it, but the operation writes it
                    row["dx"] = self._buffer(capacity, operation.inputs)
                row["below"] = mask if operation.affine is not None else 0
                gradient = int(row["dout"])
                mask = int(row["mask"]) if operation.affine is not None else 0
        masked = [*(self.plan["below"][1:] != 0), False]
        affine = np.array([operation.affine is not None for operation in self.operations])
        self.plan["masks"] = affine & (self.plan["mask"] != 0) & ~np.array(masked)
        self.plan["forward_columns"] = np.where(affine, self.plan["M"], 0)
        turned = affine & (self.plan["dx"] != 0) & (self.plan["masks"] == 0)
        self.plan["backward_columns"] = np.where(turned, self.plan["D"], 0)
        self.plan["update_rows"] = np.where(affine, self.plan["D"], 0)

    def _lay_out_parameters(self, row: Any, operation: Operation) -> None:
        shapes = {"W": (operation.inputs, operation.outputs), "b": (operation.outputs,)}
        for key, name in (("W", operation.W), ("b", operation.b)):
            self._parameters[name] = parameter = np.zeros(1, plan.Parameter.dtype)
            self._states[name] = states = np.zeros(8, np.int64)
            row[key] = address(parameter)
            parameter["states"] = address(states)
            if self.learns:
                parameter["gradient"] = self._buffer(*shapes[key])
        if self.learns:
            row["squares"] = self._buffer(1, dtype=np.float64)

    def point_at(self, params: Any, states: Any, steps: int = 1) -> None:
        """Enters where the parameters lie, and the optimizer's state of each, for a run of so many steps."""
        copies = steps >= STEPS_PER_COPY
        arrays = [params[name] for name in self._parameters]
        if states:
            arrays += [state for name in self._parameters for state in states[name]]
        if (
            copies == self._copied
            and len(arrays) == len(self._pointed)
            and all(map(operator.is_, arrays, self._pointed))
        ):
            return  # 25 µs less
        self._pointed = []
        for name, parameter in self._parameters.items():
            array = params[name]
            parameter["value"], parameter["home"] = address(array), 0
            if array.ndim == 2 and copies and _straddles(array):
                if name not in self._copies:
                    self._copies[name] = self._buffer(*array.shape)
                parameter["home"], parameter["value"] = parameter["value"], self._copies[name]
            if states:
                for n, state in enumerate(states[name]):
                    self._states[name][n] = address(state)
        self._enter_copies()
        self._pointed, self._copied = arrays, copies

    def _enter_copies(self) -> None:
        """What copies weights there and back, for those that have a copy."""
        copied = np.array([o.affine is not None and self._parameters[o.W]["home"][0] != 0 for o in self.operations])
        begin, end = self._addresses(parts.COPIES) if copied.any() else (0, 0)
        for rows in (self.plan, self.skipping):
            rows["begin"], rows["end"] = np.where(copied, begin, 0), np.where(copied, end, 0)

    def run_for(
        self, data: Data, optimizer: str, decay: float, batch: int, threads: int, *, in_place: bool = False
    ) -> Any:
        """The row of a run of so many threads, with the functions that such data and such an optimizer need."""
        self._make_room_for(data, threads)
        skips = data.is_sparse and self.operations[0].affine is not None
        # Chain by chain, 60,000 samples would be 469 additions to W: what is below half a unit in its last place is
        # lost in each. Of a float32 step with lr = 1e-4 59 % was made.
        direct = self.learns and parts.OPTIMIZERS[optimizer].adds and not decay and batch <= CHAIN
        wanted = (data.kind, data.labels.ndim, optimizer, decay != 0, direct, skips, in_place)
        if wanted != self._arranged:
            self._arrange(data, optimizer, decay != 0, direct, skips, in_place)
            self._arranged = wanted
        self.settings.scale, self.settings.decay = data.scale, decay
        return self.run

    def pace(self, batch: int, most: int) -> launch.Pace:
        """What is known of how long such steps take, on up to so many threads."""
        key = self._arranged, batch, most
        if key not in self._paces:
            self._paces[key] = launch.Pace(most)
        return self._paces[key]

    def _arrange(self, data: Data, optimizer: str, decays: bool, direct: bool, skips: bool, in_place: bool) -> None:
        """Enters functions; those that are new are compiled, all at once."""
        functions = [parts.OPERATIONS[operation.code] for operation in self.operations]
        names = ["forward", *(["backward", "update"] if self.learns else []), *(["penalty"] if decays else [])]
        wanted = [getattr(each, name) for each in functions for name in names]
        wanted += [parts.gather_of(data.kind, in_place, skips), parts.gather_of(data.kind, in_place, False)]
        wanted += parts.SKIPPING if skips else []
        if self.learns:
            wanted += [parts.LABELS[data.labels.ndim], parts.LOSSES[data.labels.ndim]]
            wanted += [parts.OPTIMIZERS[optimizer].step, parts.DECAYS if decays else None]
        found = iter(self._addresses(wanted))
        for row in self.plan:
            for name in names:
                row[name] = next(found)
        if not decays:
            self.plan["penalty"] = 0
        first = self.plan[:1]
        if not (first["masks"] | first["dx"])[0] and self.operations[0].affine is not None:
            first["backward"] = 0
        run, settings = self.run, self.settings
        settings.direct = direct
        self.plan["update_columns"] = self.plan["forward_columns"] if direct else 0
        run.gather, run.other_gather = next(found), next(found)
        run.other_plan = 0
        self.skipping = self._skip(found) if skips else self.plan
        if self.learns:
            run.labels, run.loss = next(found), next(found)
            settings.optimize, settings.decays = next(found), next(found)
        settings.numbers = address(self.numbers)
        run.plan, run.operations = address(self.skipping), len(self.plan)
        run.settings, run.costs = addressof(settings), address(self.costs)
        self.plan["asks"][0] = data.starts is None
        self._pointed = []  # another plan may have to be told of copies

    def _skip(self, found: Any) -> NDArray[Any]:
        """The plan for compressed samples, and what is done around its use; this one is the other one then."""
        skipping = self.plan.copy()
        forward, backward, update, admits, holds, enter, leave = (next(found) for _ in parts.SKIPPING)
        first, run = skipping[:1], self.run
        first["forward"], first["backward"] = forward, backward if self.learns else 0
        first["update"] = update if self.learns else 0
        first["forward_columns"] = first["backward_columns"] = first["update_columns"] = 0
        run.admits, run.holds, run.enter, run.leave = admits, holds, enter, leave if self.learns else 0
        run.other_plan = address(self.plan)
        return skipping

    def _addresses(self, functions: Sequence[Any]) -> list[int]:
        key = tuple(functions)
        if key not in self._functions:
            self._functions[key] = parts.addresses(functions, self.dtype)
        return self._functions[key]

    def _make_room_for(self, data: Data, threads: int) -> None:
        """Buffers for so many threads and, for compressed samples, what only these need."""
        run, capacity = self.run, self.capacity
        if len(self.batch) < threads:
            self._longest = 0
            self.batch = np.zeros(threads, plan.Batch.dtype)
            self.batch["x"], self.batch["labels"], self.batch["y"] = self._x, self._labels, self._y
            self._members = np.zeros(threads, plan.Step.dtype)
            self._scratch = np.empty(threads * scratch_size(self.dtype), self.dtype)
            self._cursors = np.empty(threads * capacity, np.int64)
            run.batch, run.members = address(self.batch), address(self._members)
            run.scratch, run.scratch_size = address(self._scratch), scratch_size(self.dtype)
            run.cursors = address(self._cursors)
        longest = max(1, data.longest)
        if not data.is_sparse or self._longest >= longest:
            return
        first, batch = self.operations[0], self.batch
        self._longest = 0  # until all is there: memory may run out, or Ctrl-C come
        self._rows = []  # the smaller ones of before are let go
        for row in batch:
            row["begins"] = self._buffer(capacity + 1, dtype=np.int64, kept=self._rows)
            row["columns"] = self._buffer(capacity, longest, dtype=np.int32, kept=self._rows)
            row["values"] = self._buffer(capacity, longest, kept=self._rows)
        batch["stride"] = stride = padded_columns(first.outputs, lanes(self.dtype))
        batch["padded_W"] = self._buffer(first.inputs, stride, kept=self._rows)
        batch["padded_out"] = self._buffer(capacity, stride, kept=self._rows)
        batch["padded_dout"] = self._buffer(capacity, stride, kept=self._rows)
        self._longest = longest

    def _buffer(self, *shape: int, dtype: Any = None, kept: list[NDArray[Any]] | None = None) -> int:
        """The address of a new array of zeros, at the start of a cache line."""
        size = math.prod(shape) * np.dtype(dtype or self.dtype).itemsize
        memory = np.zeros(size + CACHE_LINE, np.uint8)
        start = -address(memory) % int(CACHE_LINE)
        (self.kept if kept is None else kept).append(memory)
        return address(memory[start : start + size])


def _straddles(array: NDArray[Any]) -> bool:
    """Whether its rows would lie along cache lines, if only the first one did."""
    line = int(CACHE_LINE)
    return bool(address(array) % line and array.shape[-1] * array.itemsize % line == 0)
