"""What the Korean edition, and early ones of the Japanese, compute otherwise than the present Japanese one."""

from collections.abc import Mapping, MutableMapping
from typing import Any

from fastbp import layers, optimizers

__all__ = ["Nesterov", "Pooling"]


class Nesterov(optimizers.Momentum):
    """v ← momentum · v − lr · gradient, then p ← p + momentum² · v − (1 + momentum) · lr · gradient.

    The velocity is changed before the parameters take it, half a step too early: what these editions train by.
    """

    def update(self, params: MutableMapping[str, Any], grads: Mapping[str, Any]) -> None:
        """A step for each parameter, in NumPy; arrays change in place. Errors as in the other optimizers."""
        lr, momentum = self.scalars()
        self.state_for(params)
        velocities = self.v or {}
        for key in params:
            velocity = velocities[key]
            velocity *= momentum
            velocity -= lr * grads[key]
            params[key] += momentum * momentum * velocity - (1 + momentum) * lr * grads[key]


class Pooling(layers.Pooling):
    """Windows that lie one pixel apart where nothing else is said."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 1, pad: int = 0) -> None:
        super().__init__(pool_h, pool_w, stride, pad)
