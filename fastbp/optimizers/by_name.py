"""Optimizers by their names, as `Trainer` takes them."""

import inspect
from collections.abc import Mapping
from typing import Any

from fastbp.boundary.arguments import optimizer_object
from fastbp.lazy import classes
from fastbp.optimizers.optimizer import Optimizer

OPTIMIZERS: dict[str, Any] = {cls.__name__.lower(): cls for cls in classes("fastbp.optimizers") if cls is not Optimizer}


def optimizer_of(optimizer: Any, arguments: Mapping[str, Any] | None) -> Any:
    """The optimizer of a name and its arguments, None for those of the book; an object with `update` as it is.

    ValueError and TypeError for anything else.
    """
    if not isinstance(optimizer, str):
        optimizer_object(optimizer, "must be a name or")
        if arguments is not None:
            raise ValueError(f"optimizer_param goes with an optimizer's name, not with the object {optimizer!r}")
        return optimizer
    if optimizer.lower() not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {sorted(OPTIMIZERS)}, got {optimizer!r}")
    cls, given = OPTIMIZERS[optimizer.lower()], {"lr": 0.01} if arguments is None else arguments
    if not isinstance(given, Mapping):
        raise TypeError(f"optimizer_param must be a mapping such as {{'lr': 0.01}}, got {given!r}")
    known = list(inspect.signature(cls).parameters)
    if unknown := [name for name in given if name not in known]:
        raise TypeError(f"optimizer_param: {cls.__name__} takes {', '.join(known)}, not {', '.join(map(str, unknown))}")
    return cls(**given)
