"""The training loop: epochs of mini-batches, with the book's arguments and lists."""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import _arrays, _checks, optimizers
from fastbp._checks import generator, whole_number
from fastbp._parameters import holders, layers_of, not_held
from fastbp.engine import CompiledStep, NotCompilable, predict
from fastbp.engine.data import Data, LayerData
from fastbp.engine.layerwise import classes_of, loss_and_gradient
from fastbp.kernels import cache
from fastbp.networks import TwoLayerNet, share_right

COMPILING = "compiling the kernels: once, for up to a minute, then they are kept"

OPTIMIZERS: dict[str, type[optimizers.Optimizer]] = {
    "sgd": optimizers.SGD,
    "momentum": optimizers.Momentum,
    "nesterov": optimizers.Nesterov,
    "adagrad": optimizers.AdaGrad,
    "rmsprop": optimizers.RMSprop,
    "adam": optimizers.Adam,
}


class Trainer:
    """Trains a network on mini-batches (the book's `common/trainer.py`).

    The data are arrays, or lists, with a row a sample. A `mini_batch_size` beyond the number of samples means all.
    `optimizer` is a name ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam") with its arguments in
    `optimizer_param` (None: lr=0.01 for each, as in the book), or an object with `update(params, grads)`.
    `sampling="shuffle"` takes each sample once an epoch, in an order drawn from `rng` (None: NumPy's global state);
    `"choice"` draws with replacement, as the book does. `evaluate_sample_num_per_epoch` is how many samples, from the
    front, the accuracies are taken on (None: all). Each callback is called with the trainer after each epoch. A loss
    that is NaN raises FloatingPointError before the step changes anything, unless `on_nan="ignore"`.

    ValueError and TypeError for arguments that don't fit, among them labels that a plain `TwoLayerNet` can't take;
    ValueError from the training, naming the parameter, when the network has layers and none of them holds it
    (`params["W1"] is layer.W`): it would not be trained.

    A network and an optimizer that `fastbp.compile` knows are trained in its compiled loop, others by their own
    methods; `runs` says which. Data are read where they lie, but in the compiled loop samples that are mostly zeros
    and labels are copied when `train` begins.

    `train_loss_list` has the loss before each update, `train_acc_list` and `test_acc_list` the accuracies (0 to 1)
    after each epoch, `current_epoch` and `current_iter` how many of each are done.
    """

    def __init__(
        self,
        network: Any,
        x_train: ArrayLike,
        t_train: ArrayLike,
        x_test: ArrayLike,
        t_test: ArrayLike,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: Any = "SGD",
        optimizer_param: Mapping[str, Any] | None = None,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
        *,
        rng: np.random.Generator | None = None,
        sampling: Literal["shuffle", "choice"] = "shuffle",
        callbacks: Iterable[Callable[["Trainer"], object]] = (),
        on_nan: Literal["raise", "ignore"] = "raise",
    ) -> None:
        if evaluate_sample_num_per_epoch is not None:
            whole_number(evaluate_sample_num_per_epoch, "evaluate_sample_num_per_epoch", 1)
        if sampling not in ("shuffle", "choice"):
            raise ValueError(f'sampling must be "shuffle" or "choice", got {sampling!r}')
        if on_nan not in ("raise", "ignore"):
            raise ValueError(f'on_nan must be "raise" or "ignore", got {on_nan!r}')
        self.network = network
        self.x_train, self.t_train = _data(network, x_train, t_train, "train")
        self.x_test, self.t_test = _data(network, x_test, t_test, "test")
        self.epochs = whole_number(epochs, "epochs", 0)
        self.batch_size = min(whole_number(mini_batch_size, "mini_batch_size", 1), len(self.x_train))
        self.optimizer = _optimizer(optimizer, optimizer_param)
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.verbose = verbose
        self.rng = generator(rng)
        self.sampling = sampling
        self.callbacks = tuple(callbacks)
        self.on_nan = on_nan

        steps = len(self.x_train) / self.batch_size
        # With replacement there is no last, smaller batch.
        self.iter_per_epoch = math.ceil(steps) if sampling == "shuffle" else math.floor(steps)
        self.max_iter = self.epochs * self.iter_per_epoch
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []
        self._order: NDArray[np.intp] = np.empty(0, np.intp)
        self._holders: list[tuple[str, Any, str]] | None = None
        self._engine: tuple[CompiledStep, Data] | None = None
        self._compressed: dict[str, Data] = {}  # the data that accuracies are taken on, where zeros are skipped
        self._looked_at: tuple[Any, ...] = ()  # what the engine was looked for with

    @property
    def runs(self) -> str:
        """How the steps are taken: "compiled loop", or "layer by layer" and why."""
        try:
            CompiledStep(self.network, self.optimizer)
        except NotCompilable as error:
            return f"layer by layer: {error}"
        return "compiled loop"

    def train_step(self) -> float:
        """One mini-batch: forward, backward, update. Returns the loss before the update."""
        compiled = self._find_engine()
        self._check_holders()
        batch = self._next_batch()
        if compiled:
            self._run(batch[None])
            return self.train_loss_list[-1]
        loss, gradients = loss_and_gradient(self.network, self.x_train[batch], self.t_train[batch])
        if math.isnan(loss) and self.on_nan == "raise":
            raise self._nan()
        self.optimizer.update(self.network.params, gradients)
        self._note([loss])
        return loss

    def train(self) -> None:
        """All epochs that are left, an accuracy on training and test data after each."""
        with says_it_compiles(print) if self.verbose else nullcontext():
            self._train()

    def _train(self) -> None:
        self._looked_at = ()  # layers may have been replaced since, and labels changed
        while self.current_epoch < self.epochs:
            end = (self.current_epoch + 1) * self.iter_per_epoch
            while self.current_iter < end:
                if self._find_engine():
                    self._check_holders()
                    self._run_batches(end - self.current_iter)
                else:
                    self.train_step()
            self._finish_epoch()

    def _find_engine(self) -> bool:
        """Whether the compiled loop takes the steps; it and the data are prepared once, and when any is replaced."""
        data = self.x_train, self.t_train, self.x_test, self.t_test
        now = (*data, self.network, self.optimizer, *layers_of(self.network))
        try:
            if len(self._looked_at) != len(now) or not all(map(operator.is_, self._looked_at, now)):
                self._holders, self._engine, self._compressed, self._looked_at = None, None, {}, now
                self._prepare(CompiledStep(self.network, self.optimizer))
            elif self._engine is not None:
                self._engine[0].bind()
        except NotCompilable:
            self._engine, self._compressed = None, {}
        return self._engine is not None

    def _prepare(self, step: CompiledStep) -> None:
        train = step.prepare(self.x_train, self.t_train)
        self._engine = step, train
        if train.is_sparse and _scores_are_predicted(self.network):
            self._compressed = {"train": train, "test": step.prepare(self.x_test, self.t_test, sparse=True)}

    def _run_batches(self, steps: int) -> None:
        """So many steps, as far as their batches are drawn and of one size."""
        batches = [self._next_batch()]
        while len(batches) < steps:
            following = self._next_batch(ahead=len(batches))
            batches.append(following)
            if len(following) < self.batch_size:
                break
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        for run in (whole, batches[len(whole) :]):
            if run:
                self._run(np.array(run))

    def _run(self, order: NDArray[np.intp]) -> None:
        assert self._engine is not None
        step, data = self._engine
        stops = self.on_nan == "raise"
        losses = step.run_noting(data, order, lambda some: self._note(some.tolist()), stops=stops)
        if stops and len(losses) and math.isnan(losses[-1]):
            raise self._nan()

    def _note(self, losses: list[float]) -> None:
        self.train_loss_list += losses
        self.current_iter += len(losses)

    def _nan(self) -> FloatingPointError:
        return FloatingPointError(
            f"the loss is NaN at step {self.current_iter + 1}: try a smaller learning rate, and look for NaN "
            "in the data"
        )

    def _check_holders(self) -> None:
        """ValueError when a parameter isn't its layer's any more. The search takes 10 µs, once; then this takes 0.3."""
        if self._holders is None:
            self._holders = holders(self.network) if layers_of(self.network) else []
        params = self.network.params
        for name, layer, key in self._holders:
            if params[name] is not getattr(layer, key):
                raise not_held(name)

    def _next_batch(self, ahead: int = 0) -> NDArray[np.intp]:
        samples = len(self.x_train)
        draw: Any = np.random if self.rng is None else self.rng
        if self.sampling == "choice":
            return np.asarray(draw.choice(samples, self.batch_size))
        start = (self.current_iter + ahead) % self.iter_per_epoch * self.batch_size
        if start == 0:
            self._order = draw.permutation(samples)
        return self._order[start : start + self.batch_size]

    def _finish_epoch(self) -> None:
        count = self.evaluate_sample_num_per_epoch
        self.train_acc_list.append(self._accuracy("train", self.x_train[:count], self.t_train[:count]))
        self.test_acc_list.append(self._accuracy("test", self.x_test[:count], self.t_test[:count]))
        self.current_epoch += 1
        if self.verbose:
            print(epoch_line(self))
        for callback in self.callbacks:
            callback(self)

    def _accuracy(self, which: str, x: NDArray[Any], t: NDArray[Any]) -> float:
        if which in self._compressed:
            return share_right(predict(self.network, self._compressed[which].first(len(x))), t)
        return float(self.network.accuracy(x, t))


@contextmanager
def says_it_compiles(say: Callable[[str], object]) -> Iterator[None]:
    """A block in which the first kernel that is compiled is announced: the training loop takes half a minute."""
    with ExitStack() as watch:

        def tell(kernel: str) -> None:
            watch.close()  # once is enough
            say(COMPILING)

        watch.enter_context(cache.watching(tell))
        yield


def epoch_line(trainer: Trainer) -> str:
    """The last epoch in one line: its number, the accuracy on the training and on the test data."""
    return (
        f"epoch {trainer.current_epoch:>3}  "
        f"train {trainer.train_acc_list[-1]:.4f}  test {trainer.test_acc_list[-1]:.4f}"
    )


def _scores_are_predicted(network: Any) -> bool:
    """Whether the network's accuracy is that of the scores which `fastbp.predict` computes."""
    return isinstance(network, TwoLayerNet) and all(
        method not in vars(network) and getattr(type(network), method) is getattr(TwoLayerNet, method)
        for method in ("accuracy", "predict")
    )


def _optimizer(optimizer: Any, arguments: Mapping[str, Any] | None) -> Any:
    if not isinstance(optimizer, str):
        _checks.optimizer(optimizer, "must be a name or")
        if arguments is not None:
            raise ValueError(f"optimizer_param goes with an optimizer's name, not with the object {optimizer!r}")
        return optimizer
    if optimizer.lower() not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {sorted(OPTIMIZERS)}, got {optimizer!r}")
    return OPTIMIZERS[optimizer.lower()](**({"lr": 0.01} if arguments is None else arguments))


def _data(network: Any, samples: ArrayLike, labels: ArrayLike, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples and labels as arrays with as many rows; labels that the network could not take are refused."""
    if hasattr(samples, "tocsr") or isinstance(samples, Data | LayerData):
        what = "a scipy.sparse matrix" if hasattr(samples, "tocsr") else "prepared data"
        raise TypeError(f"x_{name} is {what}, but Trainer takes arrays: those of fastbp.compile(...).run may be that")
    x, t = np.asanyarray(samples), np.asanyarray(labels)
    for array, letter in ((x, "x"), (t, "t")):
        if array.ndim == 0:
            raise ValueError(f"{letter}_{name} must have a row for each sample, got a single value")
    if len(x) == 0:
        raise ValueError(f"x_{name} is empty: expected at least one sample")
    if len(x) != len(t):
        raise ValueError(f"x_{name} has {len(x)} samples, but t_{name} has {len(t)} labels")
    classes = classes_of(network)
    if classes is not None:
        try:
            _arrays.targets(t, (len(t), classes), _arrays.FLOAT64)
        except (TypeError, ValueError) as error:
            raise type(error)(f"t_{name} doesn't go with the network: {error}") from None
    return x, t
