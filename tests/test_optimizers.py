"""SGD: the step, in place, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from cases import strided
from hypothesis import given
from hypothesis import strategies as st

from fastbp import SGD

RNG = np.random.default_rng(51)
W, DW = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))
B, DB = RNG.standard_normal(4), RNG.standard_normal(4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lr", [0.01, 0.5, 0])
def test_step(dtype: str, lr: float) -> None:
    params = {"W": W.astype(dtype), "b": B.astype(dtype)}
    grads = {"W": DW.astype(dtype), "b": DB.astype(dtype)}
    expected = {key: params[key] - lr * grads[key] for key in params}
    arrays = dict(params)
    SGD(lr).update(params, grads)
    for key, array in arrays.items():
        assert params[key] is array
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, expected[key])
    np.testing.assert_array_equal(grads["W"], DW.astype(dtype))


def test_the_default_is_a_hundredth() -> None:
    params = {"W": W.copy()}
    SGD().update(params, {"W": DW})
    np.testing.assert_array_equal(params["W"], W - 0.01 * DW)


def test_the_learning_rate_may_change_between_steps() -> None:
    optimizer, params = SGD(lr=1.0), {"p": 0.0}
    optimizer.update(params, {"p": 1.0})
    optimizer.lr = 0.5
    optimizer.update(params, {"p": 1.0})
    assert params == {"p": -1.5}


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_numbers_are_replaced(kind: type) -> None:
    params: dict[str, Any] = {"x": kind(2), "y": kind(-4)}
    SGD(0.25).update(params, {"x": 4.0, "y": 2.0})
    assert params == {"x": 1.0, "y": -4.5}


@pytest.mark.parametrize("array", [np.asfortranarray(W), strided(W), np.array(1.5)], ids=["fortran", "strided", "0-d"])
def test_any_array_changes_in_place(array: np.ndarray) -> None:
    before, grad, params = array.copy(), DW if array.ndim else 2.0, {"p": array}
    SGD(0.1).update(params, {"p": grad})
    assert params["p"] is array
    np.testing.assert_array_equal(array, before - 0.1 * grad)


def test_float64_gradients_of_float32_parameters() -> None:
    array = W.astype(np.float32)
    expected = (array - 0.1 * DW).astype(np.float32)
    params = {"W": array}
    SGD(0.1).update(params, {"W": DW})
    assert params["W"] is array
    np.testing.assert_allclose(array, expected, rtol=1e-6)


def test_more_gradients_than_parameters_are_fine_and_fewer_are_not() -> None:
    params = {"p": 1.0}
    SGD(1.0).update(params, {"p": 1.0, "other": 5.0})
    assert params == {"p": 0.0}
    with pytest.raises(KeyError, match="p"):
        SGD(1.0).update(params, {})


@given(st.floats(0, 0.45), st.floats(-1e6, 1e6), st.integers(0, 30))
def test_descends_a_parabola(lr: float, start: float, steps: int) -> None:
    optimizer, params = SGD(lr), {"x": start}
    for _ in range(steps):
        optimizer.update(params, {"x": 2 * params["x"]})
    assert params["x"] == pytest.approx(start * (1 - 2 * lr) ** steps, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("lr", [-0.1, -1e-300, np.nan, np.inf, -np.inf])
def test_a_bad_learning_rate_is_refused(lr: float) -> None:
    with pytest.raises(ValueError, match=f"lr must be a finite number, zero or positive, got {lr}"):
        SGD(lr)


@pytest.mark.parametrize("lr", ["0.1", None, 1j])
def test_a_learning_rate_that_is_no_number_is_refused(lr: Any) -> None:
    with pytest.raises(TypeError):
        SGD(lr)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


# What follows good parameters: a parameter p and its gradient.
BAD_STEPS = {
    "missing": ({"p": B.copy()}, {}, KeyError, "no gradient for the parameter 'p'"),
    "would broadcast": ({"p": B.copy()}, {"p": 1.0}, ValueError, r"of p must have its shape, \(4,\), got \(\)"),
    "row": ({"p": W.copy()}, {"p": DB}, ValueError, r"must have its shape, \(3, 4\), got \(4,\)"),
    "array for a number": ({"p": 1.0}, {"p": DB}, ValueError, r"must have its shape, \(\), got \(4,\)"),
    "other shape": ({"p": W.copy()}, {"p": DW.T}, ValueError, r"\(3, 4\), got \(4, 3\)"),
    "read-only": ({"p": read_only(B)}, {"p": DB}, ValueError, "p is read-only"),
    "integers": ({"p": np.arange(4)}, {"p": DB}, TypeError, "p must hold floating point numbers, got dtype int64"),
    "complex": ({"p": B.copy()}, {"p": DB + 1j}, TypeError, "the gradient of p must hold real numbers"),
    "None": ({"p": B.copy()}, {"p": None}, TypeError, "the gradient of p must hold real numbers"),
}


@pytest.mark.parametrize(("last", "grad", "error", "message"), BAD_STEPS.values(), ids=BAD_STEPS)
def test_a_step_is_taken_by_all_or_none(last: Any, grad: Any, error: type[Exception], message: str) -> None:
    params = {"W": W.copy(), "x": 2.0} | last
    before = {key: np.array(value) for key, value in params.items()}
    with pytest.raises(error, match=message):
        SGD(0.5).update(params, {"W": DW, "x": 1.0} | grad)
    for key, value in before.items():
        np.testing.assert_array_equal(params[key], value, err_msg=key)
