"""Training steps of a network in the compiled loop."""

import copy
import threading
import time
from collections.abc import Callable
from ctypes import addressof
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary.arrays import learning_rates
from fastbp.chain import NotCompilable, share_memory
from fastbp.engine import launch
from fastbp.engine.addresses import address
from fastbp.engine.data import Data, LayerData, checked_order, prepare, run_arguments
from fastbp.engine.draws import drawn_by
from fastbp.engine.known_optimizers import check_optimizer, has_plain_numbers, states_of
from fastbp.engine.operations import Operation, Takes, compiled_loss, connect, decaying, held_in, make_ready, takes
from fastbp.engine.proof import STEPS, prove
from fastbp.engine.recognition import bind, one_decay, operations_of, read
from fastbp.engine.report import report, table
from fastbp.engine.room import Room
from fastbp.engine.workspace import Workspace
from fastbp.reads import Reads

_FLOAT64: np.dtype[Any] = np.dtype(np.float64)

# A run goes to the compiled code in slices of about this many operations, 50 ms or so: Ctrl-C is looked at in between.
FLOPS_OF_A_SLICE = 7.5e9
MOST_STEPS_OF_A_SLICE = 20_000
MOST_DRAWN_OF_A_SLICE = 4_000_000  # random numbers of layers: 32 MB


class CompiledStep:
    """Training steps of one network with one optimizer, in compiled code.

    `bind` comes before everything else, and again whenever code of the user's own has run: NotCompilable for what the
    loop can't run. The network's arrays are trained in place; weights and hyperparameters are read when a run begins.
    One object belongs to one thread at a time, as a layer does.
    """

    def __init__(self, network: Any, optimizer: Any, max_norm: float | None = None) -> None:
        self.network, self.optimizer, self.max_norm = network, optimizer, max_norm
        self._workspace: Workspace | None = None
        self._reads: Reads | None = None  # what was looked at
        self._refusal = ""  # why the loop can't run the network
        self._operations: list[Operation] = []
        self._dtype, self._decay = _FLOAT64, 0.0
        self._loss: Any = None
        self._takes: Takes | None = None
        self._form: list[Any] = []  # what the workspace was made for
        self._ready: tuple[Any, Any] = None, None  # the operations and shape of a sample that it was last found fit for
        self._room = Room()  # for compressed samples
        self._states: Any = None  # the arrays of the optimizer's state

    def __call__(self, x: ArrayLike, t: ArrayLike, *, scale: float = 1.0) -> float:
        """One step on a batch, as `TrainingStep` has it."""
        data = self.prepare(x, t, scale=scale, sparse=False)
        return float(self._run(data, np.arange(data.samples, dtype=np.int64)[None])[0])

    def prepare(self, x: Any, t: ArrayLike, *, scale: float = 1.0, sparse: bool | None = None) -> Data:
        """Data for runs, as `TrainingStep` has it."""
        return prepare(x, t, self.takes, scale=scale, sparse=sparse)

    def run(
        self,
        x: Any,
        t: Any = None,
        order: ArrayLike | None = None,
        *,
        scale: float = 1.0,
        sparse: bool | None = None,
        lr: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """A step for each row of `order`, as `TrainingStep` has it."""
        data, order = self._data(x, t, order, scale, sparse)
        try:
            return self._run(data, order, rates=None if lr is None else learning_rates(lr, len(order)))
        finally:
            if data is not x and data.is_sparse:
                self._room.give(values=data.x, columns=data.columns)

    def run_noting(
        self, data: Data, order: ArrayLike, done: Callable[[NDArray[np.float64]], object], *, stops: bool
    ) -> NDArray[np.float64]:
        """Steps as in run; the losses go to `done` as they come, also those before a Ctrl-C.

        With `stops` a loss of NaN ends the run before its step changes anything: it is the last that is returned.
        """
        data, steps = self._data(data, order, None, 1.0, None)
        return self._run(data, steps, stops=stops, done=done)

    @property
    def takes(self) -> Takes:
        """What data have to be prepared for."""
        if self._takes is None:
            self._takes = takes(self._operations, self._dtype, self._loss)
        return self._takes

    @property
    def prepares(self) -> tuple[Any, ...]:
        """What the data that it prepares depend on, to be compared."""
        found = self.takes
        return found.features, self._operations[-1].outputs, found.dtype, found.skips, found.columns, found.targets

    def bind(self) -> None:
        """Looks again at what the network and the optimizer consist of, where any of it was exchanged.

        ValueError naming the parameter that came apart from its layer; NotCompilable for what the loop can't run.
        """
        if self._reads is None or not self._reads.same():
            self._look()
        elif self._refusal:
            raise NotCompilable(self._refusal)
        if not has_plain_numbers(self.optimizer):
            raise NotCompilable("a hyperparameter of the optimizer is no plain number")

    def _look(self) -> None:
        reads, self._reads, self._refusal = Reads(), None, ""
        try:
            self._look_at_all(reads)
        except NotCompilable as error:
            self._refusal = str(error)
            self._reads = reads
            raise
        self._reads = reads

    def _look_at_all(self, reads: Reads) -> None:
        for name in ("network", "optimizer"):
            reads.item(vars(self), name)
        check_optimizer(self.optimizer, reads)
        chain = read(self.network, reads)
        operations = operations_of(chain, reads)
        dtype, _ = bind(chain, operations, reads)
        if share_memory(self.trained):
            raise NotCompilable("an array of the optimizer's state is, or overlaps, another array of the training")
        self._decay = one_decay(prove(chain, STEPS, held_in(operations), reads), self.network, reads)
        if self._decay and decaying(operations) != {name for name, array in chain.params.items() if array.ndim > 1}:
            raise NotCompilable("weight decay is of other parameters than the layers' weights")
        self._operations, self._dtype, self._loss = operations, dtype, chain.loss
        self._takes = self._states = None

    @property
    def trained(self) -> list[NDArray[Any]]:
        """All arrays that a run changes: the parameters, and the optimizer's state."""
        states = [getattr(self.optimizer, name) or {} for name in self.optimizer.state_names]
        return [*self.network.params.values(), *(array for state in states for array in state.values())]

    def check(self) -> None:
        """ValueError and TypeError for whatever would keep a run from starting."""
        self.bind()
        self.optimizer.scalars()
        states_of(copy.copy(self.optimizer), self.network.params)  # what that makes is the copy's

    def run_alone(self, data: Data, order: NDArray[np.int64], stop: threading.Event) -> NDArray[np.float64]:
        """Steps as in run, on this thread alone and until `stop` is set."""
        return self._run(data, order, n=1, goes_on=lambda: not stop.is_set())

    @property
    def draws(self) -> bool:
        """Whether layers draw random numbers in a step."""
        return any(operation.compiled.draws for operation in self._operations)

    @property
    def streams(self) -> set[int]:
        """The ids of what those numbers come from."""
        each = [operation for operation in self._operations if operation.compiled.draws]
        return {id(operation.compiled.stream(operation.layer)) for operation in each}

    @property
    def noted(self) -> Any:
        """An object that is another one after each look, and where samples have another shape."""
        return self._ready if self._ready[0] is self._operations else self._operations

    def reporter(self, reason: str) -> Callable[[int], str]:
        """What writes the report of a step of so many samples, as the network and the optimizer are now."""
        loss, optimizer = type(self._loss).__name__, type(self.optimizer).__name__
        return partial(report, table(self._operations), loss, optimizer, len(self.optimizer.state_names), self._dtype)

    def flops(self, batch: int, share_used: float = 1.0) -> float:
        """Useful floating-point operations of one step; the first layer multiplies such a share of its inputs."""
        each = [operation.flops(batch, n == 0) for n, operation in enumerate(self._operations)]
        return share_used * each[0] + sum(each[1:])

    def _workspace_for(self, data: Data, batch: int) -> Workspace:
        """Buffers for such samples, made anew where operations or shapes are others, or a batch larger, than before."""
        operations, shape, work = self._operations, data.sample_shape, self._workspace
        ready, shape_of_ready = self._ready  # what preparing data may have connected to another shape since
        if work is not None and work.capacity >= batch and ready is operations and shape_of_ready == shape:
            return work
        if operations[0].inputs != shape and self.takes.features is None:
            connect(operations, shape)
        make_ready(operations, self._dtype)
        form = [self._dtype, *(operation.form() for operation in operations)]
        if work is None or work.capacity < batch or form != self._form:
            work = self._workspace = Workspace(operations, self._dtype, batch, learns=True)
            self._form = form
        work.operations, self._ready = operations, (operations, shape)
        return work

    def _states_for(self, params: Any) -> Any:
        """The arrays of the optimizer's state, as they were checked when they were looked at."""
        if self._states is not None:
            return self._states  # 10 µs less
        optimizer = self.optimizer
        looked_at = all(getattr(optimizer, name) is not None for name in optimizer.state_names)
        states = states_of(optimizer, params)
        if looked_at:
            self._states = states
        return states

    def _data(self, x: Any, t: Any, order: Any, scale: float, sparse: bool | None) -> tuple[Data, NDArray[np.int64]]:
        x, t, order = run_arguments(x, t, order, scale, sparse)
        if isinstance(x, LayerData):  # prepared while the layers took the steps
            x, t = x.x, x.t
        if isinstance(x, Data):
            x.check_fits(self.takes)
            return x, checked_order(order, x.samples)
        data = prepare(x, t, self.takes, scale=scale, sparse=sparse, room=self._room)
        return data, checked_order(order, data.samples)

    def _run(
        self,
        data: Data,
        order: NDArray[np.int64],
        *,
        rates: NDArray[np.float64] | None = None,
        stops: bool = False,
        n: int | None = None,
        goes_on: Callable[[], bool] = lambda: True,
        done: Callable[[NDArray[np.float64]], object] = lambda losses: None,
    ) -> NDArray[np.float64]:
        """The steps, in slices, whose losses go to `done` as they come; those of all that were taken."""
        optimizer = self.optimizer
        if rates is None and callable(optimizer.lr):
            rates = optimizer.rates(len(order))
            self.bind()  # again, after code of the user's own
        params, (_, *numbers), decay = self.network.params, optimizer.scalars(), self._decay
        states = self._states_for(params)
        batch, loss = order.shape[1], compiled_loss(self._loss)
        work = self._workspace_for(data, batch)
        flops = self.flops(batch, data.share_used)
        most = n or launch.threads_for(flops)
        run = work.run_for(data, type(optimizer), loss, decay, batch, most, max_norm=self.max_norm)
        samples = data.table()
        pace = work.pace(batch, most)
        work.enter_numbers(tuple(numbers), tuple(float(getattr(self._loss, name)) for name in loss.numbers))
        slice_ = int(min(MOST_STEPS_OF_A_SLICE, max(1, FLOPS_OF_A_SLICE // max(1, flops))))
        drawn = drawn_by(work.operations)
        if drawn:
            slice_ = max(1, min(slice_, MOST_DRAWN_OF_A_SLICE // (batch * drawn)))
        work.point_at(params, states, min(slice_, len(order)))
        work.take_averages()
        run.samples, run.N, run.stops = addressof(samples), batch, stops
        losses = np.full(len(order), np.nan)
        taken = counted = 0

        def count(steps: int) -> None:  # also when Ctrl-C comes
            nonlocal counted
            counted += steps
            work.give_averages()
            optimizer.advance(steps)
            done(losses[taken : taken + steps])

        while taken < len(order):
            n, tries = pace.next()
            part = order[taken : taken + (max(1, slice_ // launch.TRIAL) if tries else slice_)]
            now = optimizer.rates(len(part)) if rates is None else rates[taken : taken + len(part)]
            sizes = optimizer.step_sizes(now)
            run.steps, run.order, run.rates = len(part), address(part), address(sizes)
            run.losses = address(losses[taken:])
            try:
                if drawn:
                    work.draws.draw(work.operations, len(part), batch)
                begin = time.perf_counter()
                steps = launch.run(run, self._dtype, n, count)
            except BaseException:
                work.draws.draw_no_more_than(work.operations, counted - taken, batch)
                raise
            pace.took(n, steps, time.perf_counter() - begin)
            taken += steps
            if steps < len(part):  # a loss of NaN, whose forward pass has drawn too
                work.draws.draw_no_more_than(work.operations, steps + 1, batch)
                return losses[: taken + 1]
            if not goes_on():
                break
        return losses[:taken]
