"""Checks of arguments that are no arrays."""

import math
import operator
from typing import Any

import numpy as np


def whole_number(value: Any, name: str, least: int) -> int:
    """The value as an int. TypeError when it is no integer (2.0 is none), ValueError when it is below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def finite(value: Any, name: str) -> float:
    """The value as a float. TypeError when it is no real number, ValueError when it is not finite."""
    if not _is_finite(value, name):
        raise ValueError(f"{name} must be a finite number, got {value}")
    return float(value)


def not_negative(value: Any, name: str) -> float:
    """The value as a float. TypeError when it is no real number, ValueError when it is negative or not finite."""
    if not (_is_finite(value, name) and value >= 0):
        raise ValueError(f"{name} must be a finite number, zero or positive, got {value}")
    return float(value)


def positive(value: Any, name: str) -> float:
    """The value as a float. TypeError when it is no real number, ValueError when it isn't above 0, or not finite."""
    if not (_is_finite(value, name) and value > 0):
        raise ValueError(f"{name} must be a finite number above zero, got {value}")
    return float(value)


def fraction(value: Any, name: str, *, below_one: bool = False) -> float:
    """The value as a float. TypeError when it is no real number, ValueError outside 0 to 1, or at 1 if `below_one`."""
    if not (_is_finite(value, name) and 0 <= value <= 1) or (below_one and value == 1):
        raise ValueError(f"{name} must be from 0 to {'below ' if below_one else ''}1, got {value}")
    return float(value)


def _is_finite(value: Any, name: str) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        raise TypeError(f"{name} must be a real number, got {value!r}") from None


def optimizer_object(value: Any, must: str = "must") -> Any:
    """The optimizer itself; TypeError when it has no `update(params, grads)` or is a class."""
    if isinstance(value, type) or not hasattr(value, "update"):
        raise TypeError(f"optimizer {must} have update(params, grads), as fastbp.SGD(lr=0.1) has, got {value!r}")
    return value


def generator(rng: Any) -> np.random.Generator | None:
    """The rng itself; TypeError when it is neither a generator nor None."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator or None, got {type(rng).__name__}")
    return rng
