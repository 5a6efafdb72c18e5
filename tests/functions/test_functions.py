"""The stateless functions against long double arithmetic; what all of them promise, the losses among them."""

import math
from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import pytest
from cases import DTYPES, FLAVOURS
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastbp import functions
from fastbp.boundary.arrays import TOLERANCE
from fastbp.functions import (
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)

Function = Callable[..., Any]

LARGEST = 1e308
ANY_FINITE = st.floats(-LARGEST, LARGEST)


def exact_softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# In long double: textbook formulas, without any of the precautions.
EXACT: dict[Function, Function] = {
    identity_function: lambda x: x,
    step_function: lambda x: np.where(x > 0, 1, 0),
    sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    sigmoid_grad: lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    relu: lambda x: np.where(x > 0, x, 0),
    relu_grad: lambda x: np.where(x > 0, 1, 0),
    softmax: exact_softmax,
}
LOSSES = (sum_squared_error, mean_squared_error, cross_entropy_error, softmax_loss)


def name(function: object) -> str:
    return getattr(function, "__name__", str(function))


every_map = pytest.mark.parametrize("function", EXACT, ids=name)
every_function = pytest.mark.parametrize("function", [*EXACT, *LOSSES], ids=name)

RNG = np.random.default_rng(3)
X = RNG.standard_normal((4, 3)) * 3
Y = exact_softmax(X)
SOFT = RNG.random((4, 3))


def call(function: Function, x: Any) -> Any:
    """The function at x, with labels where it takes some."""
    return function(x, SOFT) if function in LOSSES else function(x)


@every_map
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (1, 1), (4, 5), (2, 3, 2, 5)], ids=str)
def test_values(function: Function, dtype: str, shape: tuple[int, ...]) -> None:
    x = np.asarray(np.random.default_rng(17).standard_normal(shape) * 4, dtype)
    got = function(x)
    assert got.dtype == ("int64" if function is step_function else dtype)
    checks.close(got, EXACT[function](x.astype(np.longdouble)), TOLERANCE[np.dtype(dtype)], name(function))


@every_function
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_any_memory_layout_gives_the_same_bits(function: Function, flavour: str) -> None:
    x = FLAVOURS[flavour](Y)
    before = x.copy()
    np.testing.assert_array_equal(call(function, x), call(function, Y))
    np.testing.assert_array_equal(x, before)


@every_function
def test_inputs_are_not_changed(function: Function) -> None:
    x, t = Y.copy(), SOFT.copy()
    function(x, t) if function in LOSSES else function(x)
    np.testing.assert_array_equal(x, Y)
    np.testing.assert_array_equal(t, SOFT)


@every_function
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "bool"])
def test_integers_are_computed_in_float64_where_they_become_others(function: Function, dtype: str) -> None:
    x = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]], dtype)
    got = np.asarray(call(function, x))
    np.testing.assert_array_equal(got, call(function, x.astype(np.float64)))
    np.testing.assert_array_equal(got, call(function, x.tolist()))
    chosen = np.dtype(np.int64) if dtype == "bool" else x.dtype
    kept = {step_function: np.dtype(np.int64), identity_function: x.dtype, relu: chosen}
    assert got.dtype == kept.get(function, np.dtype(np.float64))


@every_function
def test_float16_is_computed_in_float32(function: Function) -> None:
    x = Y.astype(np.float16)
    got = np.asarray(call(function, x))
    np.testing.assert_array_equal(got, call(function, x.astype(np.float32)))
    if function in (sigmoid, sigmoid_grad, relu, relu_grad, softmax):
        assert got.dtype == np.float32


@pytest.mark.parametrize("function", [identity_function, sigmoid, sigmoid_grad, relu, relu_grad], ids=name)
@pytest.mark.parametrize("x", [2, 2.5, np.float32(2.5), np.array(2.5), True], ids=repr)
def test_a_number_of_a_number(function: Function, x: Any) -> None:
    """As the book's: it is a key of a dict, and goes into JSON where it is a float."""
    y = function(x)
    assert isinstance(y, np.generic)
    assert {y: 1}[y] == 1
    np.testing.assert_array_equal(y, function(np.array([x]))[0])
    assert y.dtype == function(np.array([x])).dtype


def test_relu_of_an_integer_is_an_index() -> None:
    assert [10, 20, 30][relu(2)] == 30
    assert isinstance(relu(2.5), float)


def test_smallest_int8_has_no_positive_counterpart() -> None:
    assert sigmoid(np.int8(-128)) == pytest.approx(math.exp(-128), rel=1e-15)
    assert sigmoid_grad(np.int8(-128)) == pytest.approx(math.exp(-128), rel=1e-15)


@every_function
@pytest.mark.parametrize("bad", [Y + 0j, Y.astype(object), np.full((4, 3), "a"), np.ma.masked_less(Y, 0.5)])
def test_other_dtypes_are_refused(function: Function, bad: Any) -> None:
    with pytest.raises(TypeError, match=r"must hold real numbers|masked array"):
        call(function, bad)


@every_function
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)], ids=str)
def test_empty_arrays_are_refused(function: Function, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="is empty: expected at least one element, got shape"):
        call(function, np.zeros(shape))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (step_function, [0, 0, 0, 1, 0, 1]),
        (sigmoid, [0.5, 0.5, np.nan, 1, 0, 0.5]),
        (sigmoid_grad, [0.25, 0.25, np.nan, 0, 0, 0.25]),
        (relu, [0, 0, np.nan, np.inf, 0, 5e-324]),
        (relu_grad, [0, 0, 1, 1, 0, 1]),  # as the layer: what isn't <= 0 passes
    ],
    ids=name,
)
def test_zero_nan_and_infinity(function: Function, expected: list[float]) -> None:
    x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324])
    np.testing.assert_array_equal(function(x), expected)
    for value, wanted in zip(x, expected, strict=True):
        np.testing.assert_array_equal(function(value), np.array(wanted), err_msg=f"the scalar {value}")
        assert np.shape(function(value)) == ()


@every_map
@given(x=hnp.arrays(np.float64, hnp.array_shapes(max_dims=3), elements=ANY_FINITE))
@example(x=np.array([[LARGEST, -LARGEST, 0.0, 709.0, 710.0, -745.0, -746.0, 5e-324]]))
def test_any_finite_input(function: Function, x: np.ndarray) -> None:
    with np.errstate(all="raise"):
        got = function(x)
    with np.errstate(all="ignore"):
        expected = EXACT[function](x.astype(np.longdouble))
    finite = np.isfinite(expected)  # where long double is no wider than double, the naive formulas overflow
    checks.close(np.where(finite, got, 0), np.where(finite, expected, 0), 1e-14, name(function))
    assert np.isfinite(got).all()


@given(st.floats(-700, 700))
def test_sigmoid_grad_keeps_its_digits_on_both_sides(x: float) -> None:
    z = math.exp(-abs(x))
    assert sigmoid_grad(x) == pytest.approx(z / (1 + z) ** 2, rel=1e-14, abs=0)


@given(ANY_FINITE)
def test_sigmoid_is_symmetric(x: float) -> None:
    assert sigmoid(x) + sigmoid(-x) == pytest.approx(1, abs=5e-16)  # two rounded numbers and their rounded sum


def test_identity_function_is_the_array_itself() -> None:
    assert identity_function(X) is X


# softmax


def test_softmax_of_a_batch_is_that_of_each_sample() -> None:
    y = softmax(X)
    for i, row in enumerate(X):
        np.testing.assert_array_equal(softmax(row), y[i])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([LARGEST, -LARGEST, LARGEST], [0.5, 0, 0.5]),
        ([-LARGEST, -LARGEST], [0.5, 0.5]),
        ([0, -np.inf], [1, 0]),
        ([0, np.inf], [np.nan, np.nan]),
        ([0, np.nan], [np.nan, np.nan]),
        ([-np.inf, -np.inf], [np.nan, np.nan]),
    ],
)
def test_softmax_of_extremes(scores: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(softmax(scores), expected)
    np.testing.assert_array_equal(softmax([[1.0] * len(scores), scores])[0], softmax([1.0] * len(scores)))


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3), elements=ANY_FINITE))
def test_softmax_is_a_distribution_in_the_order_of_the_scores(x: np.ndarray) -> None:
    y = softmax(x)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-15 * (x.shape[-1] + 1))
    order = np.argsort(x, axis=-1)
    assert (np.diff(np.take_along_axis(y, order, axis=-1)) >= 0).all()


@pytest.mark.parametrize("function", [softmax, softmax_loss, cross_entropy_error], ids=name)
def test_scalar_scores_are_refused(function: Function) -> None:
    with pytest.raises(ValueError, match=r"must have shape .*(got a scalar|got \(\))"):
        function(1.0) if function is softmax else function(1.0, 0)


def test_no_function_is_left_out() -> None:
    home = functions.__name__
    public = {key for key, f in vars(functions).items() if getattr(f, "__module__", "") == home and key[0] != "_"}
    assert public == {name(function) for function in (*EXACT, *LOSSES)}
