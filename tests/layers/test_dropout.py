"""Dropout against the oracle, and the numbers it draws."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from guarded import Guarded, empty

from fastbp import Dropout, layers, reference

X = np.random.default_rng(31).standard_normal((20, 33)).astype(np.float32)


@pytest.mark.parametrize("ratio", [0, 0.2, 0.5, 1])
def test_the_books_stream(ratio: float) -> None:
    """`np.random.rand(*x.shape) > ratio`, and nothing else is drawn."""
    np.random.seed(3)
    expected = np.random.rand(20, 33) > ratio
    after = np.random.rand()
    np.random.seed(3)
    layer = Dropout(ratio)
    out = layer.forward(X)
    assert np.random.rand() == after
    np.testing.assert_array_equal(layer.mask, expected)
    np.testing.assert_array_equal(out, X * expected)
    assert out.dtype == X.dtype
    assert layer.dropout_ratio == ratio


def test_a_generator_of_ones_own() -> None:
    state = np.random.get_state()[1].copy()
    layer = Dropout(0.4, rng=np.random.default_rng(8))
    layer.forward(X)
    np.testing.assert_array_equal(layer.mask, np.random.default_rng(8).random(X.shape) > 0.4)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    first = layer.mask.copy()
    layer.forward(X)
    assert (layer.mask != first).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_drawn_is_compared_in_float64(dtype: str) -> None:
    """A number that float32 would round to the ratio."""

    class Near(np.random.Generator):
        def random(self, size: Any) -> Any:
            return np.full(size, 0.5 + 1e-12)

    layer = Dropout(0.5, rng=Near(np.random.PCG64()))
    layer.forward(X.astype(dtype))
    assert layer.mask.all()


@pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])
def test_prediction_scales_and_draws_nothing(namespace: Any) -> None:
    layer = namespace.Dropout(0.3)
    state = np.random.get_state()[1].copy()
    out = layer.forward(X, False)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.testing.assert_array_equal(out, X * np.float32(0.7))
    assert layer.mask is None


def test_prediction_leaves_the_mask_of_the_training() -> None:
    layer = Dropout()
    layer.forward(X)
    mask = layer.mask
    layer.forward(X[:3], train_flg=False)
    assert layer.mask is mask
    np.testing.assert_array_equal(layer.backward(X), X * mask)


def test_what_is_dropped_of_nan_and_infinity_is_nan() -> None:
    class Half(np.random.Generator):
        def random(self, size: Any) -> Any:
            return np.resize([0.1, 0.9], size)

    x = np.array([[np.nan, np.nan, np.inf, np.inf, -0.0, -0.0, -1.0, -1.0]])
    ours, oracle = (each.Dropout(0.5, rng=Half(np.random.PCG64())) for each in (layers, reference))
    with np.errstate(invalid="ignore"):
        expected, gradient = oracle.forward(x), oracle.backward(x)
    np.testing.assert_array_equal(ours.forward(x), expected)
    np.testing.assert_array_equal(ours.backward(x), gradient)
    np.testing.assert_array_equal(expected[0, :4], [np.nan, np.nan, np.nan, np.inf])
    np.testing.assert_array_equal(np.signbit(ours.forward(x)), np.signbit(expected))


def test_shapes_and_dtypes() -> None:
    assert Dropout().forward(np.ones((2, 3, 4, 5), np.float16)).dtype == np.float32
    assert Dropout().forward([[1, 2]]).dtype == np.float64


def test_copies_and_pickles() -> None:
    layer = Dropout(0.2, rng=np.random.default_rng(1))
    layer.forward(X)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin.mask, layer.mask)
        np.testing.assert_array_equal(twin.forward(X), copy.deepcopy(layer).forward(X))


@pytest.mark.parametrize(
    ("ratio", "error"), [(-0.1, ValueError), (1.1, ValueError), (np.nan, ValueError), ("a", TypeError)]
)
def test_the_ratio_is_a_share(ratio: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="dropout_ratio must be"):
        Dropout(ratio)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_writes_and_reads_inside_alone(dtype: str) -> None:
    from fastbp.kernels.dropout import dropout_backward, dropout_forward, dropout_predict

    rng = np.random.default_rng(7)
    for size in (1, 3, 8, 15, 16, 17, 31, 64, 65, 127, 130):
        x, dout = (Guarded(rng.standard_normal(size).astype(dtype)) for _ in range(2))
        drawn, mask = Guarded(rng.random(size)), Guarded(np.zeros(size, np.bool_))
        out, dx, predicted = (empty(size, dtype=dtype) for _ in range(3))
        dropout_forward(x.array, drawn.array, 0.4, out.array, mask.array)
        dropout_backward(dout.array, mask.array, dx.array)
        dropout_predict(x.array, 0.4, predicted.array)
        kept = drawn.array > 0.4
        np.testing.assert_array_equal(mask.array, kept)
        np.testing.assert_array_equal(out.array, x.array * kept)
        np.testing.assert_array_equal(dx.array, dout.array * kept)
        np.testing.assert_array_equal(predicted.array, x.array * x.array.dtype.type(0.6))
        assert all(each.untouched() for each in (x, dout, drawn, mask, out, dx, predicted)), size


def test_a_mask_of_factors_is_multiplied() -> None:
    """As in the book: a subclass that divides by what it keeps has such a mask."""
    layer, dout = Dropout(0.5), np.ones((2, 3))
    layer.forward(np.ones((2, 3)))
    layer.mask = np.array([[2.0, 0, 2], [0, 0, 2]])
    np.testing.assert_array_equal(layer.backward(dout), layer.mask)
    with pytest.raises(ValueError, match="dout must have the shape"):
        layer.backward(np.ones((3, 3)))
