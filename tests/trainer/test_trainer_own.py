"""Trainers of a user's own: what they override is called, what they change counts."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from book_networks import BookNet
from chains import COMPILES
from checks import close
from processes import python
from trainers import BATCH, EPOCHS, SAMPLES, N, T, by_hand, trainer

import fastbp
from fastbp import SGD, Trainer


class Noisy(Trainer):
    """It adds noise to the samples of each step, and takes it away again."""

    calls = 0

    def train_step(self) -> float:
        self.calls += 1
        noise = np.random.default_rng(self.calls).standard_normal(self.x_train.shape)
        self.x_train += noise
        try:
            return super().train_step()
        finally:
            self.x_train -= noise


class Decaying(Trainer):
    def train_step(self) -> float:
        self.optimizer.lr *= 0.9
        return super().train_step()


class Doubling(Trainer):
    """Two steps on each batch."""

    def _next_batch(self) -> Any:
        return np.repeat(super()._next_batch(), 2)[:BATCH]


class Stopping(Trainer):
    def train_step(self) -> float:
        if self.current_iter == 7:
            raise StopIteration("enough")
        return super().train_step()


class Whole(Trainer):
    """The step is its own from beginning to end."""

    def train_step(self) -> float:
        batch = self._next_batch()
        loss = float(self.network.loss(self.x_train[batch], self.t_train[batch]))
        self.optimizer.update(self.network.params, self.network.gradient(self.x_train[batch], self.t_train[batch]))
        self.train_loss_list.append(loss)
        self.current_iter += 1
        return loss


class Counting(Trainer):
    calls = 0

    def train_step(self) -> float:
        self.calls += 1
        return super().train_step()

    def _finish_epoch(self) -> None:
        self.calls += 100
        super()._finish_epoch()


def test_a_train_step_of_a_subclass_is_called_for_each_step() -> None:
    loop = trainer(BookNet(), SAMPLES["dense"](), T, Counting)
    loop.train()
    assert loop.calls == 15 + 300
    assert len(loop.train_loss_list) == 15
    assert loop.runs == "compiled loop" or not COMPILES


@pytest.mark.parametrize("name", ["dense", "compressed"])
def test_a_train_step_that_changes_the_samples(name: str) -> None:
    network, expected, x = BookNet(), BookNet(), SAMPLES[name]()
    loop = trainer(network, x.copy(), T, Noisy)
    loop.train()
    rng, losses, step = np.random.default_rng(6), [], 0
    for _ in range(EPOCHS):
        for batch in rng.permutation(N).reshape(-1, BATCH):
            step += 1
            noise = np.random.default_rng(step).standard_normal(x.shape)
            x += noise
            losses.append(float(expected.loss(x[batch], T[batch])))
            SGD(0.1).update(expected.params, expected.gradient(x[batch], T[batch]))
            x -= noise
    close(loop.train_loss_list, losses, 1e-12, "losses")


def test_a_train_step_that_changes_the_rate() -> None:
    network, expected = BookNet(), BookNet()
    loop = trainer(network, SAMPLES["dense"](), T, Decaying)
    loop.train()
    rng, optimizer, x = np.random.default_rng(6), SGD(0.1), SAMPLES["dense"]()
    for _ in range(EPOCHS):
        for batch in rng.permutation(N).reshape(-1, BATCH):
            optimizer.lr *= 0.9
            optimizer.update(expected.params, expected.gradient(x[batch], T[batch]))
    close(network.params["W1"], expected.params["W1"], 1e-12, "W1")


def test_batches_of_ones_own() -> None:
    network, expected = BookNet(), BookNet()
    loop = trainer(network, SAMPLES["dense"](), T, Doubling)
    loop.train()
    rng, losses, x = np.random.default_rng(6), [], SAMPLES["dense"]()
    for _ in range(EPOCHS):
        for batch in rng.permutation(N).reshape(-1, BATCH):
            batch = np.repeat(batch, 2)[:BATCH]
            losses.append(float(expected.loss(x[batch], T[batch])))
            SGD(0.1).update(expected.params, expected.gradient(x[batch], T[batch]))
    close(loop.train_loss_list, losses, 1e-12, "losses")


def test_a_train_step_that_stops() -> None:
    loop = trainer(BookNet(), SAMPLES["dense"](), T, Stopping)
    with pytest.raises(StopIteration, match="enough"):
        loop.train()
    assert len(loop.train_loss_list) == loop.current_iter == 7


def test_a_step_that_is_all_its_own() -> None:
    network, expected = BookNet(), BookNet()
    loop = trainer(network, SAMPLES["dense"](), T, Whole)
    loop.train()
    assert loop.train_loss_list == by_hand(expected, SAMPLES["dense"](), T)
    assert loop.runs == "by a train_step of its own"


def test_a_train_step_that_does_not_count() -> None:
    class Silent(Trainer):
        calls = 0

        def train_step(self) -> float:
            self.calls += 1
            return 0.0

    loop = trainer(BookNet(), SAMPLES["dense"](), T, Silent)
    loop.train()
    assert (loop.calls, loop.current_iter, loop.current_epoch) == (15, 15, 3)


def test_the_books_own_train_step() -> None:
    """As its trainer has it: it draws with replacement, and counts steps and epochs."""

    class Book(Trainer):
        def train_step(self) -> None:  # type: ignore[override]
            batch_mask = np.random.choice(self.train_size, self.batch_size)
            x_batch, t_batch = self.x_train[batch_mask], self.t_train[batch_mask]
            self.optimizer.update(self.network.params, self.network.gradient(x_batch, t_batch))
            self.train_loss_list.append(self.network.loss(x_batch, t_batch))
            if self.current_iter % self.iter_per_epoch == 0:
                self.current_epoch += 1
            self.current_iter += 1

    loop = trainer(BookNet(), SAMPLES["dense"](), T, Book)
    loop.train()
    assert (len(loop.train_loss_list), loop.current_iter, loop.current_epoch) == (15, 15, 3)
    assert len(loop.test_acc_list) == 3


@pytest.mark.parametrize("count", [20, 80])
def test_another_number_of_samples(count: int) -> None:
    def resize(loop: Any) -> None:
        loop.x_train, loop.t_train = np.resize(loop.x_train, (count, 6)), np.resize(loop.t_train, count)

    loop = trainer(BookNet(), SAMPLES["dense"](), T, callbacks=[resize])
    with pytest.raises(ValueError, match=f"made for 40 samples, and has {count} and {count} labels now"):
        loop.train()


def test_a_train_step_that_replaced_the_trainers_own() -> None:
    code = """
import numpy as np, fastbp
calls, original = [], fastbp.Trainer.train_step
fastbp.Trainer.train_step = lambda self: (calls.append(1), original(self))[1]
net = fastbp.TwoLayerNet(6, 5, 3)
fastbp.Trainer(net, np.ones((40, 6)), np.zeros(40, int), np.ones((4, 6)), np.zeros(4, int), 2, 8, verbose=False).train()
print(len(calls))
"""
    assert python(code).strip() == "10"


def test_a_network_without_accuracy() -> None:
    class Bare:
        def __init__(self) -> None:
            self.params = {"w": np.zeros(6)}

        def loss(self, x: Any, t: Any) -> float:
            return float(0.5 * np.mean((x @ self.params["w"] - t) ** 2))

        def gradient(self, x: Any, t: Any) -> Any:
            return {"w": x.T @ (x @ self.params["w"] - t) / len(x)}

    x = SAMPLES["dense"]()
    loop = trainer(Bare(), x, x @ np.arange(6.0))
    loop.train()
    assert loop.train_loss_list[-1] < loop.train_loss_list[0]
    assert np.isnan(loop.train_acc_list + loop.test_acc_list).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loop: pickle.loads(pickle.dumps(loop))])
def test_a_trainer_can_be_copied_on_the_way(copied: Any) -> None:
    network = fastbp.TwoLayerNet(6, 5, 3, 0.5, rng=np.random.default_rng(7))
    loop = trainer(network, SAMPLES["compressed"](), T)
    loop.epochs = 2
    loop.train()
    other = copied(loop)
    for each in (loop, other):
        each.epochs = 3
        each.train()
    assert loop.train_loss_list == other.train_loss_list
    assert other.network is not network


def test_a_train_step_of_the_object() -> None:
    loop, calls = trainer(BookNet(), SAMPLES["dense"](), T), []
    original = loop.train_step
    loop.train_step = lambda: (calls.append(1), original())[1]
    loop.train()
    assert len(calls) == 15
