"""Checks of arguments that are no arrays."""

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


def generator(rng: Any) -> np.random.Generator | None:
    """The rng itself; TypeError when it is neither a generator nor None."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator or None, got {type(rng).__name__}")
    return rng
