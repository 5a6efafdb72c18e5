"""TwoLayerNet against the oracle, its promises about parameters and layers."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import pytest
from cases import DTYPES
from hypothesis import given
from hypothesis import strategies as st
from nets import LABELS, NAMES, T, X, holds_its_parameters, net, same_bits

from fastbp import SoftmaxWithLoss, TwoLayerNet, check_gradients, layers, reference
from fastbp.boundary.arrays import TOLERANCE

# What it is made of


@pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts(namespace: Any, dtype: str) -> None:
    network = net(dtype=dtype, layers=namespace)
    assert {name: array.shape for name, array in network.params.items()} == {
        "W1": (6, 4),
        "b1": (4,),
        "W2": (4, 3),
        "b2": (3,),
    }
    assert {array.dtype for array in network.params.values()} == {np.dtype(dtype)}
    assert [(name, type(layer)) for name, layer in network.layers.items()] == [
        ("Affine1", namespace.Affine),
        ("Relu1", namespace.Relu),
        ("Affine2", namespace.Affine),
    ]
    assert type(network.last_layer) is namespace.SoftmaxWithLoss
    assert network.last_layer.eps == 0
    assert holds_its_parameters(network)
    assert not network.params["b1"].any()
    assert not network.params["b2"].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_a_generator_the_weights_are_the_books(dtype: str) -> None:
    np.random.seed(71)
    W1 = 0.01 * np.random.randn(6, 4)
    W2 = 0.01 * np.random.randn(4, 3)
    following = np.random.rand()
    np.random.seed(71)
    network = TwoLayerNet(6, 4, 3, dtype=dtype)
    assert np.random.rand() == following
    same_bits(network.params, with_biases(W1, W2, dtype))


def with_biases(W1: np.ndarray, W2: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    arrays = {"W1": W1, "b1": np.zeros(4), "W2": W2, "b2": np.zeros(3)}
    return {name: array.astype(dtype) for name, array in arrays.items()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_a_generator_the_weights_are_its_normal_numbers(dtype: str) -> None:
    rng = np.random.default_rng(72)
    W1, W2 = (0.3 * rng.standard_normal(shape) for shape in ((6, 4), (4, 3)))
    before = np.random.get_state()[1].copy()
    network = TwoLayerNet(6, 4, 3, 0.3, dtype=dtype, rng=np.random.default_rng(72))
    same_bits(network.params, with_biases(W1, W2, dtype))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_last_layer_has_two_names() -> None:
    network = net()
    assert network.lastLayer is network.last_layer
    for name in ("lastLayer", "last_layer"):
        layer = SoftmaxWithLoss(eps=1e-7)
        setattr(network, name, layer)
        assert network.lastLayer is network.last_layer is layer
    assert network.loss(X, T) == layer.loss


@pytest.mark.parametrize("sizes", [(0, 4, 3), (6, 0, 3), (6, 4, -1)])
def test_bad_sizes(sizes: tuple[int, int, int]) -> None:
    names = ("input_size", "hidden_size", "output_size")
    wrong = next(name for name, size in zip(names, sizes, strict=True) if size < 1)
    with pytest.raises(ValueError, match=rf"{wrong} must be at least 1, got {min(sizes)}"):
        TwoLayerNet(*sizes)


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex128", "longdouble", "object", "bool", ">f4"])
def test_bad_dtypes(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"dtype must be float32 or float64, got {np.dtype(dtype)}"):
        TwoLayerNet(6, 4, 3, dtype=dtype)


@pytest.mark.parametrize("rng", [7, "7", np.random.RandomState(7)], ids=lambda rng: type(rng).__name__)
def test_bad_generators(rng: Any) -> None:
    name = type(rng).__name__
    with pytest.raises(TypeError, match=rf"^rng must be a numpy.random.Generator or None, got {name}$"):
        TwoLayerNet(6, 4, 3, rng=rng)


# What it computes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("t", LABELS.values(), ids=LABELS)
def test_agrees_with_the_oracle(dtype: str, x_dtype: str, t: np.ndarray) -> None:
    ours, oracle = net(dtype=dtype), net(dtype=dtype, layers=reference)
    same_bits(ours.params, oracle.params)
    x, tolerance = X.astype(x_dtype), TOLERANCE[np.result_type(dtype, x_dtype)]
    checks.close(ours.predict(x), oracle.predict(x), tolerance, "scores")
    checks.close(ours.loss(x, t), oracle.loss(x, t), tolerance, "loss")
    assert ours.accuracy(x, t) == oracle.accuracy(x, t)
    got, expected = ours.gradient(x, t), oracle.gradient(x, t)
    assert tuple(got) == tuple(expected) == NAMES
    for name in NAMES:
        checks.close(got[name], expected[name], tolerance, name)
        assert got[name].dtype == expected[name].dtype
        assert got[name].shape == ours.params[name].shape


def test_numerical_gradients_agree() -> None:
    ours, oracle = net(), net(layers=reference)
    before = {name: array.copy() for name, array in ours.params.items()}
    got, expected, backprop = ours.numerical_gradient(X, T), oracle.numerical_gradient(X, T), ours.gradient(X, T)
    for name in NAMES:
        # A difference of losses, divided by 2e-4.
        checks.close(got[name], expected[name], TOLERANCE[np.dtype(np.float64)] / 2e-4, name)
        checks.close(backprop[name], got[name], 1e-8, name)
    same_bits(ours.params, before)


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_any_size_agrees_with_the_oracle(batch: int, inputs: int, hidden: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((batch, inputs)), rng.integers(0, outputs, batch)
    ours, oracle = (
        TwoLayerNet(inputs, hidden, outputs, 1.0, rng=np.random.default_rng(seed), layers=namespace)
        for namespace in (layers, reference)
    )
    got, expected = ours.gradient(x, t), oracle.gradient(x, t)
    for name in NAMES:
        checks.close(got[name], expected[name], 1e-12, name)
    checks.close(ours.last_layer.loss, oracle.last_layer.loss, 1e-12, "loss")


@pytest.mark.parametrize("t", [2, np.int8(2), [2], [0, 0, 1]], ids=str)
def test_single_sample(t: Any) -> None:
    network = net()
    scores = network.predict(X[0])
    assert scores.shape == (3,)
    np.testing.assert_array_equal(scores, network.predict(X[:1])[0])
    assert network.loss(X[0], t) == pytest.approx(network.loss(X[:1], [2]), rel=1e-15)
    assert network.accuracy(X[0], t) == float(np.argmax(scores) == 2)
    single, batch = network.gradient(X[0], t), network.gradient(X[:1], [2])
    for name in NAMES:
        checks.close(single[name], batch[name], 1e-15, name)


def test_images_are_flattened() -> None:
    np.testing.assert_array_equal(net().predict(X.reshape(5, 1, 2, 3)), net().predict(X))


@pytest.mark.parametrize("t", LABELS.values(), ids=LABELS)
def test_accuracy_counts_hits(t: np.ndarray) -> None:
    network = net()
    labels = t.argmax(axis=1) if t.shape == (5, 3) else t.reshape(-1)
    hits = [int(np.argmax(network.predict(x)) == label) for x, label in zip(X, labels, strict=True)]
    assert network.accuracy(X, t) == sum(hits) / 5
    assert network.accuracy(X, network.predict(X).argmax(axis=1)) == 1.0


@pytest.mark.parametrize("method", ["loss", "accuracy", "gradient"])
@pytest.mark.parametrize(("t", "message"), [([0, 3, 1, 2, 0], r"t\[1\] is 3"), (T[:4], r"got \(4,\)")])
def test_bad_labels(method: str, t: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(net(), method)(X, t)


def test_inputs_and_parameters_are_not_changed() -> None:
    network, x, t = net(), X.copy(), T.copy()
    before = {name: array.copy() for name, array in network.params.items()}
    network.gradient(x, t)
    network.accuracy(x, t)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, T)
    same_bits(network.params, before)


def test_loss_and_gradient_are_those_of_the_two_methods() -> None:
    network = net()
    loss, gradients = network.loss_and_gradient(X, T)
    assert loss == network.loss(X, T)
    same_bits(gradients, network.gradient(X, T))


def test_gradients_are_new_each_time() -> None:
    network = net()
    first = network.gradient(X, T)
    kept = {name: array.copy() for name, array in first.items()}
    second = network.gradient(-X, T)
    same_bits(first, kept)
    assert not any(np.shares_memory(first[name], second[name]) for name in NAMES)


# What a user may do to it


@pytest.mark.parametrize("how", ["in place", "rebound"])
@pytest.mark.parametrize("name", NAMES)
def test_changed_parameters_count_at_once(name: str, how: str) -> None:
    network, other = net(), net(seed=63)
    network.gradient(X, T)
    value = other.params[name] + 0.25
    if how == "in place":
        network.params[name][...] = value
    else:
        setattr(network.layers[f"Affine{name[1]}"], name[0], value)
    fresh = net()
    fresh.params[name][...] = value
    np.testing.assert_array_equal(network.predict(X), fresh.predict(X))
    same_bits(network.gradient(X, T), fresh.gradient(X, T))


class LeakyRelu:
    """A layer of a user's own."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.slope = np.where(x > 0, 1.0, 0.1)
        return x * self.slope

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout * self.slope


class FixedDropout:
    """The same units are out at each call."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.keep = np.arange(x.shape[-1]) % 2 == 0
        return x * self.keep

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout * self.keep


class Transposing:
    """Its arrays are never C-contiguous."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.asfortranarray(x * 2)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return np.asfortranarray(dout * 2)


FOREIGN: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (LeakyRelu, lambda a: np.where(a > 0, a, 0.1 * a)),
    (FixedDropout, lambda a: a * [1, 0, 1, 0]),
    (Transposing, lambda a: 2 * a),
]


@pytest.mark.parametrize(("make", "formula"), FOREIGN, ids=[make.__name__ for make, _ in FOREIGN])
@pytest.mark.parametrize("where", [1, 2], ids=["before relu", "after relu"])
def test_foreign_layers(make: Callable[[], Any], formula: Callable[[Any], Any], where: int) -> None:
    network = net()
    items = list(network.layers.items())
    network.layers = dict([*items[:where], ("Foreign", make()), *items[where:]])
    p = network.params
    hidden = X @ p["W1"] + p["b1"]
    hidden = np.maximum(formula(hidden), 0) if where == 1 else formula(np.maximum(hidden, 0))
    checks.close(network.predict(X), hidden @ p["W2"] + p["b2"], 1e-12, "scores")
    report = check_gradients(network, X, T)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize(
    "twice", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_copies(twice: Callable[[TwoLayerNet], TwoLayerNet], used: bool, dtype: str) -> None:
    network = net(dtype=dtype)
    if used:
        network.gradient(X, T)
    twin = twice(network)
    assert holds_its_parameters(twin)
    assert twin.lastLayer is twin.last_layer
    same_bits(twin.params, network.params)
    same_bits(twin.gradient(X, T), network.gradient(X, T))
    twin.params["W1"] += 1
    assert not np.shares_memory(twin.params["W1"], network.params["W1"])
    assert twin.loss(X, T) != network.loss(X, T)
