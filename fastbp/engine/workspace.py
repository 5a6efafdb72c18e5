"""The memory of a compiled run: buffers for the largest batch, and the tables that say where everything lies."""

import math
from ctypes import addressof
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine import launch
from fastbp.engine.addresses import Places, address
from fastbp.engine.data import Data
from fastbp.engine.draws import Draws
from fastbp.engine.operations import Operation
from fastbp.engine.run_functions import RunFunctions
from fastbp.kernels import nonzero_products
from fastbp.kernels.loop import plan, sparse
from fastbp.kernels.loop.compress import OVERRUN
from fastbp.kernels.loop.groups import GROUPS
from fastbp.kernels.matmul.product import scratch_size
from fastbp.kernels.matmul.samples import PLACES_BEHIND
from fastbp.kernels.nonzero_products import columns_size, words_size
from fastbp.kernels.optimizers import BLOCK
from fastbp.kernels.tiles.target import CACHE_LINE, lanes

# A W whose vectors straddle two cache lines, as NumPy allocates it, is copied for the time of a run. Two threads, which
# then share no line where their columns meet, take a step of 784-512-512-10 4 % faster, one thread 1 %; to copy W there
# and back costs 0.4 ms.
STEPS_PER_COPY = 16


class _Own:
    """Small tables of one operation, whose addresses stand in its row."""

    def __init__(self, operation: Operation) -> None:
        compiled = operation.compiled
        sizes = compiled.sizes(operation.layer, operation.inputs or ())
        self.keeps = np.zeros(max(1, len(operation.keeps)), np.int64)
        self.averages = np.zeros(len(compiled.averages), np.int64)
        self.running: list[NDArray[Any]] = []  # the averages themselves, while a run changes them
        self.numbers = np.zeros(len(compiled.numbers))
        self.sizes = np.array(sizes, np.int64).reshape(-1)


class Workspace:
    """Buffers for batches of up to `capacity` samples, and tables of `kernels.loop.plan` for `operations` to use.

    `run` is the table that the loop is given; what differs from run to run is entered by `run_for` and `point_at`.
    """

    def __init__(self, operations: list[Operation], dtype: np.dtype[Any], capacity: int, *, learns: bool) -> None:
        self.capacity, self.dtype, self.learns = capacity, dtype, learns
        self.operations = operations
        self.kept: list[NDArray[Any]] = []
        self._skips: tuple[bool, int] | None = None  # for what there is room: compressed samples or not, how long ones
        self._copies: dict[str, int] = {}  # of weights, by name: addresses
        self._rows: list[NDArray[Any]] = []
        self._scratch: list[NDArray[Any]] = []
        self._pointed = Places([])  # the arrays whose addresses are entered
        self._copied = False
        self._paces: dict[Any, launch.Pace] = {}
        self.plan = np.zeros(len(operations), plan.Operation.dtype)
        self.batch = np.zeros(0, plan.Batch.dtype)
        self.settings, self.run = plan.Settings.row(), plan.Run.row()
        self.functions = RunFunctions(self.plan, self.settings, self.run, operations, dtype, learns=learns)
        self.draws = Draws(self.functions, len(operations))
        self.numbers, self.loss_numbers = np.zeros(8), np.zeros(8)
        self._entered: Any = None  # which numbers, and of which operations
        self._entered_of: Any = None
        self.costs = np.zeros(capacity)
        self.run.operations, self.run.costs = len(operations), address(self.costs)
        self.run.settings = addressof(self.settings)
        self._parameters: dict[str, NDArray[Any]] = {}
        self._states: dict[str, NDArray[np.int64]] = {}
        self._own: list[_Own] = []  # of each operation
        self._averaging = [n for n, operation in enumerate(operations) if operation.compiled.averages]
        self._lay_out()

    def _lay_out(self) -> None:
        """Buffers between the operations, and for their parameters."""
        capacity, outputs = self.capacity, self.operations[-1].M
        self._x = before = self._buffer(capacity, self.operations[0].D)
        self._labels = self._buffer(capacity, outputs, dtype=np.float64) if self.learns else 0
        self._y = self._buffer(capacity, outputs) if self.learns else 0
        gradient = mask = 0  # where the gradient of an operation's input goes, and which mask that has to pass
        for row, operation in zip(self.plan, self.operations, strict=True):
            compiled = operation.compiled
            row["D"], row["M"], row["x"] = operation.D, operation.M, before
            row["out"] = before = self._buffer(capacity, operation.M)
            self._lay_out_own(row, operation)
            self._lay_out_parameters(row, operation)
            row["whole"] = self.learns and compiled.whole_batches
            if self.learns:
                if compiled.sums:
                    elements = compiled.sums(operation.layer, operation.inputs or (), self.dtype)
                    row["sums"] = self._buffer(min(capacity, GROUPS), elements)
                row["dx"], row["dout"] = gradient, self._buffer(capacity, operation.M)
                if not (gradient or compiled.backward_is_dx or compiled.dx_is_optional):
                    # Nobody reads it, but the operation writes it.
                    row["dx"] = self._buffer(capacity, operation.D)
                row["below"] = mask if compiled.masks_gradient else 0
                gradient = int(row["dout"])
                mask = int(row["mask"]) if operation.above else 0
        self._share_out()

    def _lay_out_own(self, row: Any, operation: Operation) -> None:
        """What a layer keeps for its backward pass, and its numbers."""
        own = _Own(operation)
        for n, (name, dtype, elements) in enumerate(operation.keeps):
            own.keeps[n] = self._buffer(self.capacity, elements, dtype=dtype)
            if name == "mask":
                row["mask"] = own.keeps[n]
        if self.learns:
            own.running = [np.empty(np.shape(array), self.dtype) for array in operation.averages]
            own.averages[:] = [address(array) for array in own.running]
        row["keeps"], row["averages"] = address(own.keeps), address(own.averages)
        row["numbers"], row["sizes"] = address(own.numbers), address(own.sizes)
        self._own.append(own)

    def _lay_out_parameters(self, row: Any, operation: Operation) -> None:
        if not operation.parameters:
            return
        rows = np.zeros(len(operation.compiled.parameters), plan.Parameter.dtype)
        for n, (name, shape) in enumerate(zip(operation.parameters, operation.sizes_of, strict=True)):
            self._parameters[name] = rows[n : n + 1]
            rows["size"][n] = size = math.prod(shape)
            if self.learns:
                rows["gradient"][n] = self._buffer(*shape)
                rows["squares"][n] = self._buffer(-(-size // BLOCK), dtype=np.float64)
        if operation.constant is not None and operation.compiled.constant_size:
            rows["size"][-1] = size = operation.compiled.constant_size(operation.layer)
            values = np.full(size, operation.constant, self.dtype)
            self.kept.append(values)
            rows["value"][-1], rows["gradient"][-1] = address(values), self._buffer(size)
        row["trained"] = len(operation.parameters)
        row["parameters"] = row["W"] = address(rows)
        row["b"] = address(rows[1:]) if len(rows) > 1 else 0
        if self.learns and operation.compiled.penalty:
            row["squares"] = self._buffer(1, dtype=np.float64)

    def _share_out(self) -> None:
        """How the work of each operation may be split over threads."""
        plan, each = self.plan, [operation.compiled for operation in self.operations]
        masked = np.array([*(plan["below"][1:] != 0), False])
        with_above = np.array([operation.above is not None for operation in self.operations])
        plan["masks"] = with_above & (plan["mask"] != 0) & ~masked
        splits = np.array([compiled.splits_columns for compiled in each])
        plan["forward_columns"] = np.where(splits, plan["M"], 0)
        plan["backward_columns"] = np.where(splits & (plan["dx"] != 0) & (plan["masks"] == 0), plan["D"], 0)
        for row, operation in zip(plan, self.operations, strict=True):
            compiled, layer, inputs = operation.compiled, operation.layer, operation.inputs or ()
            row["update_rows"] = compiled.update_rows(layer, inputs)
            if row["whole"]:
                row["forward_columns"] = row["backward_columns"] = compiled.units(layer, inputs)

    def point_at(self, params: Any, states: Any, steps: int = 1) -> None:
        """Enters where the parameters lie, and the optimizer's state of each, for a run of so many steps."""
        copies = steps >= STEPS_PER_COPY
        arrays = [params[name] for name in self._parameters]
        if not self.learns:
            arrays += [array for operation in self.operations for array in operation.averages]
        if states:
            arrays += [state for name in self._parameters for state in states[name]]
        if copies == self._copied and self._pointed.are_of(arrays):
            return  # 25 µs less
        self._pointed = Places([])
        for name, parameter in self._parameters.items():
            parameter["value"], parameter["home"] = address(params[name]), 0
            if states:
                self._states[name] = np.array([address(state) for state in states[name]] or [0], np.int64)
                parameter["states"] = address(self._states[name])
        for own, operation in zip(self._own, self.operations, strict=True):
            if not self.learns:
                own.averages[:] = [address(array) for array in operation.averages]
            if operation.compiled.copies and copies:
                self._copy(operation.parameters[0], params)
        self._enter_copies()
        self._pointed, self._copied = Places(arrays), copies

    def _copy(self, name: str, params: Any) -> None:
        """Has the first parameter of an operation copied for the time of a run, where that pays."""
        array, parameter = params[name], self._parameters[name]
        if array.ndim == 2 and _straddles(array):
            if name not in self._copies:
                self._copies[name] = self._buffer(*array.shape)
            parameter["home"], parameter["value"] = parameter["value"], self._copies[name]

    def _enter_copies(self) -> None:
        """What copies weights there and back, for those that have a copy."""
        for n, operation in enumerate(self.operations):
            there = bool(operation.parameters) and self._parameters[operation.parameters[0]]["home"][0] != 0
            begin, end = self.functions.addresses_of(operation.compiled.copies or ()) if there else (0, 0)
            for rows in (self.plan, self.functions.skipping):
                rows["begin"][n], rows["end"][n] = begin, end

    def take_averages(self) -> None:
        """Copies the layers' running averages to where a run changes them: others may hold the layers' arrays too."""
        for n in self._averaging:
            for running, array in zip(self._own[n].running, self.operations[n].averages, strict=True):
                running[...] = array

    def give_averages(self) -> None:
        """Gives the layers their running averages, in new arrays, as each forward pass of theirs does."""
        for n in self._averaging:
            for name, running in zip(self.operations[n].compiled.averages, self._own[n].running, strict=True):
                setattr(self.operations[n].layer, name, running.copy())

    def enter_numbers(self, optimizer: tuple[float, ...], loss: tuple[float, ...]) -> None:
        """The numbers of the optimizer, after the step size, of the loss, and of the layers."""
        if self._entered == (optimizer, loss) and self._entered_of is self.operations:
            return  # 5 µs less
        self._entered = None
        for own, operation in zip(self._own, self.operations, strict=True):
            own.numbers[:] = operation.numbers
        if len(optimizer) > len(self.numbers):
            self.numbers = np.zeros(len(optimizer))
        if len(loss) > len(self.loss_numbers):
            self.loss_numbers = np.zeros(len(loss))
        self.numbers[: len(optimizer)], self.loss_numbers[: len(loss)] = optimizer, loss
        self.settings.numbers, self.settings.loss_numbers = address(self.numbers), address(self.loss_numbers)
        self._entered, self._entered_of = (optimizer, loss), self.operations

    def run_for(
        self,
        data: Data,
        optimizer: Any,
        loss: Any,
        decay: float,
        batch: int,
        threads: int,
        *,
        max_norm: float | None = None,
        in_place: bool = False,
    ) -> Any:
        """The row of a run of so many threads, with the functions that such data, optimizer and loss need.

        `optimizer` is the class and `loss` a `CompiledLoss`; both None where nothing is learned.
        """
        self._make_room_for(data, threads)
        if self.functions.enter_for(data, optimizer, loss, decay, batch, clips=max_norm is not None, in_place=in_place):
            self._pointed = Places([])  # another plan may have to be told of copies
        self.settings.max_norm = max_norm or 0.0
        self.settings.scale, self.settings.decay = data.scale, decay
        return self.run

    def pace(self, batch: int, most: int) -> launch.Pace:
        """What is known of how long such steps take, on up to so many threads."""
        key = self.functions.entered_for, batch, most
        if key not in self._paces:
            self._paces[key] = launch.Pace(most)
        return self._paces[key]

    def _make_room_for(self, data: Data, threads: int) -> None:
        """Buffers for so many threads, and what only samples need whose zeros are skipped."""
        run, capacity = self.run, self.capacity
        if len(self.batch) < threads:
            size = self._scratch_size()
            self._skips, self.batch = None, self.batch[:0]  # until all is there: memory may run out, or Ctrl-C come
            self._members = np.zeros(threads, plan.Step.dtype)
            self._scratch.clear()
            run.scratch, run.scratch_size = self._buffer(threads, size, kept=self._scratch), size
            self._cursors = np.empty(threads * (capacity + PLACES_BEHIND), np.int64)
            run.members, run.cursors = address(self._members), address(self._cursors)
            batch = np.zeros(threads, plan.Batch.dtype)
            batch["x"], batch["labels"], batch["y"] = self._x, self._labels, self._y
            run.batch, self.batch = address(batch), batch
        if data.skips_zeros:
            self._make_room_to_skip(data)

    def _make_room_to_skip(self, data: Data) -> None:
        """Buffers for samples whose zeros are skipped, each thread its own where it finds or copies them."""
        compressed, longest = data.is_sparse, max(1, data.longest)
        if self._skips is not None and self._skips[0] == compressed and self._skips[1] >= longest:
            return
        first, capacity = self.operations[0], self.capacity
        self._skips, self._rows = None, []  # the smaller ones of before are let go
        for row in self.batch:
            begins = capacity + 1 if compressed else words_size(first.D)
            columns = capacity * longest + OVERRUN if compressed else columns_size(first.D)
            row["begins"] = self._buffer(begins, dtype=np.int64, kept=self._rows)
            row["columns"] = self._buffer(columns, dtype=np.int32, kept=self._rows)
            row["values"] = self._buffer(columns, kept=self._rows) if compressed else 0
        padded = sparse.padded_columns if compressed else nonzero_products.padded_columns
        self.batch["stride"] = stride = padded(first.M, lanes(self.dtype))
        self.batch["padded_W"] = self._buffer(first.D, stride, kept=self._rows)
        self.batch["padded_out"] = self._buffer(capacity, stride, kept=self._rows)
        self.batch["padded_dout"] = self._buffer(capacity, stride, kept=self._rows)
        self._skips = compressed, longest

    def _scratch_size(self) -> int:
        """Elements of memory to work in that a thread needs, whole cache lines."""
        each = [op.compiled.scratch(op.layer, op.inputs or (), self.dtype) for op in self.operations]
        line = int(CACHE_LINE) // self.dtype.itemsize
        return int(-(-max(scratch_size(self.dtype), *each) // line) * line)

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
