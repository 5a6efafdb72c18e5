"""What stands in for the book's `common.functions`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import functions as ours
from fastbp.functions import relu, sigmoid, sigmoid_grad, step_function

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "squared_error",
    "step_function",
    "sum_squared_error",
]


def identity_function(x: Any) -> Any:
    """x itself, whatever it is."""
    return x


def softmax(x: ArrayLike) -> Any:
    """exp(x) / Σ exp(x) along the last axis; of a single number 1, as the book has it."""
    return ours.softmax(x) if np.ndim(x) else ours.softmax(np.reshape(x, 1))[0]


def relu_grad(x: ArrayLike) -> NDArray[Any]:
    """1 where x >= 0, else 0, in the dtype of x: the book has 1 at 0, where its layer has 0."""
    x = np.asarray(x)
    return np.asarray(x >= 0, x.dtype)


def of_dtype(value: float, dtype: Any) -> Any:
    """A number that NumPy's own lines would have made of arrays of this dtype: np.float64, of float32 np.float32.

    Of float32 NumPy before 2 makes np.float64 as soon as Python's numbers are in it: so does this.
    """
    return dtype.type(value) / 1 if dtype == np.float32 else np.float64(value)


def sum_squared_error(y: ArrayLike, t: ArrayLike) -> Any:
    """½ Σ (y − t)² over all elements, under the name that the Japanese edition gives it."""
    return of_dtype(ours.sum_squared_error(y, t), np.result_type(np.asarray(y), np.asarray(t)))


mean_squared_error = squared_error = sum_squared_error  # the Korean edition's names


def cross_entropy_error(y: ArrayLike, t: ArrayLike) -> Any:
    """−Σ t·log(y + 1e-7) / N for probabilities y and labels t, class indices or one-hot."""
    return of_dtype(ours.cross_entropy_error(y, t), np.asarray(y).dtype)


def softmax_loss(X: ArrayLike, t: ArrayLike) -> Any:
    """The error above of softmax(X), with the book's 1e-7."""
    return cross_entropy_error(softmax(X), t)
