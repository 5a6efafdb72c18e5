"""Optimizers over dicts of parameters and gradients; parameters are changed in place."""

import math
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from fastbp import _arrays


class SGD:
    """p ← p − lr · gradient (the book's section 6.1). ValueError when lr is negative or not finite."""

    def __init__(self, lr: float = 0.01) -> None:
        if not (math.isfinite(lr) and lr >= 0):
            raise ValueError(f"lr must be a finite number, zero or positive, got {lr}")
        self.lr = lr

    def update(self, params: MutableMapping[str, Any], grads: Mapping[str, Any]) -> None:
        """A step for each parameter, or for none; arrays change in place, a Python float is replaced.

        KeyError naming a parameter without gradient, ValueError one whose gradient has another shape or that is
        read-only, TypeError one that holds no floating point numbers.
        """
        for key, parameter in params.items():
            if key not in grads:
                raise KeyError(f"no gradient for the parameter {key!r}")
            _check_step(key, parameter, grads[key])
        for key in params:
            params[key] -= self.lr * grads[key]


def _check_step(key: str, parameter: Any, gradient: Any) -> None:
    shape = np.shape(parameter)
    got = _arrays.real_array(gradient, f"the gradient of {key}").shape
    if got != shape:
        raise ValueError(f"the gradient of {key} must have its shape, {shape}, got {got}")
    if isinstance(parameter, np.ndarray):
        if parameter.dtype.kind != "f":
            raise TypeError(f"{key} must hold floating point numbers, got dtype {parameter.dtype}")
        if not parameter.flags.writeable:
            raise ValueError(f"{key} is read-only, but a step changes it in place")
