"""The training loop: epochs of mini-batches, with the book's arguments and lists."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import originals
from fastbp.boundary.arguments import generator, whole_number
from fastbp.chain import Chain
from fastbp.engine import predict
from fastbp.engine.clipping import clipped, max_norm_of
from fastbp.engine.compiled_step import CompiledStep
from fastbp.engine.data import Data
from fastbp.engine.followed import Followed
from fastbp.engine.labels import check_of, check_samples, rows_of
from fastbp.engine.layer_step import LayerStep
from fastbp.engine.training_step import TrainingStep
from fastbp.networks.accuracy import share_right
from fastbp.optimizers.by_name import optimizer_of
from fastbp.originals import original
from fastbp.reads import Reads
from fastbp.system.compilation import says_it_compiles

_SCORING = ("accuracy", "_scores", "predict")  # the methods of a network that say how many samples are right


@original
class Trainer:
    """Trains a network on mini-batches (the book's `common/trainer.py`).

    The data are arrays, or lists, with a row a sample. A `mini_batch_size` beyond the number of samples means all.
    `optimizer` is a name ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam") with its arguments in
    `optimizer_param` (None: lr=0.01 for each, as in the book), or an object with `update(params, grads)`.
    `sampling="shuffle"` takes each sample once an epoch, in an order drawn from `rng` (None: NumPy's global state);
    `"choice"` draws with replacement, as the book does. `evaluate_sample_num_per_epoch` is how many samples, from the
    front, the accuracies are taken on (None: all). Each callback is called with the trainer after each epoch. A loss
    that is NaN raises FloatingPointError before the step changes anything, unless `on_nan="ignore"`. `max_norm` clips
    the gradients of a step, as in `fastbp.compile`.

    ValueError and TypeError for arguments that don't fit, among them data that the network is sure to refuse;
    ValueError from the training, naming the parameter, when one came apart from its layer, which has another array in
    its place: it would not be trained.

    At the start and after each epoch the trainer looks whether `fastbp.compile`'s loop does the same as the network and
    the optimizer: then it takes the steps, else they do; `runs` says who did. A `train_step` of a subclass is called
    for each step. What callbacks change counts from the next epoch on, the values of samples and labels too, but not
    their number.

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
        max_norm: float | None = None,
    ) -> None:
        if evaluate_sample_num_per_epoch is not None:
            whole_number(evaluate_sample_num_per_epoch, "evaluate_sample_num_per_epoch", 1)
        if sampling not in ("shuffle", "choice"):
            raise ValueError(f'sampling must be "shuffle" or "choice", got {sampling!r}')
        if on_nan not in ("raise", "ignore"):
            raise ValueError(f'on_nan must be "raise" or "ignore", got {on_nan!r}')
        self.network = network
        chain = Chain(network)
        labels = check_of(chain, Reads())
        self.x_train, self.t_train = rows_of(labels, x_train, t_train, "train")
        self.x_test, self.t_test = rows_of(labels, x_test, t_test, "test")
        if labels is not None and not self._has_own_steps():  # which may make others of them
            check_samples(chain, self.x_train, "x_train")
            if _accuracy_takes_samples_as_they_are(network):
                check_samples(chain, self.x_test, "x_test")
        self.train_size = len(self.x_train)
        self.epochs = whole_number(epochs, "epochs", 0)
        self.batch_size = min(whole_number(mini_batch_size, "mini_batch_size", 1), len(self.x_train))
        self.optimizer = optimizer_of(optimizer, optimizer_param)
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.verbose = verbose
        self.rng = generator(rng)
        self.sampling = sampling
        self.callbacks = tuple(callbacks)
        self.on_nan = on_nan
        self.max_norm = max_norm_of(max_norm)

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
        self._step: TrainingStep | None = None
        self._followed = {"train": Followed(), "test": Followed()}
        self._ran: dict[str, int] = {}  # steps, by what took them
        self._skips_zeros = False  # whether the last steps did
        self._may_have_changed: set[str] = set()  # which data, by code of the user's own
        self._say: Callable[[str], object] = print

    @property
    def runs(self) -> str:
        """What took the steps: "compiled loop", or "layer by layer" and why; with their numbers where both did."""
        ran, own = dict(self._ran), self.current_iter - sum(self._ran.values())
        if own > 0:
            ran["by a train_step of its own"] = own
        if len(ran) < 2:
            return next(iter(ran), "no step yet")
        return "; ".join(f"{steps} steps {by}" for by, steps in ran.items())

    def train_step(self) -> float:
        """One mini-batch: forward, backward, update. Returns the loss before the update. Errors as the class says."""
        runner = self._runner()
        return self._take(runner, self._next_batch())

    def train(self) -> None:
        """All epochs that are left, an accuracy on training and test data after each. Errors as the class says."""
        with says_it_compiles(self._say) if self.verbose else nullcontext():
            self._train()

    def _train(self) -> None:
        self._followed = {"train": Followed(), "test": Followed()}  # the arrays may have changed
        while self.current_epoch < self.epochs:
            epoch = self.current_epoch
            end = (epoch + 1) * self.iter_per_epoch
            runner = None if self._has_own_steps() else self._runner()
            while self.current_iter < end:
                if runner is None:
                    self._step_of_its_own()
                elif isinstance(runner, CompiledStep):
                    self._run_batches(runner, end - self.current_iter)
                else:
                    self._take(runner, self._next_batch())
            self.current_epoch = epoch  # the book's own train_step counts epochs too
            self._finish_epoch()

    def _step_of_its_own(self) -> None:
        """`train_step` of a subclass, which may or may not count."""
        before = self.current_iter
        self.train_step()
        if self.current_iter == before:
            self.current_iter += 1

    def _has_own_steps(self) -> bool:
        """Whether a subclass, or this object, has anything under a name of its own or of a method: all may matter."""
        cls = type(self)
        own = originals.attributes(Trainer)
        return bool(
            originals.own_attributes(cls, Trainer) or originals.changed(Trainer) or vars(self).keys() & set(own)
        )

    def _runner(self) -> CompiledStep | LayerStep:
        """What takes the next steps: the compiled loop, where that does the same as network and optimizer now."""
        step, max_norm = self._step, vars(self).get("max_norm")  # which earlier releases' pickles lack
        if (
            step is None
            or step.network is not self.network
            or step.optimizer is not self.optimizer
            or step.max_norm != max_norm
        ):
            step = self._step = TrainingStep(self.network, self.optimizer, max_norm=max_norm)
        return step.runner(self.x_train, self.t_train)

    def _take(self, runner: CompiledStep | LayerStep, batch: NDArray[np.intp]) -> float:
        """A step on the samples of this batch."""
        x, t = self.x_train[batch], self.t_train[batch]
        self._skips_zeros = False
        if isinstance(runner, CompiledStep):
            self._run(runner, runner.prepare(x, t, sparse=False), np.arange(len(batch))[None])
            return self.train_loss_list[-1]
        assert self._step is not None
        loss, gradients = runner.loss_and_gradient(x, t)
        if math.isnan(loss) and self.on_nan == "raise":
            raise self._nan()
        self.optimizer.update(self.network.params, clipped(gradients, self.network.params, self._step.max_norm))
        self._note([loss], f"layer by layer: {self._step.refusal}")
        return loss

    def _data(self, which: str, step: CompiledStep) -> Data:
        """The training or test data as the compiled loop takes them: the test data where zeros are skipped."""
        x, t = (self.x_train, self.t_train) if which == "train" else (self.x_test, self.t_test)
        sparse, changed = None if which == "train" else True, which in self._may_have_changed
        data = self._followed[which].data(step, x, t, sparse=sparse, watched=self._runs_foreign_code(), changed=changed)
        self._may_have_changed.discard(which)
        return data

    def _runs_foreign_code(self) -> bool:
        """Whether code of the user's own runs between two epochs, and may change the data."""
        return bool(self.callbacks) or type(self) is not Trainer or not _accuracy_is_ours(self.network)

    def _run_batches(self, step: CompiledStep, steps: int) -> None:
        """So many steps, as far as their batches are of one size."""
        data = self._data("train", step)
        self._skips_zeros = data.skips_zeros
        # Each batch with replacement is drawn before what the layers draw for it, perhaps from the same stream.
        batches = self._draw_batches(1 if self.sampling == "choice" and step.draws else steps)
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        for run in (whole, batches[len(whole) :]):
            if run:
                self._run(step, data, np.array(run))

    def _run(self, step: CompiledStep, data: Data, order: NDArray[np.intp]) -> None:
        stops = self.on_nan == "raise"
        losses = step.run_noting(data, order, lambda some: self._note(some.tolist(), "compiled loop"), stops=stops)
        if stops and len(losses) and math.isnan(losses[-1]):
            raise self._nan()

    def _note(self, losses: list[float], by: str) -> None:
        self.train_loss_list += losses
        self.current_iter += len(losses)
        if losses:
            self._ran[by] = self._ran.get(by, 0) + len(losses)

    def _nan(self) -> FloatingPointError:
        return FloatingPointError(
            f"the loss is NaN at step {self.current_iter + 1}: try a smaller learning rate, and look for NaN "
            "in the data"
        )

    def _next_batch(self) -> NDArray[np.intp]:
        """The indices of the next step's samples."""
        return self._draw_batches(1)[0]

    def _draw_batches(self, steps: int) -> list[NDArray[np.intp]]:
        """Those of the next steps, up to a last batch that is smaller. ValueError for another number of samples."""
        samples = len(self.x_train)
        if samples != self.train_size or len(self.t_train) != samples:
            raise ValueError(
                f"the trainer was made for {self.train_size} samples, and has {samples} and {len(self.t_train)} labels "
                "now: their values may be changed, for another number make another Trainer"
            )
        draw: Any = np.random if self.rng is None else self.rng
        if self.sampling == "choice":
            return [np.asarray(draw.choice(samples, self.batch_size)) for _ in range(steps)]
        batches: list[NDArray[np.intp]] = []
        for ahead in range(steps):
            start = (self.current_iter + ahead) % self.iter_per_epoch * self.batch_size
            if start == 0:
                self._order = draw.permutation(samples)
            batches.append(self._order[start : start + self.batch_size])
            if len(batches[-1]) < self.batch_size:
                break
        return batches

    def _finish_epoch(self) -> None:
        count = self.evaluate_sample_num_per_epoch
        train = self._accuracy("train", self.x_train[:count], self.t_train[:count])
        test = self._accuracy("test", self.x_test[:count], self.t_test[:count])  # Ctrl-C may come before it is there
        self.train_acc_list.append(train)
        self.test_acc_list.append(test)
        self.current_epoch += 1
        if self.verbose:
            self._say(epoch_line(self))
        for callback in self.callbacks:
            callback(self)
        if self._runs_foreign_code():
            self._may_have_changed = {"train", "test"}

    def _accuracy(self, which: str, x: NDArray[Any], t: NDArray[Any]) -> float:
        """The share of samples, 0 to 1, that the network gets right; NaN for one without `accuracy`."""
        runner = self._runner() if self._skips_zeros and _accuracy_is_ours(self.network) else None
        if isinstance(runner, CompiledStep):
            return share_right(predict(self.network, self._data(which, runner).first(len(x))), t)
        if not hasattr(self.network, "accuracy"):
            return math.nan
        return float(self.network.accuracy(x, t))


def epoch_line(trainer: Trainer) -> str:
    """The last epoch in one line: its number, the accuracy on the training and on the test data."""
    return (
        f"epoch {trainer.current_epoch:>3}  "
        f"train {trainer.train_acc_list[-1]:.4f}  test {trainer.test_acc_list[-1]:.4f}"
    )


def _accuracy_is_ours(network: Any) -> bool:
    """Whether the network's accuracy is that of the scores which `fastbp.predict` computes."""
    return originals.defines(type(network), *_SCORING) and not getattr(network, "__dict__", {}).keys() & set(_SCORING)


def _accuracy_takes_samples_as_they_are(network: Any) -> bool:
    """Whether what scores the network's samples is the library's, here or there."""
    cls, own = type(network), getattr(network, "__dict__", {})
    return all(originals.defines(cls, name) for name in _SCORING) and not own.keys() & set(_SCORING)
