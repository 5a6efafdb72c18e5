"""The last layer of a classifier."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.labels import class_scores, network_targets, targets
from fastbp.kernels import softmax_loss
from fastbp.kernels.loop import gather
from fastbp.kernels.softmax_loss import softmax_loss_backward, softmax_loss_forward
from fastbp.layers.compiled import CompiledLoss
from fastbp.originals import original


@original
class SoftmaxWithLoss:
    """Softmax and cross-entropy, mean over the batch (the book's section 5.6.3).

    `y` is the softmax, `t` the labels as given, `loss` the loss of the last forward. `eps` is added to the
    probabilities inside the logarithm: the book's loss is `eps=1e-7`. It changes the loss, never the gradient.
    """

    compiled = CompiledLoss(
        labels={1: gather.labels_as_indices, 2: gather.labels_as_probabilities},
        parts={1: softmax_loss.loss_of_indices, 2: softmax_loss.loss_of_probabilities},
        targets=network_targets,
        numbers=("eps",),
    )

    _eps = 0.0  # of a subclass whose constructor doesn't call this one

    def __init__(self, eps: float = 0.0) -> None:
        if not (0 <= eps < np.inf):
            raise ValueError(f"eps must be a finite number, zero or positive, got {eps}")
        self.eps = eps
        # Whether values to predict are refused beside a single score, as they are for every network that is trained.
        self._of_network = False
        self.loss: float | None = None
        self.y: NDArray[Any] | None = None
        self.t: Any = None
        # A checked copy of t, and whose: what a caller writes into its labels can't send the kernel out of bounds.
        self._t: Any = None
        self._given: Any = None
        self._shape: tuple[int, ...] = ()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What a pickle of the book's own layer lacks is as in a new one."""
        if "eps" not in state:
            state = vars(type(self)()) | {"_shape": np.shape(state.get("y", ()))} | state
        vars(self).update(state)

    def forward(self, x: ArrayLike, t: ArrayLike) -> float:
        """The loss of scores x (N, C), or (C,) for a single sample.

        t holds class indices, integers of shape (N,), or probabilities in the shape of x. ValueError for an index that
        is no class and for shapes that don't fit.
        """
        rows, shape = class_scores(x)
        checked = network_targets if getattr(self, "_of_network", False) else targets
        labels = checked(t, shape, rows.dtype)
        y = np.empty(rows.shape, rows.dtype)
        loss = softmax_loss_forward(rows, labels, float(getattr(self, "eps", self._eps)), y)
        self.y, self.t, self.loss = y if len(shape) == 2 else y[0], t, float(loss)
        self._t, self._given, self._shape = labels, t, shape
        return self.loss

    def backward(self, dout: ArrayLike = 1) -> NDArray[Any]:
        """dx = dout · (y·Σt − t) / N in the shape of x; dout is a number, else ValueError.

        RuntimeError before forward.
        """
        y = arrays.saved(self.y, self, "y")
        shape = self._shape or y.shape  # of a subclass's own forward there is none
        arrays.same_as_forward(y, shape, "y")
        t = self._t if self.t is self._given and self._shape else targets(self.t, shape, y.dtype)
        rows = y if y.ndim == 2 else y.reshape(1, -1)
        dx = np.empty(rows.shape, y.dtype)
        softmax_loss_backward(y.dtype.type(arrays.scalar_gradient(dout)), rows, t, dx)
        return dx if y.ndim == 2 else dx[0]
