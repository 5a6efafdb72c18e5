"""Activations: element by element, any shape."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import _arrays
from fastbp.kernels.relu import relu_backward, relu_forward
from fastbp.kernels.sigmoid import sigmoid_backward, sigmoid_forward
from fastbp.originals import original


@original
class Relu:
    """max(x, 0), with `mask` = x <= 0 of the last forward (the book's section 5.5.1). NaN passes."""

    def __init__(self) -> None:
        self.mask: NDArray[np.bool_] | None = None

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """x of any shape; returns a new array of it. float32 stays float32, integers become float64."""
        x = _arrays.inputs(x)
        out, mask = np.empty(x.shape, x.dtype), np.empty(x.shape, np.bool_)
        relu_forward(x.ravel(), out.ravel(), mask.ravel())
        self.mask = mask
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx: dout where x was positive, else 0. RuntimeError before forward, ValueError for another shape."""
        mask = _arrays.saved_mask(self.mask, self)
        dout = _arrays.output_gradient(dout, mask.shape)
        dx = np.empty(dout.shape, dout.dtype)
        relu_backward(dout.ravel(), mask.ravel(), dx.ravel())
        return dx


@original
class Sigmoid:
    """1 / (1 + exp(−x)), with `out`, the very array that the last forward returned (the book's section 5.5.2)."""

    def __init__(self) -> None:
        self.out: NDArray[Any] | None = None

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """x of any shape; returns a new array of it. float32 stays float32, integers become float64."""
        x = _arrays.inputs(x)
        out = np.empty(x.shape, x.dtype)
        sigmoid_forward(x.ravel(), out.ravel())
        self.out = out
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx = dout · (1 − out) · out. RuntimeError before forward, ValueError for another shape."""
        out = _arrays.saved(self.out, self, "out")
        dout = _arrays.output_gradient(dout, out.shape, out.dtype)
        out = _arrays.kernel_array(out, dout.dtype)
        dx = np.empty(dout.shape, dout.dtype)
        sigmoid_backward(dout.ravel(), out.ravel(), dx.ravel())
        return dx
