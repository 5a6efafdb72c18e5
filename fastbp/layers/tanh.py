"""The hyperbolic tangent, element by element."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.kernels import tanh
from fastbp.kernels.tanh import tanh_backward, tanh_forward
from fastbp.layers.compiled import Compiled
from fastbp.originals import original


@original
class Tanh:
    """tanh(x), with `out`, the very array that the last forward returned (the book's section 6.2.2)."""

    compiled = Compiled(forward=tanh.forward, backward=tanh.backward)

    def __init__(self) -> None:
        self.out: NDArray[Any] | None = None

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """x of any shape; returns a new array of it. float32 stays float32, integers become float64.

        TypeError for anything but real numbers, ValueError when x is empty.
        """
        x = arrays.inputs(x)
        out = np.empty(x.shape, x.dtype)
        tanh_forward(x.ravel(), out.ravel())
        self.out = out
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx = dout · (1 − out²). RuntimeError before forward, ValueError for another shape."""
        out = arrays.saved(self.out, self, "out")
        dout = arrays.output_gradient(dout, out.shape, out.dtype)
        out = arrays.kernel_array(out, dout.dtype)
        dx = np.empty(dout.shape, dout.dtype)
        tanh_backward(dout.ravel(), out.ravel(), dx.ravel())
        return dx
