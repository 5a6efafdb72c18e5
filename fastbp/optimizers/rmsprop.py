"""RMSprop: as AdaGrad, forgetting."""

from collections.abc import Callable

from fastbp.boundary.arguments import fraction
from fastbp.kernels import optimizers as kernels
from fastbp.optimizers.optimizer import Optimizer, States
from fastbp.originals import original


@original
class RMSprop(Optimizer, step=kernels.rmsprop):
    """h ← decay_rate · h + (1 − decay_rate) · gradient², p ← p − lr · gradient / (√h + 1e-7).

    The book's section 6.1.5; Tieleman and Hinton 2012. ValueError when lr is negative or not finite, or decay_rate not
    from 0 to 1.
    """

    def __init__(self, lr: float | Callable[[int], float] = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return self.rate(step), fraction(self.decay_rate, "decay_rate")
