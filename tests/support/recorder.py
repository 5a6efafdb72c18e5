"""A network that writes down what a trainer gives it; data for trainers."""

from typing import Any

import numpy as np

from fastbp import Trainer

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


def real_data(seed: int = 86) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((7, 5)), rng.integers(0, 3, 7), rng.standard_normal((3, 5)), rng.integers(0, 3, 3)
