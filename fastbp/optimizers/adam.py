"""Adam: momentum, and step sizes for each element."""

import numpy as np
from numpy.typing import NDArray

from fastbp.boundary.arguments import not_negative, share, whole_number
from fastbp.optimizers.optimizer import Optimizer, States
from fastbp.originals import original


@original
class Adam(Optimizer):
    """m ← m + (1 − beta1) · (gradient − m), v ← v + (1 − beta2) · (gradient² − v), p ← p − lr_t · m / (√v + 1e-7).

    lr_t = lr · √(1 − beta2^t) / (1 − beta1^t), t the number of the step, from 1; `iter` is how many are done. The
    book's section 6.1.6; Kingma and Ba 2014, arXiv 1412.6980. ValueError when lr is negative or not finite, or beta1
    or beta2 not from 0 to below 1.
    """

    kind = "adam"
    state_names = ("m", "v")

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: States | None = None
        self.v: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        lr = not_negative(self.lr, "lr")
        beta1, beta2 = (share(getattr(self, name), name, below_one=True) for name in ("beta1", "beta2"))
        t = whole_number(self.iter, "iter", 0) + step
        return lr * (1.0 - beta2**t) ** 0.5 / (1.0 - beta1**t), beta1, beta2

    def step_sizes(self, steps: int) -> NDArray[np.float64]:
        _, beta1, beta2 = self.scalars()
        lr, done = float(self.lr), self.iter
        # By Python's own powers, whose bits `scalars` has: 0.3 µs a step.
        return np.array([lr * (1.0 - beta2**t) ** 0.5 / (1.0 - beta1**t) for t in range(done + 1, done + steps + 1)])

    def advance(self, steps: int) -> None:
        self.iter += steps
