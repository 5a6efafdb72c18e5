"""The rectified linear unit with a slope below 0, element by element."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import finite
from fastbp.kernels import leaky_relu
from fastbp.kernels.leaky_relu import leaky_relu_backward, leaky_relu_forward
from fastbp.layers.compiled import Compiled
from fastbp.originals import original


@original
class LeakyRelu:
    """x where x is positive, else alpha · x (Maas, Hannun and Ng 2013), with `mask` = x <= 0 of the last forward.

    NaN passes. TypeError when alpha is no number, ValueError when it is not finite.
    """

    compiled = Compiled(
        forward=leaky_relu.forward,
        backward=leaky_relu.backward,
        numbers=("alpha",),
        keeps={"mask": (np.uint8, None)},
    )

    def __init__(self, alpha: float = 0.01) -> None:
        self.alpha = finite(alpha, "alpha")
        self.mask: NDArray[np.bool_] | None = None

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """x of any shape; returns a new array of it. float32 stays float32, integers become float64.

        TypeError for anything but real numbers, ValueError when x is empty.
        """
        x = arrays.inputs(x)
        out, mask = np.empty(x.shape, x.dtype), np.empty(x.shape, np.bool_)
        leaky_relu_forward(x.ravel(), float(self.alpha), out.ravel(), mask.ravel())
        self.mask = mask
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx: dout where x was positive, else alpha · dout. RuntimeError before forward, ValueError for a shape."""
        mask = arrays.saved_mask(self.mask, self)
        dout = arrays.output_gradient(dout, mask.shape)
        dx = np.empty(dout.shape, dout.dtype)
        leaky_relu_backward(dout.ravel(), mask.ravel(), float(self.alpha), dx.ravel())
        return dx
