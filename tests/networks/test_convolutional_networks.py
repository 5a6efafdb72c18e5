"""SimpleConvNet and DeepConvNet: the book's surface, its draws, and gradients that are the oracle layers'."""

import copy
import pickle
from pathlib import Path
from typing import Any

import checks
import numpy as np
import pytest

import fastbp
from fastbp import DeepConvNet, SimpleConvNet, reference

SMALL = {"filter_num": 4, "filter_size": 3, "pad": 1, "stride": 1}
FEW = {f"conv_param_{n}": {"filter_num": n + 1, "filter_size": 3, "pad": 1, "stride": 1} for n in range(1, 7)}


def simple(**more: Any) -> SimpleConvNet:
    more = {"rng": np.random.default_rng(1), **more}
    return SimpleConvNet((2, 8, 6), SMALL, hidden_size=7, output_size=5, weight_init_std=0.3, **more)


def deep(**more: Any) -> DeepConvNet:
    return DeepConvNet((2, 9, 8), **FEW, hidden_size=6, output_size=5, **{"rng": np.random.default_rng(1), **more})


def batch(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.standard_normal(shape), rng.integers(0, 5, shape[0])


def test_names_and_shapes_are_the_books() -> None:
    net = SimpleConvNet()
    assert list(net.layers) == ["Conv1", "Relu1", "Pool1", "Affine1", "Relu2", "Affine2"]
    shapes = {name: parameter.shape for name, parameter in net.params.items()}
    assert shapes == {
        **{"W1": (30, 1, 5, 5), "b1": (30,), "W2": (4320, 100), "b2": (100,), "W3": (100, 10), "b3": (10,)}
    }
    assert net.params["W1"] is net.layers["Conv1"].W
    deepest = DeepConvNet()
    assert [type(layer).__name__ for layer in deepest.layers] == [
        *(["Convolution", "Relu", "Convolution", "Relu", "Pooling"] * 3),
        *("Affine", "Relu", "Dropout", "Affine", "Dropout"),
    ]
    assert deepest.params["W4"].shape == (32, 32, 3, 3)
    assert deepest.params["W7"].shape == (64 * 4 * 4, 50)
    assert all(deepest.params[f"W{n}"] is deepest.layers[at].W for n, at in enumerate((0, 2, 5, 7, 10, 12, 15, 18), 1))


def test_weights_are_drawn_in_the_books_order() -> None:
    np.random.seed(3)
    net = SimpleConvNet()
    np.random.seed(3)
    np.testing.assert_array_equal(net.params["W1"], 0.01 * np.random.randn(30, 1, 5, 5))
    np.testing.assert_array_equal(net.params["W2"], 0.01 * np.random.randn(4320, 100))
    np.testing.assert_array_equal(net.params["W3"], 0.01 * np.random.randn(100, 10))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_the_oracles(dtype: str) -> None:
    x, t = batch(6, 2, 8, 6)
    ours, oracle = simple(dtype=dtype), simple(dtype=dtype, layers=reference)
    got, expected = ours.gradient(x.astype(dtype), t), oracle.gradient(x.astype(dtype), t)
    for name, value in expected.items():
        checks.close(got[name], value, 1e-12 if dtype == "float64" else 1e-5, name)
        assert got[name].dtype == dtype
    assert ours.loss(x, t) == pytest.approx(oracle.loss(x, t), rel=1e-6)


def test_deep_gradients_are_right() -> None:
    """Against central differences of a loss whose dropouts drop the same each time."""
    x, t = batch(3, 2, 9, 8)

    def again() -> float:
        for at in (17, 19):
            net.layers[at].rng = np.random.default_rng(at)
        return float(net.loss(x, t))

    net = deep()
    again()
    dout = net.last_layer.backward(1)
    for layer in reversed(net.layers):
        dout = layer.backward(dout)
    gradients = {name: getattr(net.layers[at], "d" + attribute) for name, at, attribute in net.holders}
    for at in (17, 19):
        net.layers[at].rng = np.random.default_rng(at)
    for name, gradient in net.gradient(x, t).items():
        np.testing.assert_array_equal(gradient, gradients[name])
    for name in ("b1", "b4", "W6", "W7", "b8"):
        checks.close(gradients[name], checks.central_differences(again, net.params[name], 1e-6), 1e-5, name)


def test_dropout_only_in_training() -> None:
    x, _ = batch(4, 2, 9, 8)
    net = deep()
    np.testing.assert_array_equal(net.predict(x), net.predict(x))
    assert not np.array_equal(net.predict(x, True), net.predict(x, True))


def test_training_learns() -> None:
    (x, t), _ = fastbp.datasets.load_digits(flatten=False)
    net = SimpleConvNet((1, 8, 8), SMALL, 30, 10, dtype=np.float32, rng=np.random.default_rng(0), weight_init_std=0.1)
    fastbp.Trainer(net, x, t, x, t, epochs=6, optimizer="Adam", optimizer_param={"lr": 0.01}, verbose=False).train()
    assert net.accuracy(x, t) > 0.9


def test_accuracy_counts_every_sample() -> None:
    x, _ = batch(7, 2, 8, 6)
    net = simple()
    right = np.argmax(net.predict(x), axis=1)
    assert net.accuracy(x, right, batch_size=3) == net.accuracy(x, right) == 1
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        net.accuracy(x, right, batch_size=0)


@pytest.mark.parametrize("make", [simple, deep])
def test_copies_and_files(make: Any, tmp_path: Path) -> None:
    net, other = make(), make(rng=np.random.default_rng(9))
    net.save_params(tmp_path / "params.npz")
    held = other.params["W2"]
    other.load_params(tmp_path / "params.npz")
    assert other.params["W2"] is held
    x, _ = batch(4, 2, *((8, 6) if make is simple else (9, 8)))
    for same in (other, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(same.predict(x), net.predict(x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_dim": (28, 28)}, ValueError, r"input_dim must be \(channels, height, width\), got \(28, 28\)"),
        (
            {"conv_param": {"filter_num": 3}},
            ValueError,
            "must have filter_num, filter_size, pad, stride, got",
        ),
        (
            {"conv_param": SMALL | {"filter_size": 31}},
            ValueError,
            "filter of 31 x 31 is larger than images of 28 x 28",
        ),
        ({"conv_param": SMALL | {"stride": 0}}, ValueError, r"conv_param\['stride'\] must be at least 1, got 0"),
        ({"hidden_size": 0}, ValueError, "hidden_size must be at least 1"),
        ({"weight_init_std": -1}, ValueError, "weight_init_std must be a finite number, zero or positive"),
        ({"dtype": "float16"}, TypeError, "dtype must be float32 or float64"),
        ({"rng": 3}, TypeError, "rng must be a numpy.random.Generator or None, got int"),
    ],
)
def test_mistakes(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SimpleConvNet(**arguments)
