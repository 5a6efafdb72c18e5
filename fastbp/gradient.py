"""Gradients by central differences, and the check of backpropagation against them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.chain import Chain
from fastbp.copies import float64_copy

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


@dataclass(frozen=True)
class ParameterCheck:
    """How backpropagation and central differences agree on one parameter."""

    mean_difference: float
    max_difference: float
    relative_error: float  # ‖a − n‖ / (‖a‖ + ‖n‖)
    worst_index: tuple[int, ...]
    ok: bool


class GradientCheck(dict[str, ParameterCheck]):
    """A `ParameterCheck` for each parameter's name; prints as a table. `ok` is the verdict on all of them."""

    def __init__(self, checks: dict[str, ParameterCheck], numerical_seconds: float, backprop_seconds: float) -> None:
        super().__init__(checks)
        self.numerical_seconds = numerical_seconds
        self.backprop_seconds = backprop_seconds

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.values())

    def __str__(self) -> str:
        lines = [f"{'':<8} {'mean |diff|':>12} {'max |diff|':>12} {'relative':>12}  {'worst at':<14} verdict"]
        for name, check in self.items():
            lines.append(
                f"{name:<8} {check.mean_difference:>12.2e} {check.max_difference:>12.2e} {check.relative_error:>12.2e}"
                f"  {check.worst_index!s:<14} {'ok' if check.ok else 'BAD'}"
            )
        lines.append(f"numerical {self.numerical_seconds:.1f} s, backprop {self.backprop_seconds:.4f} s")
        return "\n".join(lines)


# In float64 central differences with h = 1e-4 are good to about 1e-9, absolute, on the book's networks. The book's
# eps=1e-7 in the loss, which its gradient leaves out, stays within the relative part; a wrong factor doesn't.
RELATIVE_TOLERANCE = 1e-5
ABSOLUTE_TOLERANCE = 1e-8


def check_gradients(network: Any, x: ArrayLike, t: ArrayLike) -> GradientCheck:
    """Backpropagation against central differences on a float64 copy of the network, for each parameter.

    The network has `params`, `gradient(x, t)` and `loss(x, t)`. Its layers may hold parameters themselves or views of
    them, as `params["W1"].T` of tied weights, in blocks, lists and dicts too: the copy keeps such relations. Where the
    two disagree, smaller steps decide, so that a kink (ReLU at 0) nearby isn't taken for a wrong gradient; at a kink
    itself the slope on either side is right.
    ValueError, and no verdict, naming the parameter, when it came apart from its layer or can't be copied.
    """
    if not network.params:
        raise ValueError("the network has no parameters: there is nothing to check")
    Chain(network).check_held()
    twin = float64_copy(network)
    x = np.array(arrays.real_array(x, "x"), np.float64)
    twin.gradient(x, t)  # compiles the kernels, outside the timing
    _check_copy(network, lambda: float(twin.loss(x, t)))
    start = time.perf_counter()
    gradients = twin.gradient(x, t)
    backprop_seconds = time.perf_counter() - start

    def loss(_: Array) -> float:
        return float(twin.loss(x, t))

    start = time.perf_counter()
    checks = {name: _check_parameter(loss, p, np.asarray(gradients[name])) for name, p in twin.params.items()}
    return GradientCheck(checks, time.perf_counter() - start, backprop_seconds)


def _check_copy(network: Any, loss: Callable[[], float]) -> None:
    """ValueError when the loss of a copy depends on the network's own arrays, as through a function that names them.

    Each of them is NaN for the time of a forward pass, and then what it was: nothing else finds whatever a closure or
    another module holds.
    """
    if np.isnan(loss()):
        return
    for name, parameter in network.params.items():
        if parameter.dtype.kind != "f" or not parameter.flags.writeable:
            continue
        kept = parameter.copy()
        try:
            parameter[...] = np.nan
            with np.errstate(invalid="ignore"):
                touched = bool(np.isnan(loss()))
        finally:
            parameter[...] = kept
        if touched:
            raise ValueError(
                f"a copy of the network still computes with params[{name!r}] of the network itself, which must be held "
                "by a function or another object that can't be copied: its gradient can't be checked"
            )


def _check_parameter(loss: Callable[[Array], float], parameter: Array, gradient: Array) -> ParameterCheck:
    if gradient.shape != parameter.shape:
        raise ValueError(f"a gradient must have its parameter's shape, {parameter.shape}, got {gradient.shape}")
    numerical = numerical_gradient(loss, parameter)
    with np.errstate(invalid="ignore"):  # inf − inf
        _measure_again(loss, parameter, gradient, numerical)
        difference = np.abs(gradient - numerical)
    size = float(np.linalg.norm(gradient) + np.linalg.norm(numerical))
    error = float(np.linalg.norm(difference))
    worst = np.unravel_index(int(np.argmax(np.where(np.isnan(difference), np.inf, difference))), difference.shape)
    return ParameterCheck(
        mean_difference=float(difference.mean()),
        max_difference=float(difference.max()),
        relative_error=error / size if size else error,
        worst_index=tuple(int(i) for i in worst),
        # An infinite gradient makes both sides infinite.
        ok=bool(error < np.inf and error <= RELATIVE_TOLERANCE * size + ABSOLUTE_TOLERANCE * np.sqrt(difference.size)),
    )


def _measure_again(loss: Callable[[Array], float], parameter: Array, gradient: Array, numerical: Array) -> None:
    """Smaller steps where the two disagree; a kink within ±h goes away, a wrong gradient stays.

    Nearer to a kink than the smallest step, the slope on either side is right: the one nearest to the gradient counts.
    """
    here = loss(parameter)
    for step in (1e-5, 1e-6):
        apart = np.abs(gradient - numerical) > 1e-7 + 1e-5 * np.abs(gradient)
        for index in (tuple(int(i) for i in where) for where in np.argwhere(apart)):
            above, below = _above_and_below(loss, parameter, index, step)
            slopes = [(above - below) / (2 * step)]
            if step == 1e-6:
                slopes += [(above - here) / step, (here - below) / step]
            numerical[index] = min(slopes, key=lambda slope: abs(slope - gradient[index]))
