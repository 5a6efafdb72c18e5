"""Values to predict, given as labels: an error at once that says what to do, wherever they are given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import functions

SAMPLES = 12
rng = np.random.default_rng(0)
x = rng.random((SAMPLES, 3))


def network(outputs: int) -> fastbp.TwoLayerNet:
    return fastbp.TwoLayerNet(3, 4, outputs, rng=np.random.default_rng(0))


def trainer(outputs: int, t_train: Any, t_test: Any) -> fastbp.Trainer:
    return fastbp.Trainer(network(outputs), x, t_train, x, t_test, epochs=1, mini_batch_size=4, verbose=False)


def classes(outputs: int) -> Any:
    return np.zeros(SAMPLES, int)


# Each way to give labels, at once: a Trainer when it is made, not when it trains.
WAYS: dict[str, Callable[[int, Any], Any]] = {
    "loss": lambda outputs, t: network(outputs).loss(x, t),
    "gradient": lambda outputs, t: network(outputs).gradient(x, t),
    "accuracy": lambda outputs, t: network(outputs).accuracy(x, t),
    "numerical_gradient": lambda outputs, t: network(outputs).numerical_gradient(x, t),
    "check_gradients": lambda outputs, t: fastbp.check_gradients(network(outputs), x, t),
    "prepare": lambda outputs, t: fastbp.compile(network(outputs), fastbp.SGD()).prepare(x, t),
    "a step": lambda outputs, t: fastbp.compile(network(outputs), fastbp.SGD())(x, t),
    "run": lambda outputs, t: fastbp.compile(network(outputs), fastbp.SGD()).run(x, t, [[0, 1]]),
    "Trainer": lambda outputs, t: trainer(outputs, t, t),
    "Trainer, to train": lambda outputs, t: trainer(outputs, t, classes(outputs)),
    "Trainer, to test": lambda outputs, t: trainer(outputs, classes(outputs), t),
    "SoftmaxWithLoss": lambda outputs, t: fastbp.SoftmaxWithLoss().forward(np.zeros((SAMPLES, outputs)), t),
    "cross_entropy_error": lambda outputs, t: functions.cross_entropy_error(np.ones((SAMPLES, outputs)) / outputs, t),
}

LOSSES = ("SoftmaxWithLoss", "cross_entropy_error")

column = rng.random((SAMPLES, 1))
VALUES: dict[str, tuple[int, Any]] = {
    "a column, one output": (1, column),
    "a column of float32, one output": (1, column.astype(np.float32)),
    "a column of whole numbers, one output": (1, np.arange(SAMPLES).reshape(-1, 1)),
    "a column of 0.0 and 1.0, one output": (1, (column > 0.5).astype(float)),
    "a column of 0 and 1, one output": (1, (column > 0.5).astype(int)),
    "a column of bools, one output": (1, column > 0.5),
    "a column of zeros, one output": (1, np.zeros((SAMPLES, 1))),
    "a column of NaN, one output": (1, np.full((SAMPLES, 1), np.nan)),
    "a list of lists, one output": (1, column.tolist()),
    "a row, one output": (1, column[:, 0]),
    "a column, three outputs": (3, column),
    "a row, three outputs": (3, column[:, 0]),
    "a row of float32, three outputs": (3, column[:, 0].astype(np.float32)),
    "a column of whole floats, three outputs": (3, np.ones((SAMPLES, 1))),
}


def is_taken(way: str, values: str) -> bool:
    """A loss alone takes a column beside one score for probabilities, as it does for several classes."""
    outputs, t = VALUES[values]
    return way in LOSSES and outputs == 1 and np.ndim(t) == 2


@pytest.mark.parametrize(("way", "values"), [(w, v) for w in WAYS for v in VALUES if not is_taken(w, v)])
def test_values_to_predict_are_refused(way: str, values: str) -> None:
    outputs, t = VALUES[values]
    with pytest.raises((TypeError, ValueError)) as caught:
        WAYS[way](outputs, t)
    said = str(caught.value)
    assert "a softmax loss can't learn them: that takes a network class of your own" in said
    assert ("two outputs, and labels 0 and 1" if outputs == 1 and np.ndim(t) == 2 else "t.astype(int)") in said


@pytest.mark.parametrize("t", [np.zeros(SAMPLES, int), np.zeros((SAMPLES, 1), int), np.ones((SAMPLES, 1))])
def test_labels_of_a_single_class_are_taken(t: Any) -> None:
    """A network with one class is of no use, but no mistake."""
    assert network(1).loss(x, t) == 0
    assert network(1).accuracy(x, t) == 1
    assert fastbp.compile(network(1), fastbp.SGD())(x, t) == 0
    trainer(1, t, t)
