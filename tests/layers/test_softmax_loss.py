"""SoftmaxWithLoss against the oracle: labels of every form, extreme scores."""

import checks
import numpy as np
import pytest
from cases import Case
from hypothesis import given
from hypothesis import strategies as st

from fastbp import SoftmaxWithLoss, layers, reference
from fastbp.boundary.arrays import TOLERANCE

FLOAT64 = TOLERANCE[np.dtype(np.float64)]
OPERATIONS = ("softmax_loss", "softmax_loss_soft", "softmax_loss_eps")


@pytest.mark.parametrize("operation", OPERATIONS[:2])
def test_gradient(operation: str) -> None:
    checks.gradient_is_right(layers, Case(operation, (5, 7), "float64"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_second_pass(operation: str) -> None:
    checks.second_pass_is_independent(layers, Case(operation, (5, 7), "float64"))


def both(x: np.ndarray, t: object, eps: float = 0.0) -> tuple[SoftmaxWithLoss, reference.SoftmaxWithLoss]:
    """Our layer and the oracle after a forward pass, held equal in loss, softmax and gradient."""
    ours, oracle = SoftmaxWithLoss(eps), reference.SoftmaxWithLoss(eps)
    with np.errstate(invalid="ignore", divide="ignore", under="ignore", over="ignore"):
        checks.close(ours.forward(x, t), oracle.forward(x, t), FLOAT64, "loss")
        checks.close(ours.y, oracle.y, FLOAT64, "y")
        checks.close(ours.backward(0.7), oracle.backward(0.7), FLOAT64, "dx")
    return ours, oracle


X = np.random.default_rng(11).standard_normal((4, 3)) * 2
INDICES = np.array([2, 0, 1, 1])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_indices(dtype: str, shape: tuple[int, ...]) -> None:
    ours, _ = both(X, INDICES.astype(dtype).reshape(shape))
    one_hot = np.eye(3, dtype=dtype)[INDICES]
    assert both(X, one_hot)[0].loss == pytest.approx(ours.loss, rel=1e-15)


@pytest.mark.parametrize("t", [1, np.int64(1), np.array(1), np.array([1]), np.array([[1]]), np.array([0.1, 0.9, 0.3])])
def test_single_sample(t: object) -> None:
    ours, _ = both(X[0], t)
    assert ours.y.shape == ours.backward().shape == (3,)


def test_labels_are_kept_as_given() -> None:
    layer = SoftmaxWithLoss()
    layer.forward(X, INDICES)
    assert layer.t is INDICES


def test_labels_that_change_after_forward_do_no_harm() -> None:
    t = INDICES.copy()
    layer = SoftmaxWithLoss()
    layer.forward(X, t)
    expected = layer.backward()
    t[:] = 10**9
    np.testing.assert_array_equal(layer.backward(), expected)


@pytest.mark.parametrize("scale", [1e4, 1e30, 1e300])
def test_extreme_scores(scale: float) -> None:
    ours, _ = both(X * scale, INDICES)
    assert np.isfinite(ours.loss)
    np.testing.assert_allclose(ours.y.sum(axis=1), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_scores_that_are_not_finite(value: float, column: int) -> None:
    x = X.copy()
    x[1, column] = value
    both(x, INDICES)
    both(x, np.eye(3)[INDICES])


def test_all_scores_minus_infinity() -> None:
    both(np.full((2, 3), -np.inf), [0, 1])


def test_class_that_is_not_meant_costs_nothing_at_minus_infinity() -> None:
    x = np.array([[1.0, -np.inf, 2.0]])
    assert both(x, [2])[0].loss == both(x, np.array([[0, 0, 1]]))[0].loss == pytest.approx(np.log(1 + np.exp(-1)))


def test_zero_probability_with_eps_is_the_books_finite_loss() -> None:
    layer, _ = both(np.array([[0.0, 1000.0]]), [0], eps=1e-7)
    assert layer.loss == pytest.approx(-np.log(1e-7))


def test_eps_leaves_the_gradient_alone() -> None:
    exact, rough = both(X, INDICES)[0], both(X, INDICES, eps=0.1)[0]
    np.testing.assert_array_equal(exact.backward(), rough.backward())
    assert exact.loss > rough.loss + 0.01


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**31), st.floats(-1e4, 1e4))
def test_properties(batch: int, classes: int, seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((batch, classes)) * 5, rng.integers(0, classes, batch)
    layer = SoftmaxWithLoss()
    loss = layer.forward(x, t)
    dx = layer.backward()
    np.testing.assert_allclose(layer.y.sum(axis=1), 1, rtol=4e-16 * (classes + 1))
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-15 * (classes + 1))  # the gradient of a shift is 0
    assert layer.forward(x + shift, t) == pytest.approx(loss, rel=1e-9, abs=1e-9)
    assert layer.forward(x[:, ::-1], classes - 1 - t) == pytest.approx(loss, rel=1e-12)


def test_a_forward_of_ones_own_goes_with_the_backward_here() -> None:
    class Doubled(SoftmaxWithLoss):
        def forward(self, x: np.ndarray, t: np.ndarray) -> float:
            self.t, self.y = t, np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
            self.loss = -2 * float(np.log(self.y[np.arange(len(t)), t]).mean())
            return self.loss

    x, t = np.random.default_rng(3).standard_normal((4, 3)), np.array([0, 2, 1, 1])
    layer, oracle = Doubled(), reference.SoftmaxWithLoss()
    layer.forward(x, t)
    oracle.forward(x, t)
    np.testing.assert_allclose(layer.backward(), oracle.backward(), rtol=1e-12)
