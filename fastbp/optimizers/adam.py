"""Adam: momentum, and step sizes for each element."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastbp.boundary.arguments import fraction, whole_number
from fastbp.kernels import optimizers as kernels
from fastbp.optimizers.optimizer import Optimizer, States
from fastbp.originals import original


@original
class Adam(Optimizer, step=kernels.adam):
    """m ← m + (1 − beta1) · (gradient − m), v ← v + (1 − beta2) · (gradient² − v), p ← p − lr_t · m / (√v + 1e-7).

    lr_t = lr · √(1 − beta2^t) / (1 − beta1^t), t the number of the step, from 1; `iter` is how many are done. The
    book's section 6.1.6; Kingma and Ba 2014, arXiv 1412.6980. ValueError when lr is negative or not finite, or beta1
    or beta2 not from 0 to below 1.
    """

    def __init__(self, lr: float | Callable[[int], float] = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: States | None = None
        self.v: States | None = None
        self.scalars()

    @property
    def steps_done(self) -> int:
        """How many steps have been taken in the optimizer's life: `iter`."""
        return whole_number(self.iter, "iter", 0)

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        beta1, beta2 = self._betas()
        t = self.steps_done + step
        return self.rate(step) * (1.0 - beta2**t) ** 0.5 / (1.0 - beta1**t), beta1, beta2

    def step_sizes(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        beta1, beta2 = self._betas()
        # By Python's own powers, whose bits `scalars` has: 0.3 µs a step.
        numbers = enumerate(rates.tolist(), self.steps_done + 1)
        return np.array([lr * (1.0 - beta2**t) ** 0.5 / (1.0 - beta1**t) for t, lr in numbers])

    def _betas(self) -> tuple[float, float]:
        return fraction(self.beta1, "beta1", below_one=True), fraction(self.beta2, "beta2", below_one=True)

    def advance(self, steps: int) -> None:
        self.iter += steps
