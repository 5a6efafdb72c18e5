"""What stands in for the book's `common.trainer`: its schedule, its lists and its lines, in compiled steps."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.book import adoption, comparison
from fastbp.book.optimizer import *  # noqa: F403  # as in the book, for scripts that import * from here
from fastbp.engine.compiled_step import CompiledStep
from fastbp.engine.training_step import TrainingStep
from fastbp.layers import skipping

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "Trainer", "np", "os", "sys"]  # noqa: F405


class Trainer:
    """Trains a network on batches that NumPy's global state draws with replacement, as the book's does.

    Arguments, attributes and printed lines are the book's: the loss is that after each update, an epoch is over
    wherever `current_iter` is a multiple of `iter_per_epoch`, a float, and the first accuracies come after the first
    step. `fastbp.Trainer` is the one for code of your own. ValueError for an unknown optimizer.
    """

    def __init__(
        self,
        network: Any,
        x_train: NDArray[Any],
        t_train: NDArray[Any],
        x_test: NDArray[Any],
        t_test: NDArray[Any],
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: Mapping[str, Any] = {"lr": 0.01},  # nothing writes to it
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        self.network, self.verbose = network, verbose
        self.x_train, self.t_train, self.x_test, self.t_test = x_train, t_train, x_test, t_test
        self.epochs, self.batch_size = epochs, mini_batch_size
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.optimizer = self._optimizer_class(optimizer)(**optimizer_param)
        self.train_size = x_train.shape[0]
        self.iter_per_epoch = max(self.train_size / mini_batch_size, 1)
        self.max_iter = int(epochs * self.iter_per_epoch)
        self.current_iter = self.current_epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []

    def train_step(self) -> None:
        """One step by the network's own methods, on a batch that is drawn for it."""
        self._step(None)

    def train(self) -> None:
        """All `max_iter` steps, then the accuracy on all test samples.

        Steps whose network and optimizer are known to do the same run in the compiled loop: those of the moment, as
        `accuracy` may exchange them. The layers take those that are compared and the last one, so that they hold what
        it left in them.
        """
        compiled = None
        steps = self.max_iter
        for step in range(steps):
            if not self._may_be_compiled():
                self.train_step()
                continue
            if compiled is None:
                compiled = TrainingStep(self.network, self.optimizer)
            compiled.network, compiled.optimizer = self.network, self.optimizer
            self._step(compiled if comparison.batches[0] <= step < steps - 1 else None)
        accuracy = self.network.accuracy(self.x_test, self.t_test)
        if self.verbose:
            print("=============== Final Test Accuracy ===============")
            print(f"test acc:{accuracy}")

    def _step(self, compiled: TrainingStep | None) -> None:
        batch = np.random.choice(self.train_size, self.batch_size)
        x, t = self.x_train[batch], self.t_train[batch]
        runner = None if compiled is None else compiled.runner(x, t)
        if isinstance(runner, CompiledStep):
            runner(x, t)
            adoption.calls[0] += 1
        else:
            self.optimizer.update(self.network.params, self.network.gradient(x, t))
        loss = self.network.loss(x, t)
        self.train_loss_list.append(loss)
        if self.verbose:
            print(f"train loss:{loss}")
        if self.current_iter % self.iter_per_epoch == 0:
            self._finish_epoch()
        self.current_iter += 1

    def _may_be_compiled(self) -> bool:
        """Not with the script's own `train_step`, nor where --dtype asks for another precision than the parameters'.

        The compiled loop computes in that of the parameters. With float64 weights and `--dtype float32` the layers take
        0.77 to 1.04 times as long (784-50-10 to 784-512-512-10, EPYC of Zen 4).
        """
        asked = skipping.precision
        step = type(self).train_step
        if step is not _TRAIN_STEP or step.__code__ is not _CODE or "train_step" in vars(self):
            return False
        return asked is None or all(np.asarray(each).dtype == asked for each in self.network.params.values())

    def _optimizer_class(self, name: str) -> Any:
        """The class of a name, as the module has it that this class stands in: editions differ in Nesterov."""
        classes = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam")
        # The Korean edition, and early Japanese ones, know RMSprop by a misspelt name.
        known = {each.lower(): each for each in classes} | {"rmsprpo": "RMSprop"}
        if name.lower() not in known:
            raise ValueError(f"optimizer must be one of {', '.join(classes)}, got {name!r}")
        return getattr(sys.modules[Trainer.__module__], known[name.lower()])

    def _finish_epoch(self) -> None:
        self.current_epoch += 1
        count = self.evaluate_sample_num_per_epoch
        train = self.network.accuracy(self.x_train[:count], self.t_train[:count])
        test = self.network.accuracy(self.x_test[:count], self.t_test[:count])
        self.train_acc_list.append(train)
        self.test_acc_list.append(test)
        if self.verbose:
            print(f"=== epoch:{self.current_epoch}, train acc:{train}, test acc:{test} ===")


_TRAIN_STEP, _CODE = Trainer.train_step, Trainer.train_step.__code__  # as they were defined
