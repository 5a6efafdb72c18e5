"""The loss functions against sums written out, in float64 and long double."""

import math
from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import pytest
from cases import DTYPES
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastbp.boundary.arrays import TOLERANCE
from fastbp.functions import cross_entropy_error, mean_squared_error, softmax, softmax_loss, sum_squared_error

Function = Callable[..., Any]

LARGEST = 1e308

both_losses = pytest.mark.parametrize("function", [cross_entropy_error, softmax_loss], ids=lambda f: f.__name__)

RNG = np.random.default_rng(3)
X = RNG.standard_normal((4, 3)) * 3
Y = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
SOFT = RNG.random((4, 3))
T = np.array([2, 0, 1, 1])


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


@pytest.mark.parametrize("eps", [-1, -1e-300, np.nan, np.inf])
def test_a_bad_eps_is_refused(eps: float) -> None:
    with pytest.raises(ValueError, match=f"eps must be a finite number, zero or positive, got {eps}"):
        cross_entropy_error(Y, T, eps)
