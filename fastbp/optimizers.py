"""Optimizers over dicts of parameters and gradients; parameters are changed in place."""

import math
from collections.abc import Mapping, MutableMapping
from typing import Any


class SGD:
    """p ← p − lr · gradient (the book's section 6.1). ValueError when lr is negative or not finite."""

    def __init__(self, lr: float = 0.01) -> None:
        if not (math.isfinite(lr) and lr >= 0):
            raise ValueError(f"lr must be a finite number, zero or positive, got {lr}")
        self.lr = lr

    def update(self, params: MutableMapping[str, Any], grads: Mapping[str, Any]) -> None:
        """A step for each parameter; arrays change in place, a Python float is replaced. KeyError without gradient."""
        for key in params:
            params[key] -= self.lr * grads[key]
