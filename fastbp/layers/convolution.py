"""The convolution of images with filters."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays, images
from fastbp.boundary.arguments import whole_number
from fastbp.kernels import convolution
from fastbp.kernels.convolution import (
    convolution_backward,
    convolution_backward_threads,
    convolution_forward,
    convolution_forward_threads,
)
from fastbp.kernels.images.shape import gradient_elements, scratch_sizes
from fastbp.kernels.optimizers import penalty
from fastbp.layers.compiled import Compiled, Shape
from fastbp.originals import original
from fastbp.system import threads
from fastbp.util import col2im, im2col
from fastbp.when_read import MadeWhenRead, assigned, forget


def _output_shape(layer: Any, inputs: Shape) -> Shape:
    W, b = layer.W, layer.b
    if len(inputs) != 3:
        raise ValueError(
            f"x must be images, (C, H, W) each, to go with W of shape {np.shape(W)}, got {inputs}{images.flat(inputs)}"
        )
    if W.ndim != 4 or W.shape[1] != inputs[0] or np.shape(b) not in ((), W.shape[:1]):
        raise ValueError(f"W of shape {W.shape} and b of shape {np.shape(b)} don't go with images of shape {inputs}")
    return (int(W.shape[0]), *images.output_size(inputs[1:], W.shape[2:], layer.stride, layer.pad))


def _sizes(layer: Any, inputs: Shape) -> tuple[int, ...]:
    """What `kernels.images.shape.Shape` holds."""
    return (*inputs, *_filter_sizes(layer.W), *_moves(layer), *_output_shape(layer, inputs)[1:])


def _moves(layer: Any) -> tuple[int, int]:
    """Stride and pad as Python's integers: sizes that are computed by them overflow NumPy's small ones."""
    return whole_number(layer.stride, "stride", 1), whole_number(layer.pad, "pad", 0)


def _filter_sizes(W: NDArray[Any]) -> tuple[int, ...]:
    return W.shape[0], *W.shape[2:]


def _flops(layer: Any, inputs: Shape) -> int:
    return 2 * int(layer.W.size) * math.prod(_output_shape(layer, inputs)[1:])


@original
class Convolution:
    """Filters over images (the book's section 7.4). W and b are the caller's own arrays, read anew at each call.

    W has shape (FN, C, FH, FW); b has shape (FN,) or is a number. Filters are moved by `stride` pixels, over images
    with `pad` zeros on each side. `dW` and `db` are the gradients of the last backward, `x` the (N, C, H, W) input of
    the last forward, the caller's own memory where a kernel can read it as it is. `col` and `col_W` are made when they
    are read; where a subclass's own forward assigns them, `backward` takes those.
    """

    compiled = Compiled(
        forward=convolution.forward,
        backward=convolution.backward,
        update=convolution.update,
        penalty=penalty,
        parameters=("W", "b"),
        decays=("W",),
        options=("stride", "pad"),
        sizes=_sizes,
        output_shape=_output_shape,
        constant_size=lambda layer: int(layer.W.shape[0]),
        sums=lambda layer, inputs, dtype: gradient_elements(_sizes(layer, inputs), dtype),
        scratch=lambda layer, inputs, dtype: scratch_sizes(_sizes(layer, inputs), 1, dtype)[0],
        update_rows=lambda layer, inputs: int(layer.W.shape[0]),
        flops=_flops,
        backward_is_dx=False,
        dx_is_optional=True,
        epilogues=("relu",),
        masks_gradient=True,
    )

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x: NDArray[Any] | None = None
        self.dW: NDArray[Any] | None = None
        self.db: NDArray[Any] | None = None

    @MadeWhenRead
    def col(self) -> NDArray[Any] | None:
        """What the filters see at each place, (N·OH·OW, C·FH·FW), as the book has it: made when it is read."""
        if self.x is None:
            return None
        _, _, height, width = np.shape(self.W)
        return im2col(self.x, height, width, *_moves(self))

    @MadeWhenRead
    def col_W(self) -> NDArray[Any] | None:
        """W as a matrix, (C·FH·FW, FN), as the book has it: made when it is read."""
        if self.x is None:
            return None
        filters = arrays.inputs(self.W, "W")
        return filters.reshape(len(filters), -1).T

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """(N, FN, OH, OW) for x of shape (N, C, H, W), with OH = (H + 2·pad − FH) // stride + 1.

        float32 x with float64 W computes in float64. ValueError when x, W and b don't fit, or a filter is larger than
        the padded image.
        """
        x, W, b = images.convolution_operands(x, self.W, self.b)
        pixels = arrays.kernel_array(x, W.dtype)
        stride, pad = places = _moves(self)
        size = images.output_size(x.shape[2:], W.shape[2:], stride, pad)
        out = np.empty((x.shape[0], W.shape[0], *size), W.dtype)
        n = min(threads.for_work(2.0 * out.size * W[0].size), x.shape[0])
        own, _ = scratch_sizes(_shape(x, W, stride, pad, out), x.shape[0], out.dtype)
        scratch = threads.scratch(n * own, W.dtype)
        if n == 1:
            convolution_forward(pixels, W, b, *places, out, scratch)
        else:
            with threads.running(n) as launcher:
                convolution_forward_threads(pixels, W, b, *places, out, scratch, n, launcher)
        self.x = x
        forget(self, "col", "col_W")
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx in the shape of forward's x; sets dW (FN, C, FH, FW) and db (FN,), new arrays each time.

        RuntimeError before forward; ValueError when dout has not the shape of the output.
        """
        x = arrays.saved(self.x, self, "x")
        stride, pad = places = _moves(self)
        dout, W = images.convolution_gradients(dout, x, self.W, stride, pad)
        if assigned(self, "col", "col_W"):
            return self._backward_of_columns(dout, x, W)
        pixels = arrays.kernel_array(x, dout.dtype)
        dx, dW, db = np.empty(x.shape, dout.dtype), np.empty(W.shape, dout.dtype), np.empty(W.shape[0], dout.dtype)
        n = min(threads.for_work(4.0 * dout.size * W[0].size), x.shape[0])
        own, sums = scratch_sizes(_shape(x, W, stride, pad, dout), x.shape[0], dout.dtype)
        memory = threads.scratch(sums + n * own, W.dtype)
        results = dx, dW, db, memory[:sums], memory[sums:]
        if n == 1:
            convolution_backward(dout, pixels, W, *places, *results)
        else:
            with threads.running(n) as launcher:
                convolution_backward_threads(dout, pixels, W, *places, *results, n, launcher)
        self.dW, self.db = dW, db
        return dx

    def _backward_of_columns(self, dout: NDArray[Any], x: NDArray[Any], W: NDArray[Any]) -> NDArray[Any]:
        """The same by the book's own lines, of `col` and `col_W` as they are; of x it takes the shape."""
        rows, (filters, _, height, width) = dout.transpose(0, 2, 3, 1).reshape(-1, len(W)), W.shape
        col, col_W = (arrays.saved(getattr(self, name), self, name) for name in ("col", "col_W"))
        arrays.same_as_forward(col, (len(rows), W[0].size), "col")
        arrays.same_as_forward(col_W, (W[0].size, filters), "col_W")
        self.db = rows.sum(axis=0)
        self.dW = np.ascontiguousarray(np.dot(col.T, rows).T).reshape(W.shape)
        return col2im(np.dot(rows, col_W.T), x.shape, height, width, *_moves(self))


def _shape(x: NDArray[Any], W: NDArray[Any], stride: int, pad: int, out: NDArray[Any]) -> tuple[int, ...]:
    """What `kernels.images.shape.Shape` holds."""
    return (*x.shape[1:], *_filter_sizes(W), stride, pad, *out.shape[2:])
