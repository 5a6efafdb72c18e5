"""The book's stateless functions in plain NumPy: clear, correct, and stable for any finite input.

Scores and probabilities have shape (classes,) or (batch, classes); labels are class indices or probabilities, as in
`SoftmaxWithLoss`. float32 stays float32, float16 becomes float32, integers are computed in float64. What keeps the
shape makes a number, NumPy's, of a number.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays, labels

Array = NDArray[Any]


def identity_function(x: ArrayLike) -> Any:
    """x itself, any shape: the output activation of a regression (the book's section 3.5)."""
    return _number_or_array(arrays.real_array(x, "x"))


def step_function(x: ArrayLike) -> NDArray[np.int64]:
    """1 where x > 0, else 0, any shape (the book's section 3.2)."""
    return np.asarray(arrays.real_array(x, "x") > 0, np.int64)


def sigmoid(x: ArrayLike) -> Any:
    """1 / (1 + exp(−x)), any shape; never overflows (the book's section 3.2)."""
    x = arrays.inputs(x)
    with np.errstate(under="ignore"):
        z = np.exp(-np.abs(x))
        return np.where(x < 0, z, z.dtype.type(1)) / (1 + z)


def sigmoid_grad(x: ArrayLike) -> Any:
    """The derivative of sigmoid at x, (1 − sigmoid(x)) · sigmoid(x), any shape."""
    y = sigmoid(-np.abs(arrays.inputs(x)))  # it is even, and on this side 1 − y loses no digits
    return (1 - y) * y


def relu(x: ArrayLike) -> Any:
    """max(x, 0), any shape; NaN stays NaN, integers stay integers (the book's section 3.2)."""
    array = arrays.real_array(x, "x")
    return np.maximum(array if array.dtype.kind in "iub" else arrays.inputs(array), 0)


def relu_grad(x: ArrayLike) -> Any:
    """The derivative of relu at x, any shape: 0 where x <= 0, as the layer's mask has it, else 1."""
    x = arrays.inputs(x)
    return _number_or_array(np.where(x <= 0, x.dtype.type(0), x.dtype.type(1)))


def softmax(x: ArrayLike) -> Array:
    """exp(x) / Σ exp(x) along the last axis, shifted by the maximum so that nothing overflows (section 3.5)."""
    shifted = _shifted(arrays.inputs(x))
    with np.errstate(under="ignore"):
        y = np.exp(shifted)
        return np.asarray(y / np.sum(y, axis=-1, keepdims=True))


def sum_squared_error(y: ArrayLike, t: ArrayLike) -> float:
    """½ Σ (y − t)² in float64, over all elements, not averaged; y and t have one shape (the book's section 4.2)."""
    y, t = arrays.inputs(y, "y"), arrays.inputs(t, "t")
    if y.shape != t.shape:
        raise ValueError(f"y and t must have one shape, got {y.shape} and {t.shape}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return float(0.5 * np.sum(np.subtract(y, t, dtype=np.float64) ** 2))


def mean_squared_error(y: ArrayLike, t: ArrayLike) -> float:
    """½ Σ (y − t)²: the name under which the book's Korean edition has `sum_squared_error`; not averaged either."""
    return sum_squared_error(y, t)


def cross_entropy_error(y: ArrayLike, t: ArrayLike, eps: float = 1e-7) -> float:
    """−Σ t·log(y + eps) / N for probabilities y and labels t (the book's section 4.2).

    ValueError for shapes that don't fit, an index that is no class, and an eps that is negative or not finite.
    """
    if not (0 <= eps < np.inf):
        raise ValueError(f"eps must be a finite number, zero or positive, got {eps}")
    rows, shape = labels.class_scores(y, "y")
    with np.errstate(divide="ignore", invalid="ignore"):
        return _cross_entropy(np.log(rows + rows.dtype.type(eps)), labels.targets(t, shape, rows.dtype))


def softmax_loss(X: ArrayLike, t: ArrayLike) -> float:
    """The cross-entropy of softmax(X) by log-sum-exp, exact for any finite X: no eps, unlike the book's.

    ValueError for shapes that don't fit and for an index that is no class.
    """
    rows, shape = labels.class_scores(X, "X")
    shifted = _shifted(rows)
    with np.errstate(under="ignore"):
        log_y = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return _cross_entropy(log_y, labels.targets(t, shape, rows.dtype))


def _number_or_array(x: Array) -> Any:
    return x if x.ndim else x[()]


def _shifted(x: Array) -> Array:
    if x.ndim == 0:
        raise ValueError("scores must have shape (classes,) or (batch, classes), got a scalar")
    # −1e308 − 1e308 is −inf, whose exponential is the right 0; inf − inf is NaN, as it should be.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(x - np.max(x, axis=-1, keepdims=True))


def _cross_entropy(log_y: Array, t: Array) -> float:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # A class that isn't meant costs nothing, even where log_y is −inf.
        costs = log_y[np.arange(len(t)), t] if t.ndim == 1 else t * np.where(t == 0, 0, log_y)
        return float(-np.sum(costs / len(t)))  # divided first: a sum of huge losses may overflow, their mean doesn't
