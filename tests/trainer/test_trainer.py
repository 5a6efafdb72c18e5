"""The training loop, observed through a network that writes down what it is given: batches, epochs, lists."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorder import SAMPLES, TESTS, Recorder, numbered, trainer

from fastbp import Trainer

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


def test_accuracies_that_are_interrupted_leave_none_of_the_two() -> None:
    class Interrupted(Recorder):
        def accuracy(self, x: np.ndarray, t: np.ndarray) -> float:
            if len(self.accuracies) == 3:  # of the second epoch's test data
                raise KeyboardInterrupt
            return super().accuracy(x, t)

    loop = trainer(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        loop.train()
    assert (loop.train_acc_list, loop.test_acc_list, loop.current_iter) == ([0.01], [0.02], 6)


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
