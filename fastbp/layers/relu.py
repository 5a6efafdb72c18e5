"""The rectified linear unit, element by element."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.kernels import relu
from fastbp.kernels.relu import relu_backward, relu_forward
from fastbp.layers.compiled import Compiled
from fastbp.originals import original


@original
class Relu:
    """max(x, 0), with `mask` = x <= 0 of the last forward (the book's section 5.5.1). NaN passes."""

    compiled = Compiled(forward=relu.forward, backward=relu.backward, keeps={"mask": (np.uint8, None)}, epilogue="relu")

    def __init__(self) -> None:
        self.mask: NDArray[np.bool_] | None = None

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """x of any shape; returns a new array of it. float32 stays float32, integers become float64.

        TypeError for anything but real numbers, ValueError when x is empty.
        """
        x = arrays.inputs(x)
        out, mask = np.empty(x.shape, x.dtype), np.empty(x.shape, np.bool_)
        relu_forward(x.ravel(), out.ravel(), mask.ravel())
        self.mask = mask
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx: dout where x was positive, else 0. RuntimeError before forward, ValueError for another shape."""
        mask = arrays.saved_mask(self.mask, self)
        dout = arrays.output_gradient(dout, mask.shape)
        dx = np.empty(dout.shape, dout.dtype)
        relu_backward(dout.ravel(), mask.ravel(), dx.ravel())
        return dx
