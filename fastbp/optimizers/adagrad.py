"""AdaGrad: each element has a step size of its own, which shrinks."""

from collections.abc import Callable

from fastbp.kernels import optimizers as kernels
from fastbp.optimizers.optimizer import Optimizer, States
from fastbp.originals import original


@original
class AdaGrad(Optimizer, step=kernels.adagrad):
    """h ← h + gradient², p ← p − lr · gradient / (√h + 1e-7) (the book's section 6.1.5; Duchi, Hazan, Singer 2011).

    ValueError when lr is negative or not finite.
    """

    def __init__(self, lr: float | Callable[[int], float] = 0.01) -> None:
        self.lr = lr
        self.h: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return (self.rate(step),)
