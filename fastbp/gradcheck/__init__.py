"""The check of backpropagation against central differences."""

import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.chain import Chain
from fastbp.copies import float64_copy
from fastbp.gradcheck.judge import judge
from fastbp.gradcheck.losses import NetworkLosses, gradient_of, losses_of
from fastbp.gradcheck.verdicts import GradientCheck, ParameterCheck, Verdict

__all__ = ["GradientCheck", "ParameterCheck", "Verdict", "check_gradients", "numerical_gradients"]


def check_gradients(network: Any, x: ArrayLike, t: ArrayLike) -> GradientCheck:
    """Backpropagation against central differences on a float64 copy of the network, for each parameter.

    The network has `params`, `gradient(x, t)` and `loss(x, t)`. Its layers may hold parameters themselves or views of
    them, as `params["W1"].T` of tied weights, in blocks, lists and dicts too: the copy keeps such relations. Where
    `loss` is proved to be that of a chain of the library's layers, only what a changed parameter changes is computed.
    A `loss` that takes a `train_flg` is called with True, and dropout keeps the same numbers in all passes.

    An element on which the two disagree is at a kink (ReLU at 0) when an activation changes sign within the step and
    its gradient is right on one side; it is lost in rounding when the loss is too coarse for the step, having been
    rounded to float32 or being very large; else it is wrong. See `Verdict`.
    ValueError, and no verdict, naming the parameter, when it came apart from its layer or can't be copied.
    """
    if not network.params:
        raise ValueError("the network has no parameters: there is nothing to check")
    Chain(network).check_held()
    twin = float64_copy(network)
    x = np.array(arrays.real_array(x, "x"), np.float64)
    own = NetworkLosses(twin, x, t)
    try:
        twin.gradient(x, t)  # compiles the kernels, outside the timing
        _check_copy(network, own)
        if own.draws:
            own.draws.restore()
        start = time.perf_counter()
        gradients = {name: np.asarray(gradient) for name, gradient in twin.gradient(x, t).items()}
        backprop_seconds = time.perf_counter() - start
        start = time.perf_counter()
        losses = losses_of(own)
        checks = {name: judge(losses, name, gradients[name]) for name in twin.params}
    finally:
        if own.draws:
            own.draws.restore()
    return GradientCheck(checks, time.perf_counter() - start, backprop_seconds)


def numerical_gradients(network: Any, x: ArrayLike, t: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """The gradient of `network.loss(x, t)` for each parameter by central differences with h = 1e-4, in float64.

    A network with other parameters than float64 is copied for it. Where `loss` is proved to be that of a chain of the
    library's layers, it isn't called at all, and this takes a hundredth of the time; else its parameters are changed in
    place and put back. ValueError, naming the parameter, as in `check_gradients`.
    """
    Chain(network).check_held()
    if any(getattr(parameter, "dtype", None) != np.float64 for parameter in network.params.values()):
        network, x = float64_copy(network), np.array(arrays.real_array(x, "x"), np.float64)
    own = NetworkLosses(network, arrays.real_array(x, "x"), t)
    try:
        losses = losses_of(own)
        return {name: gradient_of(losses, name) for name in network.params}
    finally:
        if own.draws:
            own.draws.restore()


def _check_copy(network: Any, losses: NetworkLosses) -> None:
    """ValueError when the loss of a copy depends on the network's own arrays, as through a function that names them.

    Each of them is NaN for the time of a forward pass, and then what it was: nothing else finds whatever a closure or
    another module holds.
    """
    if np.isnan(losses.here()):
        return
    for name, parameter in network.params.items():
        if parameter.dtype.kind != "f" or not parameter.flags.writeable:
            continue
        kept = parameter.copy()
        try:
            parameter[...] = np.nan
            with np.errstate(invalid="ignore"):
                touched = bool(np.isnan(losses.here()))
        finally:
            parameter[...] = kept
        if touched:
            raise ValueError(
                f"a copy of the network still computes with params[{name!r}] of the network itself, which must be held "
                "by a function or another object that can't be copied: its gradient can't be checked"
            )
