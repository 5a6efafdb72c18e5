"""The affine layer, the matrix product of a network."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.affine import affine_gradients, affine_operands
from fastbp.kernels.affine import (
    affine_backward,
    affine_backward_params,
    affine_backward_threads,
    affine_forward,
    affine_forward_threads,
)
from fastbp.kernels.loop import affine_parts, nonzero_parts, sample_parts, sparse_parts
from fastbp.kernels.matmul.product import FEW_ROWS, scratch_size
from fastbp.kernels.matmul.samples import MOST_COLUMNS
from fastbp.kernels.optimizers import penalty
from fastbp.layers import skipping
from fastbp.layers.compiled import Compiled, Shape
from fastbp.originals import original
from fastbp.system import threads


def _input_size(layer: Any) -> int:
    return int(layer.W.shape[0])


def _output_shape(layer: Any, inputs: Shape) -> Shape:
    W, b, features = layer.W, layer.b, math.prod(inputs)
    if W.ndim != 2 or W.shape[0] != features or np.shape(b) not in ((), W.shape[1:]):
        raise ValueError(f"W of shape {W.shape} and b of shape {np.shape(b)} don't go with {features} inputs")
    return (int(W.shape[1]),)


@original
class Affine:
    """x @ W + b (the book's section 5.6). W and b are the caller's own arrays, read anew at each call.

    W has shape (D, M); b has shape (M,) or is a number. `dW` and `db` are the gradients of the last backward, `x` the
    (N, D) rows of the last forward's input, the caller's own memory where a kernel can read it as it is, and
    `original_x_shape` its shape.
    """

    compiled = Compiled(
        forward=affine_parts.affine_forward,
        backward=affine_parts.affine_backward,
        update=affine_parts.affine_update,
        penalty=penalty,
        parameters=("W", "b"),
        decays=("W",),
        output_shape=_output_shape,
        input_size=_input_size,
        constant_size=lambda layer: int(layer.W.shape[1]),
        update_rows=lambda layer, inputs: math.prod(inputs),
        flops=lambda layer, inputs: 2 * layer.W.size,
        splits_columns=True,
        epilogues=("relu",),
        masks_gradient=True,
        adds_gradient=True,
        skipping=sparse_parts.SKIPPING,
        skipping_in_place=nonzero_parts.SKIPPING_IN_PLACE,
        forward_of_few=affine_parts.affine_forward_of_few,
        few_samples=FEW_ROWS,
        in_place=sample_parts.IN_PLACE,
        most_in_place=MOST_COLUMNS,
        copies=(affine_parts.copy_from_home, affine_parts.copy_to_home),
    )

    def __init__(self, W: Any, b: Any) -> None:
        self.W = W
        self.b = b
        self.x: NDArray[Any] | None = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: NDArray[Any] | None = None
        self.db: NDArray[Any] | None = None

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """(N, M) for x of shape (N, ...) with D numbers a sample, (M,) for a single sample of shape (D,).

        float32 x with float64 W computes in float64. ValueError when x, W and b don't fit.
        """
        shape = x.shape if type(x) is np.ndarray else np.shape(x)
        x, W, b = affine_operands(x, self.W, self.b)
        dtype = W.dtype
        out = np.empty((len(x), len(b)), dtype)
        if not skipping.forward(x, W, b, out):
            n = threads.for_work(2.0 * len(x) * W.size)
            scratch = threads.scratch(n * scratch_size(dtype), dtype)
            if n == 1:
                affine_forward(x, W, b, out, scratch)
            else:
                with threads.running(n) as launcher:
                    affine_forward_threads(x, W, b, out, scratch, n, launcher)
        self.x, self.original_x_shape = x, shape
        return out[0] if len(shape) == 1 else out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx in the shape of forward's x; sets dW (D, M) and db (M,), new arrays each time.

        RuntimeError before forward; ValueError when dout has not the shape of the output.
        """
        x, shape = arrays.saved(self.x, self, "x"), self.original_x_shape or ()
        dout, W = affine_gradients(dout, x, self.W, shape)
        dtype, sizes = dout.dtype, W.shape
        dx, dW, db = np.empty(x.shape, dtype), np.empty(sizes, dtype), np.empty(sizes[1], dtype)
        n = threads.for_work(4.0 * len(x) * W.size)
        scratch = threads.scratch(n * scratch_size(dtype), dtype)
        if n == 1:
            affine_backward(dout, x, W, dx, dW, db, scratch)
        else:
            with threads.running(n) as launcher:
                affine_backward_threads(dout, x, W, dx, dW, db, scratch, n, launcher)
        self.dW, self.db = dW, db
        return dx if dx.shape == shape else dx.reshape(shape)

    def _backward_parameters(self, dout: ArrayLike) -> None:
        """Sets dW and db by one thread, which skips zeros of x where that pays: for who proved that nobody reads dx."""
        x, shape = arrays.saved(self.x, self, "x"), self.original_x_shape or ()
        dout, W = affine_gradients(dout, x, self.W, shape)
        dW, db = np.empty(W.shape, dout.dtype), np.empty(W.shape[1], dout.dtype)
        if not skipping.backward_params(dout, x, dW, db):
            affine_backward_params(dout, x, dW, db, threads.scratch(scratch_size(dout.dtype), dout.dtype))
        self.dW, self.db = dW, db


# As it was defined: a class can be changed while a program runs, and before other modules are imported.
BACKWARD, BACKWARD_CODE = Affine.backward, Affine.backward.__code__
