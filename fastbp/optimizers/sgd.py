"""Stochastic gradient descent."""

from collections.abc import Callable

from fastbp.kernels import optimizers as kernels
from fastbp.optimizers.optimizer import Optimizer
from fastbp.originals import original


@original
class SGD(Optimizer, step=kernels.sgd):
    """p ← p − lr · gradient (the book's section 6.1.2). ValueError when lr is negative or not finite."""

    adds = True

    def __init__(self, lr: float | Callable[[int], float] = 0.01) -> None:
        self.lr = lr
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return (self.rate(step),)
