"""Momentum: gradients add up to a velocity."""

from collections.abc import Callable

from fastbp.boundary.arguments import fraction
from fastbp.kernels import optimizers as kernels
from fastbp.optimizers.optimizer import Optimizer, States
from fastbp.originals import original


@original
class Momentum(Optimizer, step=kernels.momentum):
    """v ← momentum · v − lr · gradient, p ← p + v (the book's section 6.1.4; Polyak 1964).

    ValueError when lr is negative or not finite, or momentum not from 0 to 1.
    """

    def __init__(self, lr: float | Callable[[int], float] = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return self.rate(step), fraction(self.momentum, "momentum")
