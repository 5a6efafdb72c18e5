"""What stands in for the book's `common.gradient`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.gradient import numerical_gradient

__all__ = ["np", "numerical_gradient", "numerical_gradient_2d"]


def numerical_gradient_2d(f: Callable[[NDArray[Any]], Any], X: ArrayLike) -> NDArray[Any]:
    """The gradient of f at each row of X by central differences: f takes a row. X of one axis is a single row."""
    X = np.asarray(X)
    return numerical_gradient(f, X) if X.ndim == 1 else np.array([numerical_gradient(f, row) for row in X])


_numerical_gradient_1d = numerical_gradient
