"""Central differences on arrays of every form, and the descent along them."""

import copy
from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import pytest
from cases import byte_swapped, strided, unaligned
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastbp import gradient_descent, numerical_diff, numerical_gradient

# numerical_diff and numerical_gradient


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (lambda x: 0.01 * x**2 + 0.1 * x, 5, 0.2),
        (lambda x: 0.01 * x**2 + 0.1 * x, 10.0, 0.3),
        (np.sin, 0.7, np.cos(0.7)),
        (np.exp, np.array([-1.0, 0.5]), np.exp([-1.0, 0.5])),
        (abs, 0.0, 0.0),
    ],
    ids=["integer", "float", "sin", "array", "kink"],
)
def test_numerical_diff(f: Callable[[Any], Any], x: Any, slope: Any) -> None:
    checks.close(numerical_diff(f, x), slope, 1e-8, "slope")


def transposed(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.T).T


FORMS = [np.ascontiguousarray, transposed, byte_swapped, unaligned, strided]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("shape", [(), (1,), (6,), (3, 4), (2, 3, 2, 2)], ids=str)
def test_numerical_gradient_of_a_quadratic(shape: tuple[int, ...], form: Callable[[np.ndarray], np.ndarray]) -> None:
    if not shape and form in (np.ascontiguousarray, strided):
        form = np.array
    rng = np.random.default_rng(31)
    weights = rng.standard_normal(shape)
    x = form(np.asarray(rng.standard_normal(shape)))
    before = x.tobytes()
    got = numerical_gradient(lambda x: np.sum(weights * x**2), x)
    checks.close(got, 2 * weights * x, 1e-8, "gradient")
    assert x.tobytes() == before


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-2), ("float32", 1e-4)])
@pytest.mark.parametrize("x", [[1.5, -0.25, 3.0], [0.0, 1e-3, 1e-7], [5000, 1, -60.0]], ids=str)
def test_low_precision_takes_longer_steps(x: list[float], dtype: str, tolerance: float) -> None:
    array = np.array(x, dtype)
    got = numerical_gradient(lambda x: np.sum(np.sin(x.astype(np.float64) / 7000) * 7000 + x), array)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, np.cos(array.astype(np.float64) / 7000) + 1, rtol=tolerance)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_low_precision_divides_by_the_step_that_was_taken(dtype: str) -> None:
    x = np.array([0.1, 1.0, 3.0, 600.0, -0.7], dtype)
    slope = numerical_gradient(lambda x: 2.5 * float(x.astype(np.float64).sum()), x)
    np.testing.assert_allclose(slope, 2.5, rtol=1e-13)


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 0.05), ("float32", 1e-3)])
def test_f_may_round_as_x_does(dtype: str, rtol: float) -> None:
    x = np.array([3, 1], dtype)
    np.testing.assert_allclose(numerical_gradient(lambda x: np.sum(x**2), x), [6, 2], rtol=rtol)


def test_float64_is_the_books_formula_to_the_last_bit() -> None:
    x = np.random.default_rng(32).standard_normal(7) * 100
    got = numerical_gradient(lambda x: np.sum(np.sin(x)), x)
    for i in range(7):
        above, below = x.copy(), x.copy()
        above[i] += 1e-4
        below[i] -= 1e-4
        assert got[i] == (np.sum(np.sin(above)) - np.sum(np.sin(below))) / (2 * 1e-4)


@pytest.mark.parametrize("value", [np.float32(5000), np.float16(3), np.array([5000, 3], np.float32)], ids=str)
def test_numerical_diff_in_low_precision(value: Any) -> None:
    np.testing.assert_allclose(numerical_diff(lambda x: x**2, value), 2.0 * value, rtol=1e-7)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_number_may_stand_in_an_array(shape: tuple[int, ...], dtype: type) -> None:
    """As in the book's loops, which older releases of NumPy took."""
    x = np.array([3.0, 4.0], dtype)
    gradient = numerical_gradient(lambda x: np.sum(x.astype(np.float64) ** 2).reshape(shape), x)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, [6.0, 8.0], rtol=1e-3)


@pytest.mark.parametrize("shape", [(0,), (2,), (1, 2), (2, 1)], ids=str)
def test_several_numbers_are_no_value(shape: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match="f must return one number, got shape"):
        numerical_gradient(lambda x: np.ones(shape), np.ones(1))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_f_returns_one_number(dtype: str) -> None:
    x = np.array([1, 2], dtype)
    with pytest.raises(TypeError, match=r"f must return one number, got shape \(2,\)"):
        numerical_gradient(lambda x: x**2, x)
    np.testing.assert_array_equal(x, [1, 2])


@pytest.mark.parametrize("x", [[3, -4], (3, -4), np.array([3, -4], np.int8), np.array([3, -4], np.int64), [3.0, -4.0]])
def test_integers_and_lists_are_computed_on_a_copy(x: Any) -> None:
    before = copy.deepcopy(x)
    got = numerical_gradient(lambda x: np.sum(x**2), x)
    assert got.dtype == np.float64
    checks.close(got, [6, -8], 1e-8, "gradient")
    np.testing.assert_array_equal(x, before)


def test_f_is_called_with_x_itself_a_step_of_1e_minus_4_away() -> None:
    x = np.array([1.0, 2.0])
    seen = []
    numerical_gradient(lambda passed: seen.append((passed is x, *passed)) or 0.0, x)
    assert seen == [(True, 1.0001, 2.0), (True, 0.9999, 2.0), (True, 1.0, 2.0001), (True, 1.0, 1.9999)]


PAYLOAD = np.array([0x7FF8DEADBEEF0001], np.uint64).view(np.float64)[0]
SPECIAL = np.array([[0.0, -0.0, np.nan, PAYLOAD, np.inf], [-np.inf, 1e16, 5e-324, 1 / 3, -1e308]])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f8"])
def test_x_is_put_back_bit_for_bit(dtype: str) -> None:
    with np.errstate(over="ignore", under="ignore"):
        x = SPECIAL.astype(dtype)
    before = x.tobytes()
    numerical_gradient(lambda x: 0.0, x)
    assert x.tobytes() == before


@pytest.mark.parametrize("call", range(1, 21))
def test_x_is_put_back_when_f_raises(call: int) -> None:
    x, before, calls = SPECIAL.copy(), SPECIAL.tobytes(), []

    def f(x: np.ndarray) -> float:
        calls.append(x)
        if len(calls) == call:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(f, x)
    assert x.tobytes() == before
    assert len(calls) == call


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=3), elements=st.floats(-10, 10)))
def test_linear_functions_have_their_coefficients(x: np.ndarray) -> None:
    coefficients = np.random.default_rng(x.size).standard_normal(x.shape)
    checks.close(numerical_gradient(lambda x: np.sum(coefficients * x), x), coefficients, 1e-9, "gradient")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.broadcast_to(1.0, (3,)), ValueError, r"read-only, .* pass a copy \(x.copy\(\)\)"),
        (np.zeros((0, 2)), ValueError, r"x is empty: .* got shape \(0, 2\)"),
        (np.zeros(2, object), TypeError, "got dtype object"),
        (np.zeros(2, complex), TypeError, "got dtype complex128"),
    ],
)
def test_numerical_gradient_refuses(x: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        numerical_gradient(np.sum, x)


# gradient_descent


def square_sum(x: np.ndarray) -> Any:
    return np.sum(x**2)


def test_gradient_descent_keeps_the_way() -> None:
    start = np.array([[-3.0, 4.0], [0.5, 2.0]])
    x, history = gradient_descent(square_sum, start, lr=0.1, step_num=7)
    assert history.shape == (7, 2, 2)
    np.testing.assert_array_equal(start, [[-3, 4], [0.5, 2]])
    np.testing.assert_array_equal(history[0], start)
    for here, there in zip(history, [*history[1:], x], strict=True):
        np.testing.assert_array_equal(there, here - 0.1 * numerical_gradient(square_sum, here.copy()))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=3), st.floats(0.01, 0.4), st.integers(0, 20))
def test_gradient_descent_on_squares(start: list[float], lr: float, steps: int) -> None:
    x, history = gradient_descent(square_sum, start, lr, steps)
    checks.close(x, np.array(start) * (1 - 2 * lr) ** steps, 1e-8, "x")
    assert len(history) == steps


def test_no_step_is_a_copy_of_the_start() -> None:
    start = np.array([1.0, 2.0])
    x, history = gradient_descent(square_sum, start, step_num=0)
    np.testing.assert_array_equal(x, start)
    assert not np.shares_memory(x, start)
    assert history.shape == (0, 2)


@pytest.mark.parametrize(
    ("start", "dtype"),
    [
        ([3, -4], "float64"),
        (np.array([3, -4], np.int8), "float64"),
        (np.array([3, -4], np.float32), "float32"),
        (np.array([3, -4], np.float16), "float16"),
    ],
)
def test_dtype_of_gradient_descent(start: Any, dtype: str) -> None:
    x, history = gradient_descent(square_sum, start, lr=0.25, step_num=2)
    assert x.dtype == history.dtype == dtype
    checks.close(x, [0.75, -1], 5e-2 if dtype == "float16" else 1e-3, "x")
    np.testing.assert_array_equal(start, [3, -4])


def test_a_read_only_start_is_fine() -> None:
    x, _ = gradient_descent(square_sum, np.broadcast_to(4.0, (2,)), lr=0.25, step_num=1)
    checks.close(x, [2.0, 2.0], 1e-8, "x")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": np.nan}, ValueError, "lr must be a finite number, got nan"),
        ({"lr": np.inf}, ValueError, "lr must be a finite number, got inf"),
        ({"step_num": -1}, ValueError, "step_num must be zero or positive, got -1"),
        ({"init_x": np.zeros(0)}, ValueError, "init_x is empty"),
        ({"init_x": "a"}, TypeError, "init_x must hold real numbers"),
    ],
)
def test_gradient_descent_refuses(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gradient_descent(square_sum, **({"init_x": [1.0]} | arguments))
