"""The training loop, observed through a network that writes down what it is given."""

import copy
import itertools
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp import SGD, Trainer, TwoLayerNet, datasets

SAMPLES, TESTS = 10, 4


class Recorder:
    """A foreign network, without a last_layer: samples are numbers, and it remembers those of each call."""

    def __init__(self, losses: Any = None) -> None:
        self.params = {"p": np.zeros(2)}
        self.batches: list[list[int]] = []
        self.accuracies: list[list[int]] = []
        self.losses = losses or (lambda step: float(step))

    def gradient(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        np.testing.assert_array_equal(t, -x[:, 0])  # labels stay with their samples
        self.batches.append(x[:, 0].tolist())
        return {"p": np.array([1.0, 2.0])}

    def loss(self, x: np.ndarray, t: np.ndarray) -> float:
        return self.losses(len(self.batches))

    def accuracy(self, x: np.ndarray, t: np.ndarray) -> float:
        self.accuracies.append(x[:, 0].tolist())
        return len(self.accuracies) / 100


def numbered(count: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.arange(first, first + count)
    return x[:, None], -x


DATA = (*numbered(SAMPLES), *numbered(TESTS, first=100))


def trainer(network: Any = None, **arguments: Any) -> Trainer:
    given = {"epochs": 2, "mini_batch_size": 4, "verbose": False, "rng": np.random.default_rng(81)} | arguments
    return Trainer(network or Recorder(), *DATA, **given)


# Batches


def joined(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 3), st.integers(0, 2**31))
def test_shuffle_takes_each_sample_once_an_epoch(samples: int, batch: int, epochs: int, seed: int) -> None:
    network = Recorder()
    rng = np.random.default_rng(seed)
    loop = Trainer(network, *numbered(samples), *numbered(1), epochs, batch, verbose=False, rng=rng)
    loop.train()
    size = min(batch, samples)
    steps = -(-samples // size)
    assert loop.iter_per_epoch == steps
    assert len(network.batches) == loop.current_iter == loop.max_iter == epochs * steps
    for epoch in range(epochs):
        batches = network.batches[epoch * steps : (epoch + 1) * steps]
        assert sorted(joined(batches)) == list(range(samples))
        assert [len(numbers) for numbers in batches[:-1]] == [size] * (steps - 1)


def test_shuffle_draws_a_new_order_each_epoch() -> None:
    network = Recorder()
    trainer(network, epochs=3).train()
    orders = [tuple(joined(network.batches[i : i + 3])) for i in (0, 3, 6)]
    assert len({*orders, tuple(range(SAMPLES))}) == 4


def test_shuffle_without_a_generator_draws_from_numpys_global_state() -> None:
    np.random.seed(82)
    expected = [np.random.permutation(SAMPLES).tolist() for _ in range(2)]
    np.random.seed(82)
    network = Recorder()
    trainer(network, rng=None).train()
    assert [joined(network.batches[:3]), joined(network.batches[3:])] == expected


@pytest.mark.parametrize("rng", [None, 83], ids=["global", "generator"])
def test_choice_draws_with_replacement_as_the_book_does(rng: int | None) -> None:
    def draws() -> Any:
        np.random.seed(83)
        return np.random if rng is None else np.random.default_rng(rng)

    draw = draws()
    expected = [draw.choice(SAMPLES, 4).tolist() for _ in range(2 * (SAMPLES // 4))]
    draw = draws()
    network = Recorder()
    trainer(network, sampling="choice", rng=None if rng is None else draw).train()
    assert network.batches == expected
    assert any(len(set(batch)) < 4 for batch in expected)


@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_a_batch_is_at_most_all_samples(sampling: Any) -> None:
    network = Recorder()
    loop = trainer(network, sampling=sampling, mini_batch_size=25)
    loop.train()
    assert loop.batch_size == SAMPLES
    assert [len(batch) for batch in network.batches] == [SAMPLES, SAMPLES]


@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_the_generator_decides(sampling: Any) -> None:
    runs = []
    for seed in (84, 84, 85):
        network = Recorder()
        trainer(network, sampling=sampling, rng=np.random.default_rng(seed)).train()
        runs.append(network.batches)
    assert runs[0] == runs[1] != runs[2]


# Lists, epochs, evaluation


def test_lists() -> None:
    network = Recorder()
    loop = trainer(network, epochs=3)
    assert loop.train_loss_list == loop.train_acc_list == loop.test_acc_list == []
    assert (loop.current_epoch, loop.current_iter) == (0, 0)
    loop.train()
    assert loop.train_loss_list == [float(step) for step in range(1, 10)]
    assert loop.train_acc_list == [0.01, 0.03, 0.05]
    assert loop.test_acc_list == [0.02, 0.04, 0.06]
    assert (loop.current_epoch, loop.current_iter) == (3, 9)
    assert {type(value) for value in (*loop.train_loss_list, *loop.test_acc_list)} == {float}


@pytest.mark.parametrize(
    ("count", "train", "test"), [(None, SAMPLES, TESTS), (1, 1, 1), (3, 3, 3), (7, 7, TESTS), (99, SAMPLES, TESTS)]
)
def test_accuracies_are_taken_from_the_front(count: int | None, train: int, test: int) -> None:
    network = Recorder()
    trainer(network, epochs=1, evaluate_sample_num_per_epoch=count).train()
    assert network.accuracies == [list(range(train)), list(range(100, 100 + test))]


def test_a_second_train_does_nothing_more() -> None:
    network = Recorder()
    loop = trainer(network)
    loop.train()
    before = copy.deepcopy((network.batches, loop.train_loss_list, loop.test_acc_list, network.params["p"].tolist()))
    loop.train()
    assert (network.batches, loop.train_loss_list, loop.test_acc_list, network.params["p"].tolist()) == before


def test_no_epochs_is_no_work() -> None:
    network = Recorder()
    trainer(network, epochs=0).train()
    assert network.batches == network.accuracies == []


@pytest.mark.parametrize("by_hand", [1, 3, 4])
def test_steps_by_hand_count(by_hand: int) -> None:
    alone, helped = Recorder(), Recorder()
    trainer(alone).train()
    loop = trainer(helped)
    losses = [loop.train_step() for _ in range(by_hand)]
    assert losses == loop.train_loss_list == [float(step) for step in range(1, by_hand + 1)]
    assert (loop.current_iter, loop.current_epoch) == (by_hand, 0)
    loop.train()
    assert helped.batches == alone.batches
    assert len(loop.test_acc_list) == loop.current_epoch == 2


def test_verbose_prints_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    trainer(epochs=3, verbose=True).train()
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "epoch   1  train 0.0100  test 0.0200",
        "epoch   2  train 0.0300  test 0.0400",
        "epoch   3  train 0.0500  test 0.0600",
    ]
    assert captured.err == ""
    trainer(verbose=False).train()
    assert capsys.readouterr().out == ""


def test_callbacks_see_the_trainer_after_each_epoch() -> None:
    seen: list[Any] = []

    def first(loop: Trainer) -> None:
        seen.append(("first", loop, loop.current_epoch, loop.current_iter, loop.test_acc_list[-1]))

    def second(loop: Trainer) -> None:
        seen.append(("second", loop, loop.current_epoch, loop.current_iter, loop.test_acc_list[-1]))

    loop = trainer(callbacks=(callback for callback in (first, second)))
    loop.train()
    assert seen == [
        ("first", loop, 1, 3, 0.02),
        ("second", loop, 1, 3, 0.02),
        ("first", loop, 2, 6, 0.04),
        ("second", loop, 2, 6, 0.04),
    ]


def test_a_callback_may_stop_and_train_goes_on_from_there() -> None:
    def stop(loop: Trainer) -> None:
        if loop.current_epoch == 1:
            raise StopIteration

    network = Recorder()
    loop = trainer(network, callbacks=[stop])
    with pytest.raises(StopIteration):
        loop.train()
    assert (len(network.batches), loop.current_epoch) == (3, 1)
    loop.train()
    assert (len(network.batches), loop.current_epoch, len(loop.test_acc_list)) == (6, 2, 2)


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


def real_data(seed: int = 86) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((7, 5)), rng.integers(0, 3, 7), rng.standard_normal((3, 5)), rng.integers(0, 3, 3)


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


# What is refused

BAD = [
    ({"optimizer": "adamm"}, ValueError, r"optimizer must be one of \['sgd'\], got 'adamm'"),
    ({"optimizer": None}, TypeError, r"optimizer must be a name or have update\(params, grads\), got None"),
    ({"optimizer": SGD}, TypeError, "optimizer must be a name or have update"),
    ({"optimizer_param": {"lr": -1}}, ValueError, "lr must be a finite number, zero or positive, got -1"),
    ({"optimizer_param": {"rate": 1}}, TypeError, "rate"),
    ({"epochs": -1}, ValueError, "expected epochs >= 0 and mini_batch_size >= 1, got -1 and 4"),
    ({"mini_batch_size": 0}, ValueError, "got 2 and 0"),
    ({"sampling": "random"}, ValueError, 'sampling must be "shuffle" or "choice", got \'random\''),
    ({"on_nan": "stop"}, ValueError, 'on_nan must be "raise" or "ignore", got \'stop\''),
    ({"evaluate_sample_num_per_epoch": 0}, ValueError, "evaluate_sample_num_per_epoch must be at least 1, got 0"),
    ({"evaluate_sample_num_per_epoch": -3}, ValueError, "evaluate_sample_num_per_epoch must be at least 1, got -3"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=[str(arguments) for arguments, _, _ in BAD])
def test_bad_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trainer(**arguments)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (0, "x_train has 3 samples, but t_train has 10 labels"),
        (1, "x_train has 10 samples, but t_train has 3 labels"),
        (2, "x_test has 3 samples, but t_test has 4 labels"),
        (3, "x_test has 4 samples, but t_test has 3 labels"),
    ],
)
def test_lengths_must_agree(which: int, message: str) -> None:
    data = list(DATA)
    data[which] = data[which][:3]
    with pytest.raises(ValueError, match=message):
        Trainer(Recorder(), *data)


@pytest.mark.parametrize(("name", "at"), [("train", 0), ("test", 2)])
def test_empty_data(name: str, at: int) -> None:
    data = list(DATA)
    data[at], data[at + 1] = data[at][:0], data[at + 1][:0]
    with pytest.raises(ValueError, match=f"x_{name} is empty: expected at least one sample"):
        Trainer(Recorder(), *data)
