"""The stateless functions against long double arithmetic and against sums written out."""

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
from fastbp._arrays import TOLERANCE
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
CLASSIFICATION = (cross_entropy_error, softmax_loss)


def name(function: object) -> str:
    return getattr(function, "__name__", str(function))


every_map = pytest.mark.parametrize("function", EXACT, ids=name)
every_function = pytest.mark.parametrize("function", [*EXACT, *LOSSES], ids=name)
both_losses = pytest.mark.parametrize("function", CLASSIFICATION, ids=name)

RNG = np.random.default_rng(3)
X = RNG.standard_normal((4, 3)) * 3
Y = exact_softmax(X)
SOFT = RNG.random((4, 3))
T = np.array([2, 0, 1, 1])


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
def test_integers_are_computed_in_float64(function: Function, dtype: str) -> None:
    x = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]], dtype)
    got = np.asarray(call(function, x))
    np.testing.assert_array_equal(got, call(function, x.astype(np.float64)))
    np.testing.assert_array_equal(got, call(function, x.tolist()))
    kept = {step_function: np.dtype(np.int64), identity_function: x.dtype}
    assert got.dtype == kept.get(function, np.dtype(np.float64))


@every_function
def test_float16_is_computed_in_float32(function: Function) -> None:
    x = Y.astype(np.float16)
    got = np.asarray(call(function, x))
    np.testing.assert_array_equal(got, call(function, x.astype(np.float32)))
    if function in (sigmoid, sigmoid_grad, relu, relu_grad, softmax):
        assert got.dtype == np.float32


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
    assert sigmoid(x) + sigmoid(-x) == pytest.approx(1, abs=2e-16)


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


# squared error


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (9,), (5, 4)], ids=str)
def test_squared_error(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(23)
    y, t = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
    pairs = zip(y.ravel().tolist(), t.ravel().tolist(), strict=True)
    expected = 0.5 * math.fsum((a - b) ** 2 for a, b in pairs)
    got = sum_squared_error(y, t)
    assert type(got) is float
    assert got == pytest.approx(expected, rel=1e-13)
    assert mean_squared_error(y, t) == got


@pytest.mark.parametrize(
    ("y", "t", "expected"),
    [
        (np.array([0.1, 0.05, 0.6], np.float32), [0, 0, 1], 0.08625),
        (np.array([200], np.uint8), np.array([255], np.uint8), 0.5 * 55**2),
        (np.array([1e25], np.float32), np.array([0], np.float32), 0.5e50),
        ([LARGEST], [-LARGEST], np.inf),
        ([1e-300], [0.0], 0.0),
        ([np.inf], [np.inf], np.nan),
        ([1.0, np.nan], [1.0, 2.0], np.nan),
    ],
)
def test_squared_error_of_extremes(y: Any, t: Any, expected: float) -> None:
    assert sum_squared_error(y, t) == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_squared_error_wants_one_shape() -> None:
    with pytest.raises(ValueError, match=r"y and t must have one shape, got \(4, 3\) and \(4,\)"):
        sum_squared_error(X, T)


# cross-entropy


def entropy(y: np.ndarray, p: np.ndarray, eps: float) -> float:
    """−Σ p·log(y + eps) / N, number by number."""
    terms = [b * math.log(a + eps) for a, b in zip(y.ravel().tolist(), p.ravel().tolist(), strict=True) if b]
    return -math.fsum(terms) / len(y)


def exact_loss(x: np.ndarray, t: np.ndarray) -> float:
    """The mean over rows of log Σ exp(x − x[t]), in long double."""
    wide = np.asarray(x, np.longdouble)
    largest = wide.max(axis=1)
    meant = wide[np.arange(len(x)), t]
    with np.errstate(under="ignore"):
        tail = np.log(np.exp(wide - largest[:, None]).sum(axis=1))
    return float(np.mean(largest - meant + tail))


@pytest.mark.parametrize("eps", [1e-7, 0.0, 0.01])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_error(dtype: str, eps: float) -> None:
    y, tolerance = Y.astype(dtype), TOLERANCE[np.dtype(dtype)]
    checks.close(cross_entropy_error(y, T, eps), entropy(y, np.eye(3)[T], eps), tolerance, "indices")
    checks.close(cross_entropy_error(y, SOFT, eps), entropy(y, SOFT, eps), tolerance, "soft labels")
    assert type(cross_entropy_error(y, T)) is float


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_loss(dtype: str) -> None:
    x, tolerance = X.astype(dtype), TOLERANCE[np.dtype(dtype)]
    checks.close(softmax_loss(x, T), exact_loss(x, T), tolerance, "indices")
    soft = sum(SOFT[i, j] * exact_loss(x[i : i + 1], np.array([j])) for i, j in np.ndindex(4, 3)) / 4
    checks.close(softmax_loss(x, SOFT), soft, tolerance, "soft labels")
    assert type(softmax_loss(x, T)) is float


def test_the_book_has_eps_of_1e_minus_7() -> None:
    assert cross_entropy_error([1.0, 0.0], 1) == pytest.approx(-math.log(1e-7), rel=1e-15)
    assert cross_entropy_error([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0], 2) == 0.510825457099338


INDEX_FORMS = [
    T.astype(dtype).reshape(shape) for dtype in ("int8", "uint8", "int64", "uint64") for shape in (4, (4, 1))
]
ONE_HOT_FORMS = [np.eye(3)[T].astype(dtype) for dtype in ("int8", "uint64", "bool", "float16", "float32", "float64")]


@both_losses
@pytest.mark.parametrize(
    "t", [*INDEX_FORMS, T.tolist(), *ONE_HOT_FORMS, np.eye(3)[T].tolist()], ids=lambda t: f"{np.shape(t)}"
)
def test_every_form_of_label(function: Function, t: Any) -> None:
    assert function(Y, t) == pytest.approx(function(Y, T), rel=1e-15)


@both_losses
@pytest.mark.parametrize("t", [1, np.uint8(1), [1], [[1]], [0, 1, 0], [0.0, 1.0, 0.0]], ids=str)
def test_single_sample(function: Function, t: Any) -> None:
    assert function(Y[0], t) == pytest.approx(function(Y[:1], [1]), rel=1e-15)


BAD_LABELS: list[tuple[Any, type[Exception], str]] = [
    ([2, 0, 3, 1], ValueError, r"t\[2\] is 3, but the 3 classes are 0 to 2"),
    ([2, -1, 0, 1], ValueError, r"t\[1\] is -1, but the 3 classes"),
    ([[2], [0], [1], [7]], ValueError, r"t\[3\] is 7"),
    (np.array([2, 0, 1, 2**64 - 1], np.uint64), ValueError, r"t\[3\] is 18446744073709551615"),
    ([0.5, 0, 1, 2], TypeError, "class indices must be integers, got t of dtype float64"),
    ([2.0, 0.0, 1.0, 1.0], TypeError, "class indices must be integers"),
    ([np.nan, 0, 1, 2], TypeError, "class indices must be integers"),
    ([[0.5], [0], [1], [2]], TypeError, "class indices must be integers"),
    ([True, False, True, True], TypeError, "class indices must be integers, got t of dtype bool"),
    ([], ValueError, "t is empty"),
    ([2, 0, 1], ValueError, r"t must have shape \(4,\) \(class indices\) or \(4, 3\) .*, got \(3,\)"),
    ([[2, 0], [1, 1]], ValueError, r"got \(2, 2\)"),
    ([[2, 0, 1, 1]], ValueError, r"got \(1, 4\)"),
    (1, ValueError, r"got \(\)"),
    (SOFT.T, ValueError, r"got \(3, 4\)"),
    (["a", "b", "c", "d"], TypeError, "t must hold real numbers"),
    (T.astype(object), TypeError, "t must hold real numbers"),
    (SOFT + 0j, TypeError, "t must hold real numbers"),
]


@both_losses
@pytest.mark.parametrize(("t", "error", "message"), BAD_LABELS, ids=[message for _, _, message in BAD_LABELS])
def test_bad_labels(function: Function, t: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(Y, t)


@both_losses
def test_scores_have_one_or_two_axes(function: Function) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(batch, classes\) or \(classes,\), got \(2, 2, 3\)"):
        function(Y.reshape(2, 2, 3), T)


@given(
    st.data(),
    st.integers(1, 5),
    st.integers(1, 6),
)
def test_softmax_loss_of_any_finite_scores(data: st.DataObject, batch: int, classes: int) -> None:
    # Up to 8e307 between two scores; further apart the loss itself may be more than a double holds.
    x = data.draw(hnp.arrays(np.float64, (batch, classes), elements=st.floats(-LARGEST * 0.4, LARGEST * 0.4)))
    t = data.draw(hnp.arrays(np.int64, batch, elements=st.integers(0, classes - 1)))
    with np.errstate(all="raise"):
        got = softmax_loss(x, t)
        assert softmax_loss(x, np.eye(classes)[t]) == pytest.approx(got, rel=1e-15)
    assert got == pytest.approx(exact_loss(x, t), rel=1e-13, abs=1e-14)


@pytest.mark.parametrize(
    ("scores", "t", "expected"),
    [
        ([[LARGEST, -0.5e308]] * 2, [1, 1], 1.5e308),  # the sum over the batch is more than a double holds
        ([[LARGEST, -LARGEST]], [0], 0.0),
        ([[LARGEST, -LARGEST]], [1], np.inf),
        ([[LARGEST] * 4], [3], math.log(4)),
        ([[1.0, -np.inf, 2.0]], [2], math.log1p(math.exp(-1))),
        ([[1.0, -np.inf, 2.0]], [[0, 0, 1]], math.log1p(math.exp(-1))),
        ([[1.0, -np.inf, 2.0]], [1], np.inf),
        ([[1.0, np.inf, 2.0]], [0], np.nan),
        ([[1.0, np.nan, 2.0]], [0], np.nan),
        ([[1.0, 2.0]], [[np.nan, 1.0]], np.nan),
    ],
)
def test_softmax_loss_of_extremes(scores: Any, t: Any, expected: float) -> None:
    assert softmax_loss(scores, t) == pytest.approx(expected, rel=1e-14, nan_ok=True)


@pytest.mark.parametrize(
    ("y", "t", "eps", "expected"),
    [
        ([[0.0, 1.0]], [0], 1e-7, -math.log(1e-7)),
        ([[0.0, 1.0]], [0], 0.0, np.inf),
        ([[0.0, 1.0]], [[0.0, 1.0]], 0.0, 0.0),
        ([[LARGEST, 1.0]], [0], 1e-7, -math.log(LARGEST)),
        ([[0.5, np.nan]], [0], 1e-7, -math.log(0.5 + 1e-7)),
        ([[0.5, np.nan]], [1], 1e-7, np.nan),
        ([[-0.5, 1.0]], [0], 1e-7, np.nan),  # the logarithm of a negative number
    ],
)
def test_cross_entropy_error_of_extremes(y: Any, t: Any, eps: float, expected: float) -> None:
    assert cross_entropy_error(y, t, eps) == pytest.approx(expected, rel=1e-14, nan_ok=True)


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(0, LARGEST)), st.lists(st.integers(0, 3), min_size=3, max_size=3)
)
def test_cross_entropy_error_of_any_finite_numbers(y: np.ndarray, t: list[int]) -> None:
    with np.errstate(all="raise"):
        got = cross_entropy_error(y, t)
    assert got == pytest.approx(entropy(y, np.eye(4)[t], 1e-7), rel=1e-13, abs=1e-14)


def test_softmax_loss_is_the_cross_entropy_of_softmax() -> None:
    assert softmax_loss(X, SOFT) == pytest.approx(cross_entropy_error(softmax(X), SOFT, eps=0), rel=1e-14)


def test_no_function_is_left_out() -> None:
    home = functions.__name__
    public = {key for key, f in vars(functions).items() if getattr(f, "__module__", "") == home and key[0] != "_"}
    assert public == {name(function) for function in (*EXACT, *LOSSES)}
