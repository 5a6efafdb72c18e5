"""Trainers, callbacks and optimizers of a user's own: what they override is called, what they change counts."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from book_networks import BookNet
from chains import COMPILES, zeros_mostly
from checks import close
from processes import python

import fastbp
from fastbp import SGD, Adam, Momentum, Trainer
from fastbp.networks.accuracy import share_right

N, BATCH, EPOCHS = 40, 8, 3
T = np.random.default_rng(3).integers(0, 3, N)
SAMPLES: dict[str, Callable[[], Any]] = {
    "dense": lambda: np.random.default_rng(1).standard_normal((N, 6)),
    "compressed": lambda: zeros_mostly(N, 6, share=0.15),
    "compressed float32": lambda: zeros_mostly(N, 6, "float32", share=0.15),
    "bytes": lambda: np.random.default_rng(2).integers(0, 4, (N, 6)).astype(np.uint8),
    "float16": lambda: np.random.default_rng(1).standard_normal((N, 6)).astype(np.float16),
    "columns": lambda: np.asfortranarray(np.random.default_rng(1).standard_normal((N, 6))),
}


def trainer(network: Any, x: Any, t: Any, cls: Any = Trainer, **arguments: Any) -> Any:
    given = {"optimizer": SGD(0.1), "verbose": False, "rng": np.random.default_rng(6)} | arguments
    return cls(network, x, t, x, t, EPOCHS, BATCH, **given)


def by_hand(network: Any, x: Any, t: Any, change: Any = None, optimizer: Any = None) -> list[float]:
    """What a trainer does, by the network's own methods; `change(epoch, x, t)` is called after each epoch."""
    rng, losses, optimizer = np.random.default_rng(6), [], optimizer or SGD(0.1)
    for epoch in range(1, EPOCHS + 1):
        for batch in rng.permutation(N).reshape(-1, BATCH):
            losses.append(float(network.loss(x[batch], t[batch])))
            optimizer.update(network.params, network.gradient(x[batch], t[batch]))
        if change:
            change(epoch, x, t)
    return losses


# What callbacks change in the data ------------------------------------------------------------------------------------


def one_element(epoch: int, x: Any, t: Any) -> None:
    x[3, 2] += 1


def signs(epoch: int, x: Any, t: Any) -> None:
    x *= -1 if x.dtype.kind == "f" else 1
    x += 0 if x.dtype.kind == "f" else 1


def swapped_rows(epoch: int, x: Any, t: Any) -> None:
    x[[0, 5]] = x[[5, 0]]


def swapped_halves(epoch: int, x: Any, t: Any) -> None:
    x[:] = np.concatenate([x[N // 2 :], x[: N // 2]])


def to_zero(epoch: int, x: Any, t: Any) -> None:
    x[: 10 * epoch] = 0


def last_element(epoch: int, x: Any, t: Any) -> None:
    x[-1, -1] = epoch


def labels(epoch: int, x: Any, t: Any) -> None:
    t[:] = (t + 1) % 3


def one_label(epoch: int, x: Any, t: Any) -> None:
    t[-1] = (t[-1] + 1) % 3


def only_once(epoch: int, x: Any, t: Any) -> None:
    if epoch == 2:
        x[:, 0] = 1


def there_and_back(epoch: int, x: Any, t: Any) -> None:
    x[7], x[8] = x[8].copy(), x[7].copy()


CHANGES = [one_element, signs, swapped_rows, swapped_halves, to_zero, last_element, labels, one_label, only_once]
CHANGES += [there_and_back]


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_callback_changes_in_the_data_is_used(make: Any, change: Any) -> None:
    network, expected, x, t = BookNet(), BookNet(), make(), T.copy()
    loop = trainer(network, x, t, callbacks=[lambda loop: change(loop.current_epoch, loop.x_train, loop.t_train)])
    loop.train()
    losses = by_hand(expected, make(), T.copy(), change)
    close(loop.train_loss_list, losses, 1e-5 if x.dtype == np.float16 else 1e-12, "losses")
    assert loop.runs == "compiled loop" or not COMPILES
    close(network.params["W1"], expected.params["W1"], 1e-5 if x.dtype == np.float16 else 1e-12, "W1")


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES)
def test_accuracies_are_those_of_the_changed_data(make: Any) -> None:
    network, x, t = fastbp.TwoLayerNet(6, 5, 3, 0.5, rng=np.random.default_rng(7)), make(), T.copy()
    seen = []

    def change(loop: Any) -> None:
        seen.append(share_right(network.predict(loop.x_train), loop.t_train))
        swapped_halves(1, x, t)
        labels(1, x, t)

    loop = trainer(network, x, t, callbacks=[change])
    loop.train()
    assert loop.train_acc_list == loop.test_acc_list == seen


def test_a_network_that_changes_the_data_in_its_accuracy() -> None:
    class Shifting(BookNet):
        def accuracy(self, x: Any, t: Any) -> float:
            x += 1
            return 0.5

    x, other = SAMPLES["compressed"](), SAMPLES["compressed"]()
    network, expected = Shifting(), BookNet()
    loop = Trainer(network, x, T, other, T, EPOCHS, BATCH, SGD(0.1), verbose=False, rng=np.random.default_rng(6))
    loop.train()

    def change(epoch: int, x: Any, t: Any) -> None:
        x += 1

    close(loop.train_loss_list, by_hand(expected, SAMPLES["compressed"](), T, change), 1e-12, "losses")


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES)
def test_steps_one_by_one_see_each_change(make: Any) -> None:
    network, expected, x, t = BookNet(), BookNet(), make(), T.copy()
    loop, rng = trainer(network, x, t), np.random.default_rng(6)
    batches = rng.permutation(N).reshape(-1, BATCH)
    for n, batch in enumerate(batches):
        loss = float(expected.loss(x[batch], t[batch]))
        SGD(0.1).update(expected.params, expected.gradient(x[batch], t[batch]))
        assert loop.train_step() == pytest.approx(loss, rel=1e-5 if x.dtype == np.float16 else 1e-12)
        swapped_halves(n, x, t)
        one_label(n, x, t)


# Trainers of one's own ------------------------------------------------------------------------------------------------


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


# Optimizers of one's own ----------------------------------------------------------------------------------------------


class Halved(SGD):
    def update(self, params: Any, grads: Any) -> None:
        super().update(params, {name: 0.5 * grad for name, grad in grads.items()})


class Ascending(Momentum):
    def scalars(self, step: int = 1) -> Any:
        lr, momentum = super().scalars(step)
        return -lr, momentum


class Frozen(Adam):
    """W1 stays what it is."""

    def update(self, params: Any, grads: Any) -> None:
        super().update(params, grads | {"W1": 0 * grads["W1"]})


class Foreign:
    def update(self, params: Any, grads: Any) -> None:
        for name in params:
            params[name] -= 0.1 * np.sign(grads[name])


def wrapped(kind: Any) -> Any:
    def make() -> Any:
        optimizer = kind(0.1)
        update = optimizer.update
        optimizer.update = lambda params, grads: update(params, {k: np.clip(g, -0.01, 0.01) for k, g in grads.items()})
        return optimizer

    return make


def bound(kind: Any) -> Any:
    """An update that stands in the class of another."""

    def make() -> Any:
        optimizer = kind(0.1)
        optimizer.update = Foreign().update
        return optimizer

    return make


OPTIMIZERS: dict[str, Any] = {
    "halved": lambda: Halved(0.1),
    "ascending": lambda: Ascending(0.01),
    "frozen": lambda: Frozen(0.01),
    "foreign": Foreign,
    "wrapped SGD": wrapped(SGD),
    "wrapped Momentum": wrapped(Momentum),
    "wrapped AdaGrad": wrapped(fastbp.AdaGrad),
    "wrapped RMSprop": wrapped(fastbp.RMSprop),
    "wrapped Adam": wrapped(Adam),
    "wrapped Nesterov": wrapped(fastbp.Nesterov),
    "bound": bound(SGD),
    "bound Adam": bound(Adam),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_of_ones_own_take_their_steps(make: Any) -> None:
    networks = [BookNet() for _ in range(3)]
    x = SAMPLES["dense"]()
    loop = trainer(networks[0], x, T, optimizer=make())
    loop.train()
    losses = by_hand(networks[1], x, T, optimizer=make())
    assert loop.train_loss_list == losses
    assert loop.runs.startswith("layer by layer: ")
    order = np.concatenate([np.random.default_rng(6).permutation(N).reshape(-1, BATCH)])
    assert fastbp.compile(networks[2], make()).run(x, T, order).tolist() == losses[: len(order)]


def test_a_rate_that_a_callback_changes_stays_compiled() -> None:
    network, expected, optimizer = BookNet(), BookNet(), SGD(0.1)

    def slower(loop: Any) -> None:
        loop.optimizer.lr *= 0.5

    def also(epoch: int, x: Any, t: Any) -> None:
        optimizer.lr *= 0.5

    loop = trainer(network, SAMPLES["dense"](), T, callbacks=[slower])
    loop.train()
    close(loop.train_loss_list, by_hand(expected, SAMPLES["dense"](), T, also, optimizer), 1e-12, "losses")
    assert loop.runs == "compiled loop" or not COMPILES


@pytest.mark.skipif(not COMPILES, reason="nothing is compiled")
def test_runs_says_what_did_happen() -> None:
    network = BookNet()

    def patch(loop: Any) -> None:
        if loop.current_epoch == 2:
            gradient = network.gradient
            network.gradient = lambda x, t: gradient(x, t)

    loop = trainer(network, SAMPLES["dense"](), T, callbacks=[patch])
    assert loop.runs == "no step yet"
    loop.train()
    assert loop.runs.startswith("10 steps compiled loop; 5 steps layer by layer: BookNet has a gradient of its own")
    del network.gradient
    assert loop.runs.startswith("10 steps compiled loop; 5 steps layer by layer: ")
