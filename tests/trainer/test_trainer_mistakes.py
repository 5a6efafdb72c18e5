"""What the trainer refuses, and what it makes of data that are no arrays."""

import re
from typing import Any

import numpy as np
import pytest
from chains import COMPILES
from recorder import DATA, Recorder, trainer

import fastbp
from fastbp import SGD, SoftmaxWithLoss, Trainer, TwoLayerNet, reference

# What is refused

BAD = [
    ({"optimizer": "adamm"}, ValueError, r"must be one of \['adagrad', 'adam', 'momentum', .*\], got 'adamm'"),
    ({"optimizer": None}, TypeError, r"optimizer must be a name or have update\(params, grads\), as .*, got None"),
    ({"optimizer": SGD}, TypeError, "optimizer must be a name or have update"),
    ({"optimizer_param": {"lr": -1}}, ValueError, "lr must be a finite number, zero or positive, got -1"),
    ({"optimizer_param": 0.1}, TypeError, "optimizer_param must be a mapping such as {'lr': 0.01}, got 0.1"),
    ({"optimizer_param": {"rate": 1}}, TypeError, "optimizer_param: SGD takes lr, not rate"),
    ({"optimizer": SGD(0.1), "optimizer_param": {"lr": 0.5}}, ValueError, "optimizer_param goes with .* name"),
    ({"epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
    ({"epochs": 2.0}, TypeError, "epochs must be an integer, got 2.0"),
    ({"mini_batch_size": 0}, ValueError, "mini_batch_size must be at least 1, got 0"),
    ({"mini_batch_size": 2.5}, TypeError, "mini_batch_size must be an integer, got 2.5"),
    ({"mini_batch_size": "4"}, TypeError, "mini_batch_size must be an integer, got '4'"),
    ({"rng": 7}, TypeError, "rng must be a numpy.random.Generator or None, got int"),
    ({"rng": np.random.RandomState(7)}, TypeError, "numpy.random.Generator or None, got RandomState"),
    ({"evaluate_sample_num_per_epoch": 2.0}, TypeError, "evaluate_sample_num_per_epoch must be an integer, got 2.0"),
    ({"sampling": "random"}, ValueError, 'sampling must be "shuffle" or "choice", got \'random\''),
    ({"on_nan": "stop"}, ValueError, 'on_nan must be "raise" or "ignore", got \'stop\''),
    ({"evaluate_sample_num_per_epoch": 0}, ValueError, "evaluate_sample_num_per_epoch must be at least 1, got 0"),
    ({"evaluate_sample_num_per_epoch": -3}, ValueError, "evaluate_sample_num_per_epoch must be at least 1, got -3"),
]
IDS = [re.sub(" at 0x[0-9a-fA-F]+", "", str(arguments)) for arguments, _, _ in BAD]  # the same in every process


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=IDS)
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


@pytest.mark.parametrize(("which", "name"), [(0, "x_train"), (1, "t_train"), (2, "x_test"), (3, "t_test")])
def test_data_without_rows(which: int, name: str) -> None:
    data: list[Any] = list(DATA)
    data[which] = 3
    with pytest.raises(ValueError, match=f"{name} must have a row for each sample, got a single value"):
        Trainer(Recorder(), *data)


def test_lists_train_as_arrays_do() -> None:
    networks = Recorder(), Recorder()
    lists = [array.tolist() for array in DATA]
    for network, data in zip(networks, (DATA, lists), strict=True):
        Trainer(network, *data, 2, np.int64(4), verbose=False, rng=np.random.default_rng(81)).train()
    assert networks[0].batches == networks[1].batches
    assert networks[0].accuracies == networks[1].accuracies


def test_arrays_are_kept_as_they_are() -> None:
    loop = trainer()
    for got, given in zip((loop.x_train, loop.t_train, loop.x_test, loop.t_test), DATA, strict=True):
        assert got is given


X = np.random.default_rng(96).standard_normal((4, 5))
GOOD = np.array([0, 2, 1, 2])
LABELS: dict[str, tuple[Any, type[Exception], str]] = {
    "too large": ([0, 3, 1, 2], ValueError, r"t\[1\] is 3, but the 3 classes are 0 to 2"),
    "negative": ([0, 2, 1, -1], ValueError, r"t\[3\] is -1"),
    "floats": ([0.0, 2.0, 1.0, 2.0], TypeError, "class indices must be integers"),
    "other classes": (np.eye(4), ValueError, r"t must have shape .*, got \(4, 4\)"),
    "text": (["a", "b", "c", "d"], TypeError, "t must hold real numbers"),
}


def classifier() -> TwoLayerNet:
    return TwoLayerNet(5, 4, 3, rng=np.random.default_rng(97))


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize(("labels", "error", "message"), LABELS.values(), ids=LABELS)
def test_labels_are_checked_before_the_training(labels: Any, error: Any, message: str, name: str) -> None:
    train, test = (labels, GOOD) if name == "train" else (GOOD, labels)
    with pytest.raises(error, match=f"^t_{name} doesn't go with the network: {message}"):
        Trainer(classifier(), X, train, X, test)


@pytest.mark.parametrize("labels", [GOOD, GOOD[:, None], np.eye(3)[GOOD], np.full((4, 3), 0.3)], ids=lambda t: t.shape)
def test_labels_of_every_form_pass(labels: np.ndarray) -> None:
    Trainer(classifier(), X, labels, X, labels.tolist(), 1, verbose=False).train()


@pytest.mark.parametrize("name", ["x_train", "x_test"])
@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (X[:, :3], ValueError, r", of shape \(4, 3\), .*: W of shape \(5, 4\) .* don't go with 3 inputs"),
        (X[:, 0], ValueError, r", of shape \(4,\), .*: expected shape \(samples, features\)"),
        (X + 0j, TypeError, ".* must hold real numbers"),
    ],
    ids=["features", "one dimension", "complex"],
)
def test_samples_are_checked_before_the_training(name: str, samples: Any, error: Any, message: str) -> None:
    data = {"x_train": X, "x_test": X} | {name: samples}
    with pytest.raises(error, match=f"^{name}{message}"):
        Trainer(classifier(), data["x_train"], GOOD, data["x_test"], GOOD)


def test_images_are_checked_before_the_training() -> None:
    net = fastbp.SimpleConvNet((1, 12, 12), output_size=3)
    images = np.zeros((4, 1, 12, 12))
    for wrong in (images.reshape(4, -1), np.zeros((4, 3, 12, 12)), np.zeros((4, 1, 16, 16))):
        with pytest.raises(ValueError, match=r"^x_test, of shape \(4, .*\), doesn't go with the network"):
            Trainer(net, images, GOOD, wrong, GOOD)


class Cropping(TwoLayerNet):
    """Its test samples may have other features."""

    def accuracy(self, x: Any, t: Any) -> float:
        return super().accuracy(x[:, :5], t)


class CroppingTrainer(Trainer):
    """Its training samples may have other features."""

    def train_step(self) -> Any:
        return self.network.loss(self.x_train[:, :5], self.t_train)


def test_samples_of_every_form_pass() -> None:
    wide = np.zeros((4, 7))
    Trainer(Cropping(5, 4, 3), X, GOOD, wide, GOOD, 1, verbose=False).train()
    CroppingTrainer(Cropping(5, 4, 3), wide, GOOD, wide, GOOD, 1, verbose=False).train()
    six = TwoLayerNet(6, 4, 3)
    Trainer(six, np.zeros((4, 1, 2, 3), np.uint8), GOOD, np.zeros((4, 6)), GOOD, 1, verbose=False).train()


class Another(TwoLayerNet):
    """Its labels may be anything."""

    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, np.array([len(str(label)) % 3 for label in t]))


class AnotherLoss:
    """A last layer whose labels may be anything."""


def test_labels_of_other_networks_are_their_own_affair() -> None:
    regression, another = classifier(), Another(5, 4, 3)
    regression.last_layer = AnotherLoss()
    for network in (Recorder(), another, regression):
        Trainer(network, X, [0.5] * 4, X, ["a"] * 4)
    for layer in (SoftmaxWithLoss(eps=1e-7), reference.SoftmaxWithLoss()):
        regression.last_layer = layer
        with pytest.raises(TypeError, match="t_train doesn't go with the network"):
            Trainer(regression, X, [0.5] * 4, X, GOOD)


@pytest.mark.parametrize("at", [0, 2])
def test_samples_that_are_no_arrays_are_refused_by_name(at: int) -> None:
    network, data = TwoLayerNet(1, 2, 3), list(DATA)
    data[1], data[3] = (np.zeros(len(labels), int) for labels in (data[1], data[3]))
    name = "x_train" if at == 0 else "x_test"
    samples = data[at]
    if COMPILES:
        data[at] = fastbp.compile(network, SGD()).prepare(samples, np.zeros(len(samples), int))
        with pytest.raises(TypeError, match=f"{name} is prepared data, but Trainer takes arrays"):
            Trainer(network, *data)
    matrix = pytest.importorskip("scipy.sparse").csr_matrix(samples)
    data[at] = matrix
    with pytest.raises(TypeError, match=f"{name} is a scipy.sparse matrix, but Trainer takes arrays"):
        Trainer(network, *data)
