"""The memory of a compiled run: buffers for the largest batch, and the plan that says where everything lies."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.data import Data, address
from fastbp.engine.operations import Operation
from fastbp.kernels import plan
from fastbp.kernels.codegen import CACHE_LINE, lanes
from fastbp.kernels.product import scratch_size
from fastbp.kernels.sparse import padded_columns

# A W whose vectors straddle two cache lines, as NumPy allocates it, is copied for the time of a run. Two threads, which
# then share no line where their columns meet, take a step of 784-512-512-10 4 % faster, one thread 1 %; to copy W there
# and back costs 0.4 ms.
STEPS_PER_COPY = 16


class Workspace:
    """Buffers for batches of up to `capacity` samples, and a plan for `operations` that uses them."""

    def __init__(self, operations: list[Operation], dtype: np.dtype[Any], capacity: int, *, learns: bool) -> None:
        self.capacity, self.dtype = capacity, dtype
        self.operations = operations
        self._longest = 0  # row of compressed samples that there is room for
        self._scratch, self._cursors = np.empty(0, dtype), np.empty(0, np.int64)
        self.kept: list[NDArray[Any]] = []
        self._copies: dict[str, int] = {}  # of weights, by name: addresses
        self._rows: list[NDArray[Any]] = []
        self.plan = np.zeros((len(operations), plan.PLAN_COLUMNS), np.int64)
        self.batch = np.zeros((1, plan.BATCH_BUFFERS), np.int64)
        self.costs = np.zeros(capacity)
        features, outputs = operations[0].inputs, operations[-1].outputs
        before = self._buffer(capacity, features)
        self.batch[:, plan.BATCH_X] = before
        if learns:
            self.batch[:, plan.BATCH_LABELS] = self._buffer(capacity, outputs, dtype=np.float64)
            self.batch[:, plan.Y] = self._buffer(capacity, outputs)
        gradient = mask = 0  # where the gradient of an operation's input goes, and which mask that has to pass
        for row, operation in zip(self.plan, operations, strict=True):
            row[plan.CODE] = operation.code
            row[plan.D_], row[plan.M_] = operation.inputs, operation.outputs
            row[plan.X] = before
            row[plan.OUT] = before = self._buffer(capacity, operation.outputs)
            if operation.has_mask:
                row[plan.MASK] = self._buffer(capacity, operation.outputs, dtype=np.uint8)
            if learns:
                self._gradients(row, operation, gradient, mask)
                gradient = int(row[plan.DOUT])
                mask = int(row[plan.MASK]) if operation.code == plan.AFFINE_RELU else 0
        if learns:
            above = [*self.plan[1:, plan.BELOW], 0]
            self.plan[:, plan.MASKED] = [below != 0 for below in above]

    def _gradients(self, row: NDArray[np.int64], operation: Operation, gradient: int, mask: int) -> None:
        row[plan.DOUT] = self._buffer(self.capacity, operation.outputs)
        row[plan.DX] = gradient
        if operation.affine is None:
            if not gradient:  # nobody reads it, but the operation writes it
                row[plan.DX] = self._buffer(self.capacity, operation.inputs)
            return
        row[plan.BELOW] = mask
        row[plan.DW] = self._buffer(operation.inputs, operation.outputs)
        row[plan.DB] = self._buffer(operation.outputs)
        row[plan.SQUARES] = self._buffer(1, dtype=np.float64)

    def point_at(self, params: Any, states: Any, steps: int = 1) -> None:
        """Enters where the parameters lie, and the optimizer's state of each, for a run of so many steps."""
        for row, operation in zip(self.plan, self.operations, strict=True):
            if operation.affine is None:
                continue
            W, b = operation.W, operation.b
            row[plan.W_], row[plan.B_], row[plan.HOME] = address(params[W]), address(params[b]), 0
            if steps >= STEPS_PER_COPY and _straddles(params[W]):
                if W not in self._copies:
                    self._copies[W] = self._buffer(*params[W].shape)
                row[plan.HOME], row[plan.W_] = row[plan.W_], self._copies[W]
            for name, place in ((W, plan.W_STATE), (b, plan.B_STATE)):
                for n, state in enumerate(states[name] if states else ()):
                    row[place + n] = address(state)

    def make_room_for(self, data: Data, threads: int) -> None:
        """Buffers for so many threads and, for compressed samples, what only these need."""
        if len(self.batch) < threads:
            self._longest = 0
            self.batch = np.repeat(self.batch[:1], threads, 0)
        longest = max(1, data.longest)
        if not data.is_sparse or self._longest >= longest:
            return
        first, batch = self.operations[0], self.batch
        self._longest = 0  # until all is there: memory may run out, or Ctrl-C come
        self._rows = []  # the smaller ones of before are let go
        for row in batch:
            row[plan.BEGINS] = self._buffer(self.capacity + 1, dtype=np.int64, kept=self._rows)
            row[plan.BATCH_COLUMNS] = self._buffer(self.capacity, longest, dtype=np.int32, kept=self._rows)
            row[plan.BATCH_VALUES] = self._buffer(self.capacity, longest, kept=self._rows)
        if not batch[0, plan.PADDED_DOUT]:
            stride = padded_columns(first.outputs, lanes(self.dtype))
            batch[:, plan.STRIDE] = stride
            batch[:, plan.PADDED_W] = self._buffer(first.inputs, stride)
            for place in (plan.PADDED_OUT, plan.PADDED_DOUT):
                batch[:, place] = self._buffer(self.capacity, stride)
        self._longest = longest

    def scratch(self, threads: int) -> NDArray[Any]:
        """Memory for the products of so many threads."""
        size = threads * scratch_size(self.dtype)
        if self._scratch.size < size:
            self._scratch = np.empty(size, self.dtype)
        return self._scratch[:size]

    def cursors(self, threads: int) -> NDArray[np.int64]:
        """Places in the compressed rows of a batch, for each thread."""
        if self._cursors.size < threads * self.capacity:
            self._cursors = np.empty(threads * self.capacity, np.int64)
        return self._cursors

    def _buffer(self, *shape: int, dtype: Any = None, kept: list[NDArray[Any]] | None = None) -> int:
        """The address of a new array of zeros, at the start of a cache line."""
        size = math.prod(shape) * np.dtype(dtype or self.dtype).itemsize
        array = np.zeros(size + CACHE_LINE, np.uint8)
        (self.kept if kept is None else kept).append(array)
        return -(-address(array) // int(CACHE_LINE)) * int(CACHE_LINE)


def _straddles(array: NDArray[Any]) -> bool:
    """Whether its rows would lie along cache lines, if only the first one did."""
    line = int(CACHE_LINE)
    return bool(address(array) % line and array.shape[-1] * array.itemsize % line == 0)
