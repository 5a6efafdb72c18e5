"""A step of the training loop: the loss, the update, NaN, and zeros that are skipped."""

import copy
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from chains import COMPILES, zeros_mostly
from recorder import Recorder, real_data, trainer

from fastbp import SGD, SoftmaxWithLoss, Trainer, TwoLayerNet, datasets

# Steps and optimizers


class Momentum:
    """An optimizer of a user's own."""

    def __init__(self) -> None:
        self.calls = 0

    def update(self, params: Any, grads: Any) -> None:
        self.calls += 1
        params["p"] -= grads["p"] * self.calls


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [-0.06, -0.12]),
        ({"optimizer": "sgd", "optimizer_param": {}}, [-0.06, -0.12]),
        ({"optimizer": "SGD", "optimizer_param": {"lr": 0.5}}, [-3.0, -6.0]),
        ({"optimizer": SGD(lr=0.25)}, [-1.5, -3.0]),
        ({"optimizer": Momentum()}, [-21.0, -42.0]),
    ],
    ids=["default", "name", "name and rate", "object", "foreign object"],
)
def test_optimizers(arguments: Any, expected: list[float]) -> None:
    network = Recorder()
    array = network.params["p"]
    trainer(network, **arguments).train()  # six steps
    assert network.params["p"] is array
    np.testing.assert_allclose(array, expected, rtol=1e-14)


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_step_is_the_loss_before_it_and_the_update(one_hot: bool) -> None:
    x, t, *test = real_data()
    labels = np.eye(3)[t] if one_hot else t
    network = TwoLayerNet(5, 4, 3, 0.5, rng=np.random.default_rng(87))
    untouched = copy.deepcopy(network)
    network.predict = Mock(wraps=network.predict)
    loop = Trainer(network, x, labels, *test, 1, 4, "SGD", {"lr": 0.1}, verbose=False, rng=np.random.default_rng(88))
    loss = loop.train_step()
    assert network.predict.call_count == 1  # the loss is that of the forward pass that the gradients took
    batch = np.random.default_rng(88).permutation(7)[:4]
    assert loss == loop.train_loss_list[0] == untouched.loss(x[batch], labels[batch])
    assert loss != network.loss(x[batch], labels[batch])
    for name, gradient in untouched.gradient(x[batch], labels[batch]).items():
        np.testing.assert_array_equal(network.params[name], untouched.params[name] - 0.1 * gradient)


def test_data_are_not_changed() -> None:
    data, rng = real_data(), np.random.default_rng(92)
    Trainer(TwoLayerNet(5, 4, 3, rng=rng), *data, epochs=2, mini_batch_size=2, verbose=False, rng=rng).train()
    for got, expected in zip(data, real_data(), strict=True):
        np.testing.assert_array_equal(got, expected)


class Decaying(TwoLayerNet):
    """Its loss has a penalty, of which the last layer knows nothing."""

    def loss(self, x: Any, t: Any) -> float:
        return super().loss(x, t) + sum(float(np.sum(p**2)) for p in self.params.values())


class WithPenaltyGradient(Decaying):
    def gradient(self, x: Any, t: Any) -> dict[str, np.ndarray]:
        return {name: grad + 2 * self.params[name] for name, grad in super().gradient(x, t).items()}


class FromScratch(TwoLayerNet):
    """Its gradient never asks its loss."""

    def loss(self, x: Any, t: Any) -> float:
        return 100.0

    def gradient(self, x: Any, t: Any) -> dict[str, np.ndarray]:
        self.last_layer.loss = -1.0
        return {name: np.ones_like(p) for name, p in self.params.items()}


class TenfoldLoss(SoftmaxWithLoss):
    """Keeps another number than it returns."""

    def forward(self, x: Any, t: Any) -> float:
        return 10 * super().forward(x, t)


@pytest.mark.parametrize("kind", [Decaying, WithPenaltyGradient, FromScratch])
def test_the_loss_is_that_of_the_network(kind: type[TwoLayerNet]) -> None:
    network = kind(5, 4, 3, 0.5, rng=np.random.default_rng(87))
    untouched = copy.deepcopy(network)
    x, t, *test = real_data()
    loop = Trainer(network, x, t, *test, 1, 7, verbose=False, sampling="shuffle", rng=np.random.default_rng(88))
    batch = np.random.default_rng(88).permutation(7)
    expected = untouched.loss(x[batch], t[batch])
    assert loop.train_step() == expected
    assert loop.train_loss_list == [expected]


def test_the_loss_is_what_the_last_layer_returns() -> None:
    plain, tenfold = (TwoLayerNet(5, 4, 3, 0.5, rng=np.random.default_rng(87)) for _ in range(2))
    tenfold.last_layer = TenfoldLoss()
    losses = [
        Trainer(network, *real_data(), 1, 7, rng=np.random.default_rng(88)).train_step() for network in (plain, tenfold)
    ]
    assert losses[1] == 10 * losses[0]


def test_a_loss_of_the_instance_counts() -> None:
    network = TwoLayerNet(5, 4, 3, rng=np.random.default_rng(87))
    loss = network.loss
    network.loss = lambda x, t: loss(x, t) + 50
    assert Trainer(network, *real_data(), rng=np.random.default_rng(88)).train_step() > 50


def test_a_last_layer_that_keeps_no_loss() -> None:
    network = Recorder()
    network.last_layer = object()
    loop = trainer(network)
    loop.train()
    assert loop.train_loss_list == [1, 2, 3, 4, 5, 6]


def test_learns_the_digits() -> None:
    (x_train, t_train), (x_test, t_test) = datasets.load_digits()
    network = TwoLayerNet(64, 32, 10, 0.1, rng=np.random.default_rng(89))
    rng = np.random.default_rng(90)
    loop = Trainer(network, x_train, t_train, x_test, t_test, 12, 50, "SGD", {"lr": 0.5}, verbose=False, rng=rng)
    loop.train()
    assert loop.test_acc_list[-1] > 0.93, loop.test_acc_list
    assert np.mean(loop.train_loss_list[-20:]) < np.mean(loop.train_loss_list[:20]) / 5


# NaN


def fails_at(step: int) -> Any:
    return lambda now: np.nan if now == step else float(now)


def test_nan_raises_before_anything_changes() -> None:
    network = Recorder(fails_at(3))
    loop = trainer(network)
    with pytest.raises(FloatingPointError, match="the loss is NaN at step 3: try a smaller learning rate"):
        loop.train()
    assert loop.train_loss_list == [1, 2]
    assert loop.current_iter == 2
    np.testing.assert_allclose(network.params["p"], [-0.02, -0.04])


def test_nan_ignored_goes_on() -> None:
    loop = trainer(Recorder(fails_at(3)), on_nan="ignore")
    loop.train()
    np.testing.assert_array_equal(loop.train_loss_list, [1, 2, np.nan, 4, 5, 6])
    np.testing.assert_allclose(loop.network.params["p"], [-0.06, -0.12])


def test_infinity_is_no_nan() -> None:
    loop = trainer(Recorder(lambda step: np.inf))
    loop.train()
    assert loop.train_loss_list == [np.inf] * 6


def test_nan_in_the_data_is_found() -> None:
    x, t, *test = real_data()
    x[2, 3] = np.nan
    network = TwoLayerNet(5, 4, 3, rng=np.random.default_rng(91))
    before = {name: array.copy() for name, array in network.params.items()}
    with pytest.raises(FloatingPointError, match="NaN at step 1"):
        Trainer(network, x, t, *test, verbose=False, rng=np.random.default_rng(93)).train()
    for name, array in before.items():
        np.testing.assert_array_equal(network.params[name], array)


# Samples that are mostly zeros


@pytest.mark.skipif(not COMPILES, reason="nothing is compiled")
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("count", [None, 100])
def test_zeros_are_skipped_where_that_pays(count: int | None, compressed: bool) -> None:
    x, epochs = zeros_mostly(300, 50, share=0.2 if compressed else 0.3), 2
    t = np.argmax(x[:, :3], axis=1)
    network, seed = TwoLayerNet(50, 20, 3, 0.3, rng=np.random.default_rng(99)), np.random.default_rng(99)
    again = copy.deepcopy(network)
    loop = Trainer(network, x[:250], t[:250], x[250:], t[250:], epochs, 10, "SGD", {"lr": 0.5}, count, False, rng=seed)
    loop.train()
    assert loop._skips_zeros == compressed
    assert loop.train_acc_list[-1] == network.accuracy(x[:250][:count], t[:250][:count])
    assert loop.test_acc_list[-1] == network.accuracy(x[250:], t[250:])
    again.accuracy = lambda x, t: 0.25  # of the user's own
    loop = Trainer(again, x[:250], t[:250], x[250:], t[250:], epochs, 10, "SGD", {"lr": 0.5}, count, False, rng=seed)
    loop.train()
    assert loop.train_acc_list == loop.test_acc_list == [0.25] * epochs
