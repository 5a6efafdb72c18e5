"""SGD's step, in place, and what all optimizers refuse."""

import copy
from typing import Any

import numpy as np
import pytest
from book_steps import STEPS
from cases import strided
from hypothesis import given
from hypothesis import strategies as st

import fastbp
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


RATE = r"must be a finite number, zero or positive, got"
BAD_NUMBERS = {
    "lr": ([-0.1, -1e-300, np.nan, np.inf, -np.inf], RATE),
    "momentum": ([-0.1, 1.1, np.nan, np.inf], "must be from 0 to 1, got"),
    "decay_rate": ([-0.1, 1.1, np.nan, np.inf], "must be from 0 to 1, got"),
    "beta1": ([-0.1, 1, 1.1, np.nan], "must be from 0 to below 1, got"),
    "beta2": ([-0.1, 1, 1.1, np.nan], "must be from 0 to below 1, got"),
}
HYPERPARAMETERS = [
    (name, number) for name in STEPS for number in vars(getattr(fastbp, name)()) if number in BAD_NUMBERS
]


@pytest.mark.parametrize(("name", "number"), HYPERPARAMETERS)
def test_bad_hyperparameters_are_refused(name: str, number: str) -> None:
    cls = getattr(fastbp, name)
    values, message = BAD_NUMBERS[number]
    mistakes: list[Any] = [(value, ValueError, f"^{number} {message} {value}$") for value in values]
    mistakes += [(value, TypeError, f"^{number} must be a real number, got ") for value in ("0.1", None, 1j)]
    for value, error, said in mistakes:
        with pytest.raises(error, match=said):
            cls(**{number: value})
        optimizer, params = cls(), {"W": W.copy(), "x": 2.0}
        before = dict(vars(optimizer))
        setattr(optimizer, number, value)
        with pytest.raises(error, match=said):
            optimizer.update(params, {"W": DW, "x": 1.0})
        assert params["x"] == 2
        np.testing.assert_array_equal(params["W"], W)
        setattr(optimizer, number, before[number])
        assert vars(optimizer) == before


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
    "complex number": ({"p": 1j}, {"p": 1.0}, TypeError, "p must hold floating point numbers, got dtype complex128"),
    "None": ({"p": B.copy()}, {"p": None}, TypeError, "the gradient of p must hold real numbers"),
}


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
@pytest.mark.parametrize(("last", "grad", "error", "message"), BAD_STEPS.values(), ids=BAD_STEPS)
@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_taken_by_all_or_none(
    name: str, last: Any, grad: Any, error: type[Exception], message: str, first: bool
) -> None:
    optimizer = getattr(fastbp, name)(lr=0.5)
    params = {"W": W.copy(), "x": 2.0} | last
    if not first:  # p holds what a good one would hold
        good = {"p": np.zeros(np.shape(last["p"]))}
        optimizer.update({"W": W.copy(), "x": 2.0} | good, {"W": DW, "x": 1.0} | good)
    before, kept = copy.deepcopy(params), copy.deepcopy(vars(optimizer))
    with pytest.raises(error, match=message):
        optimizer.update(params, {"W": DW, "x": 1.0} | grad)
    for key, value in before.items():
        np.testing.assert_array_equal(params[key], value, err_msg=key)
    np.testing.assert_equal(vars(optimizer), kept)


# What the state of an optimizer that has seen W, (3, 4) of float64, and x, a number, doesn't go with.
OTHER_PARAMS: dict[str, tuple[Any, type[Exception], str]] = {
    "shape": ({"x": 1.0, "W": W.T.copy()}, ValueError, r"W must have .*, \(4, 3\) and float64, got \(3, 4\) and fl"),
    "dtype": ({"x": 1.0, "W": W.astype("f4")}, ValueError, r"\(3, 4\) and float32, got \(3, 4\) and float64"),
    "kind": ({"x": 1.0, "W": 1.0}, ValueError, r"\(\) and float64, got \(3, 4\) and float64"),
    "name": (
        {"x": 1.0, "b": B.copy()},
        KeyError,
        r"for the parameter 'b': the optimizer's state is that of \['W', 'x'",
    ),
    "complex": ({"x": 1j, "W": W.copy()}, TypeError, "x must hold floating point numbers, got dtype complex128"),
    "text": ({"x": "1", "W": W.copy()}, TypeError, "x must hold floating point numbers, got dtype <U1"),
}


def started(name: str) -> Any:
    optimizer = getattr(fastbp, name)()
    optimizer.update({"x": 1.0, "W": W.copy()}, {"x": 1.0, "W": DW})
    return optimizer


@pytest.mark.parametrize(("params", "error", "message"), OTHER_PARAMS.values(), ids=OTHER_PARAMS)
@pytest.mark.parametrize("name", [name for name in STEPS if name != "SGD"])
def test_other_parameters_than_the_states(name: str, params: Any, error: Any, message: str) -> None:
    optimizer = started(name)
    before, kept = copy.deepcopy(params), copy.deepcopy(vars(optimizer))
    with pytest.raises(error, match=message):
        optimizer.update(params, {key: np.ones(np.shape(value)) for key, value in params.items()})
    with pytest.raises(error, match=message):
        optimizer.state_for(params)
    np.testing.assert_equal(params, before)
    np.testing.assert_equal(vars(optimizer), kept)


@pytest.mark.parametrize("name", [name for name in STEPS if name != "SGD"])
def test_states_of_a_users_own(name: str) -> None:
    optimizer = started(name)
    state = getattr(optimizer, optimizer.state_names[-1])
    kept = state["W"]
    for wrong, error, message in [
        (read_only(kept), ValueError, "of W is read-only"),
        (1.0, TypeError, "of W must be an array, got float"),
    ]:
        state["W"] = wrong
        with pytest.raises(error, match=message):
            optimizer.update({"W": W.copy()}, {"W": DW})
    twin, params = started(name), {"W": W.copy()}
    state["W"] = np.asfortranarray(kept)
    optimizer.update(params, {"W": DW})  # of some parameters only
    expected = {"W": W.copy()}
    twin.update(expected, {"W": DW})
    np.testing.assert_array_equal(params["W"], expected["W"])


@pytest.mark.parametrize("steps", [-1, 2.5, None])
def test_a_bad_count_of_steps_is_refused(steps: Any) -> None:
    adam, params = fastbp.Adam(), {"W": W.copy()}
    adam.iter = steps
    with pytest.raises((TypeError, ValueError), match="iter must be"):
        adam.update(params, {"W": DW})
    np.testing.assert_array_equal(params["W"], W)
    assert adam.m is None
