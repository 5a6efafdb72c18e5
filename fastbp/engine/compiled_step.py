"""Training steps of a network in the compiled loop."""

import copy
import threading
import time
from collections.abc import Callable
from ctypes import addressof
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import optimizers
from fastbp.boundary.arrays import learning_rates
from fastbp.chain import NotCompilable, share_memory
from fastbp.engine import launch
from fastbp.engine.addresses import address
from fastbp.engine.data import Data, LayerData, checked_order, prepare, run_arguments
from fastbp.engine.operations import (
    Operation,
    bind,
    check_unchanged,
    held_in,
    one_decay,
    operations_of,
    read,
)
from fastbp.engine.proof import STEPS, prove
from fastbp.engine.report import report
from fastbp.engine.workspace import Workspace
from fastbp.reads import Reads

_FLOAT64: np.dtype[Any] = np.dtype(np.float64)
# Numbers that are what they are; and what is no number at all, of which the optimizer says so.
_PLAIN = {int, float, bool, np.float64, np.float32, np.float16, np.int64, np.int32, np.ndarray}
_PLAIN |= {str, type(None), complex, list, tuple, dict}

OPTIMIZERS = (
    *(optimizers.SGD, optimizers.Momentum, optimizers.Nesterov),
    *(optimizers.AdaGrad, optimizers.RMSprop, optimizers.Adam),
)

# A run goes to the compiled code in slices of about this many operations, 50 ms or so: Ctrl-C is looked at in between.
FLOPS_OF_A_SLICE = 7.5e9
MOST_STEPS_OF_A_SLICE = 20_000


class CompiledStep:
    """Training steps of one network with one optimizer, in compiled code.

    `bind` comes before everything else, and again whenever code of the user's own has run: NotCompilable for what the
    loop can't run. The network's arrays are trained in place; weights and hyperparameters are read when a run begins.
    One object belongs to one thread at a time, as a layer does.
    """

    def __init__(self, network: Any, optimizer: Any) -> None:
        self.network, self.optimizer = network, optimizer
        self._workspace: Workspace | None = None
        self._reads: Reads | None = None  # what was looked at
        self._refusal = ""  # why the loop can't run the network
        self._operations: list[Operation] = []
        self._dtype, self._decay = _FLOAT64, 0.0
        self._loss: Any = None
        self._shapes: list[Any] = []  # what the workspace was made for

    def __call__(self, x: ArrayLike, t: ArrayLike, *, scale: float = 1.0) -> float:
        """One step on a batch, as `TrainingStep` has it."""
        data = self.prepare(x, t, scale=scale, sparse=False)
        return float(self._run(data, np.arange(data.samples, dtype=np.int64)[None])[0])

    def prepare(self, x: Any, t: ArrayLike, *, scale: float = 1.0, sparse: bool | None = None) -> Data:
        """Data for runs, as `TrainingStep` has it."""
        first = self._operations[0]
        classes, affine = self._operations[-1].outputs, first.affine is not None
        return prepare(x, t, first.inputs, classes, self._dtype, scale=scale, sparse=sparse, affine_first=affine)

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
        return self._run(data, order, rates=None if lr is None else learning_rates(lr, len(order)))

    def run_noting(
        self, data: Data, order: ArrayLike, done: Callable[[NDArray[np.float64]], object], *, stops: bool
    ) -> NDArray[np.float64]:
        """As run; the losses go to `done` as they come, also those before a Ctrl-C.

        With `stops` a loss of NaN ends the run before its step changes anything: it is the last that is returned.
        """
        data, steps = self._data(data, order, None, 1.0, None)
        return self._run(data, steps, stops=stops, done=done)

    @property
    def takes(self) -> tuple[int, int, np.dtype[Any], bool]:
        """What data have to be prepared for."""
        first = self._operations[0]
        return first.inputs, self._operations[-1].outputs, self._dtype, first.affine is not None

    def bind(self) -> None:
        """Looks again at what the network and the optimizer consist of, where any of it was exchanged.

        ValueError naming the parameter that came apart from its layer; NotCompilable for what the loop can't run.
        """
        if self._reads is None or not self._reads.same():
            self._look()
        elif self._refusal:
            raise NotCompilable(self._refusal)
        if not _are_numbers(self.optimizer):
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
        shapes = [dtype, *(replace(operation, affine=None) for operation in operations)]
        if self._workspace and shapes != self._shapes:
            self._workspace = None
        if self._workspace:
            self._workspace.operations = operations
        self._operations, self._dtype, self._loss, self._shapes = operations, dtype, chain.loss, shapes

    @property
    def trained(self) -> list[NDArray[Any]]:
        """All arrays that a run changes: the parameters, and the optimizer's state."""
        states = [getattr(self.optimizer, name) or {} for name in self.optimizer.state_names]
        return [*self.network.params.values(), *(array for state in states for array in state.values())]

    def check(self) -> None:
        """ValueError and TypeError for whatever would keep a run from starting."""
        self.bind()
        self.optimizer.scalars()
        _states(copy.copy(self.optimizer), self.network.params)  # what that makes is the copy's

    def run_alone(self, data: Data, order: NDArray[np.int64], stop: threading.Event) -> NDArray[np.float64]:
        """As run, on this thread alone and until `stop` is set."""
        return self._run(data, order, n=1, goes_on=lambda: not stop.is_set())

    @property
    def noted(self) -> Any:
        """An object that is another one after each look."""
        return self._operations

    def reporter(self, reason: str) -> Callable[[int], str]:
        """What writes the report of a step of so many samples, as the network and the optimizer are now."""
        loss, optimizer = type(self._loss).__name__, type(self.optimizer).__name__
        operations = [replace(operation, affine=operation.affine is not None or None) for operation in self._operations]
        return partial(report, operations, loss, optimizer, len(self.optimizer.state_names), self._dtype)

    def flops(self, batch: int, share_used: float = 1.0) -> float:
        """Useful floating-point operations of one step; the first layer multiplies such a share of its inputs."""
        each = [operation.flops(batch, n == 0) for n, operation in enumerate(self._operations)]
        return share_used * each[0] + sum(each[1:])

    def _data(self, x: Any, t: Any, order: Any, scale: float, sparse: bool | None) -> tuple[Data, NDArray[np.int64]]:
        x, t, order = run_arguments(x, t, order, scale, sparse)
        if isinstance(x, LayerData):  # prepared while the layers took the steps
            x, t = x.x, x.t
        if isinstance(x, Data):
            x.check_fits(*self.takes[:3])
            return x, checked_order(order, x.samples)
        data = self.prepare(x, t, scale=scale, sparse=sparse)
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
        states = _states(optimizer, params)
        batch = order.shape[1]
        work = self._workspace
        if work is None or work.capacity < batch:
            work = self._workspace = Workspace(self._operations, self._dtype, batch, learns=True)
        flops = self.flops(batch, data.share_used)
        most = n or launch.threads_for(flops)
        run, samples = work.run_for(data, optimizer.kind, decay, batch, most), data.table()
        pace = work.pace(batch, most)
        work.numbers[: len(numbers)], work.settings.eps = numbers, self._loss.eps
        slice_ = int(min(MOST_STEPS_OF_A_SLICE, max(1, FLOPS_OF_A_SLICE // max(1, flops))))
        work.point_at(params, states, min(slice_, len(order)))
        run.samples, run.N, run.stops = addressof(samples), batch, stops
        losses = np.full(len(order), np.nan)
        taken = 0

        def count(steps: int) -> None:  # also when Ctrl-C comes
            optimizer.advance(steps)
            done(losses[taken : taken + steps])

        while taken < len(order):
            n, tries = pace.next()
            part = order[taken : taken + (max(1, slice_ // launch.TRIAL) if tries else slice_)]
            now = optimizer.rates(len(part)) if rates is None else rates[taken : taken + len(part)]
            sizes = optimizer.step_sizes(now)
            run.steps, run.order, run.rates = len(part), address(part), address(sizes)
            run.losses = address(losses[taken:])
            begin = time.perf_counter()
            steps = launch.run(run, self._dtype, n, count)
            pace.took(n, steps, time.perf_counter() - begin)
            taken += steps
            if steps < len(part):
                return losses[: taken + 1]
            if not goes_on():
                break
        return losses[:taken]


def _states(optimizer: Any, params: Any) -> Any:
    """The arrays of the optimizer's state. ValueError for one that the loop can't pass over element by element."""
    states = optimizer.state_for(params)
    for name, arrays in states.items():
        if not all(array.flags.carray for array in arrays):
            raise ValueError(f"the optimizer's state of {name} must be writable, C-contiguous arrays")
    return states


def check_optimizer(optimizer: Any, reads: Reads) -> None:
    """NotCompilable unless this is one of the loop's optimizers, and its methods are the library's."""
    cls = reads.attribute(optimizer, "__class__")
    if cls not in OPTIMIZERS or cls is not type(optimizer):
        raise NotCompilable(f"{cls.__module__}.{cls.__name__} is no optimizer that the compiled loop knows")
    check_unchanged(optimizer, cls, reads)
    own, states = reads.dict_of(optimizer), []
    for name in optimizer.state_names:
        arrays = reads.item(own, name)
        if arrays is not None and type(arrays) is not dict:
            raise NotCompilable(f"the optimizer's {name} is a {type(arrays).__name__}, no dict")
        if arrays is not None:
            reads.contents(arrays)
            states += [(f"{name} of {key}", array) for key, array in arrays.items()]
    for name, array in states:
        if type(array) is not np.ndarray or not array.flags.c_contiguous:
            raise NotCompilable(f"the optimizer's {name} is no C-contiguous array")


def _are_numbers(optimizer: Any) -> bool:
    """Whether no hyperparameter is an object that may be another number at each step, but for an lr that says which."""
    return all(type(each) in _PLAIN for name, each in vars(optimizer).items() if not (name == "lr" and callable(each)))
