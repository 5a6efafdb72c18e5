"""What callbacks of a user's own change in the data counts."""

from typing import Any

import numpy as np
import pytest
from book_networks import BookNet
from chains import COMPILES
from checks import close
from trainers import BATCH, EPOCHS, SAMPLES, N, T, by_hand, trainer

import fastbp
from fastbp import SGD, Trainer
from fastbp.networks.accuracy import share_right


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
