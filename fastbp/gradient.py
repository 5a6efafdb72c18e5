"""Gradients by central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.provided import provided

Array = NDArray[Any]

STEP = 1e-4  # the book's h


def numerical_diff(f: Callable[[Any], Any], x: Any) -> Any:
    """(f(x + h) − f(x − h)) / 2h with h = 1e-4: the derivative of f at x (the book's section 4.3).

    float32 and float16 x is widened to float64, as it can't hold such a step.
    """
    if getattr(x, "dtype", None) in (np.float32, np.float16):
        x = x.astype(np.float64)
    return (f(x + STEP) - f(x - STEP)) / (2 * STEP)


def numerical_gradient(f: Callable[[Array], Any], x: ArrayLike) -> Array:
    """The gradient of f at x by central differences, float64 in the shape of x (the book's section 4.4).

    f is called with x itself, each element of which is changed in place and put back, also when f raises. Integer x is
    computed on a float64 copy. h is 1e-4 for float64 x, ∛eps · max(1, |x|) for float32 and float16 (0.005 and 0.1 at
    1): good for 4 and 2 digits. An f that rounds its own value to such a dtype costs more, |f| · eps / h: where |f| is
    large, let f compute in float64.
    ValueError when x can't be written, TypeError when f returns anything but one number (also in an array, of shape
    (1,) for instance).
    """
    values = arrays.real_array(x, "x")
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    elif not values.flags.writeable:
        raise ValueError("x is read-only, but each element is changed and put back: pass a copy (x.copy())")
    gradient = np.zeros(values.shape)
    for index in np.ndindex(values.shape):
        gradient[index] = _central_difference(f, values, index)
    return gradient


def _central_difference(f: Callable[[Array], Any], x: Array, index: tuple[int, ...]) -> float:
    if x.dtype.itemsize == 8:
        above, below = _above_and_below(f, x, index, STEP)
        return (above - below) / (2 * STEP)
    # Divided by the step that x can hold, not by the one that was meant.
    kept, narrow = float(x[index]), x.dtype.type
    step = float(np.finfo(narrow).eps) ** (1 / 3) * max(1.0, abs(kept))
    above, below = _above_and_below(f, x, index, step)
    return (above - below) / (float(narrow(kept + step)) - float(narrow(kept - step)))


def _above_and_below(f: Callable[[Array], Any], x: Array, index: tuple[int, ...], step: float) -> tuple[float, float]:
    """f with one element of x a step higher and a step lower."""
    kept = x[index]
    try:
        x[index] = float(kept) + step
        above = _number(f(x))
        x[index] = float(kept) - step
        below = _number(f(x))
    finally:
        x[index] = kept
    return above, below


def _number(value: Any) -> float:
    if np.size(value) != 1:
        raise TypeError(f"f must return one number, got shape {np.shape(value)}")
    return float(np.reshape(value, ()))


def gradient_descent(
    f: Callable[[Array], Any], init_x: ArrayLike, lr: float = 0.01, step_num: int = 100
) -> tuple[Array, Array]:
    """The x after `step_num` steps of x ← x − lr · gradient, and the history (step_num, ...) of x before each step.

    init_x is left as it is (the book's section 4.4); x has its dtype, float64 for integers.
    ValueError when lr isn't finite or step_num is negative.
    """
    if not np.isfinite(lr):
        raise ValueError(f"lr must be a finite number, got {lr}")
    if step_num < 0:
        raise ValueError(f"step_num must be zero or positive, got {step_num}")
    start = arrays.real_array(init_x, "init_x")
    x = np.array(start, dtype=start.dtype if start.dtype.kind == "f" else np.float64)
    history = np.empty((step_num, *x.shape), x.dtype)
    for step in range(step_num):
        history[step] = x
        x -= lr * numerical_gradient(f, x)
    return x, history


def __getattr__(name: str) -> Any:
    """What stood here in earlier releases, whose pickles name it."""
    found = provided(name) if name in ("GradientCheck", "ParameterCheck", "check_gradients") else None
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
