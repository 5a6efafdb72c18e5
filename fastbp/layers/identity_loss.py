"""The last layer of a regression."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.labels import values_to_predict
from fastbp.kernels import identity_loss
from fastbp.kernels.identity_loss import identity_loss_backward, identity_loss_forward
from fastbp.kernels.loop import gather
from fastbp.layers.compiled import CompiledLoss
from fastbp.originals import original


@original
class IdentityWithLoss:
    """The identity and half the squared error, ½·Σ(y − t)²/N, mean over the batch (the book's sections 3.5, 4.2).

    `y` is the output of the network, `t` the values to predict as given, `loss` the loss of the last forward.
    """

    compiled = CompiledLoss(
        labels={2: gather.labels_as_probabilities},
        parts={2: identity_loss.loss_of_values},
        targets=values_to_predict,
    )

    def __init__(self) -> None:
        self.loss: float | None = None
        self.y: NDArray[Any] | None = None
        self.t: Any = None
        # A checked copy of t, and whose.
        self._t: Any = None
        self._given: Any = None

    def forward(self, x: ArrayLike, t: ArrayLike) -> float:
        """The loss of outputs x (N, ...), or (M,) of a single sample, beside values t of its shape.

        Where a sample has one output, t may have shape (N,). ValueError for other shapes.
        """
        y = arrays.inputs(x)
        values = values_to_predict(t, y.shape, y.dtype)
        self.loss = float(identity_loss_forward(y.ravel(), values.ravel(), _samples(y.shape)))
        self.y, self.t = y, t
        self._t, self._given = values, t
        return self.loss

    def backward(self, dout: ArrayLike = 1) -> NDArray[Any]:
        """dx = dout · (y − t) / N in the shape of x; dout is a number, else ValueError.

        RuntimeError before forward.
        """
        y = arrays.saved(self.y, self, "y")
        t = self._t if self.t is self._given else values_to_predict(self.t, y.shape, y.dtype)
        arrays.same_as_forward(y, t.shape, "y")
        dx = np.empty(y.shape, y.dtype)
        factor = arrays.scalar_gradient(dout)
        identity_loss_backward(factor, y.ravel(), t.ravel(), _samples(y.shape), dx.ravel())
        return dx


def _samples(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) > 1 else 1
