"""The boundary for affine layers: samples as rows, W (D, M) and b (M,), of one dtype."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary.arrays import (
    FLOAT32,
    FLOAT64,
    FloatArray,
    bias_of,
    factors,
    float_dtype,
    kernel_array,
    output_gradient,
    real_array,
)


def affine_operands(x: ArrayLike, W: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """x as (N, D) rows, W (D, M), b (M,): of one dtype, but for float32 x beside float64 W and b.

    x of shape (D,) is a single sample; (N, ...) is flattened to N rows. b may be a scalar.
    """
    if type(x) is np.ndarray and type(W) is np.ndarray and type(b) is np.ndarray and _fit(x, W, b):
        return x, W, b
    weights = real_array(W, "W")
    if weights.ndim != 2:
        raise ValueError(f"W must have shape (inputs, outputs), got {weights.shape}")
    rows = _sample_rows(real_array(x, "x"), weights.shape)
    return factors(rows, weights, bias_of(real_array(b, "b"), weights, weights.shape[1:]))


def _fit(x: FloatArray, W: FloatArray, b: FloatArray) -> bool:
    """Whether the kernel can read all three as they are; one condition, as each call costs 0.1 µs of a product's 2."""
    dtype, shape, x_shape = W.dtype, W.shape, x.shape
    return (
        (dtype is FLOAT32 or dtype is FLOAT64)
        and b.dtype is dtype
        and (x.dtype is dtype or x.dtype is FLOAT32)
        and len(x_shape) == 2
        and len(shape) == 2
        and x_shape[1] == shape[0]
        and b.shape == shape[1:]
        and x.flags.carray
        and W.flags.carray
        and b.flags.carray
        and x.size > 0
        and shape[1] > 0
    )


def _sample_rows(x: NDArray[Any], W_shape: tuple[int, ...]) -> NDArray[Any]:
    depth = W_shape[0]
    if x.ndim == 2 and x.shape[1] == depth:
        return x
    if x.ndim == 0:
        raise ValueError(f"x must be a sample of shape ({depth},) or a batch of them, got a scalar")
    rows = 1 if x.ndim == 1 else x.shape[0]
    if x.size != rows * depth:
        raise ValueError(
            f"x of shape {x.shape} has {x.size // rows} features a sample, but W of shape {W_shape} takes {depth}"
        )
    return x.reshape(rows, depth)


def affine_gradients(
    dout: ArrayLike, x: FloatArray, W: ArrayLike, x_shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """dout as (N, M) and W as (D, M) in one dtype, the widest of dout, W and forward's x (N, D)."""
    if type(dout) is np.ndarray and type(W) is np.ndarray and _fit_back(dout, x, W, x_shape):
        return dout, W
    if x.shape != x_shape or len(x_shape) != 2:
        _check_rows(x, x_shape)
    weights = real_array(W, "W")
    if weights.ndim != 2 or weights.shape[0] != x.shape[1]:
        raise ValueError(f"W must have shape ({x.shape[1]}, outputs) as in the forward pass, got {weights.shape}")
    shape = (x.shape[0], weights.shape[1])
    dtype = FLOAT64 if x.dtype is FLOAT64 else float_dtype(weights)
    gradient = output_gradient(dout, shape[1:] if len(x_shape) == 1 else shape, dtype)
    return gradient.reshape(shape), kernel_array(weights, gradient.dtype)


def _fit_back(dout: FloatArray, x: FloatArray, W: FloatArray, x_shape: tuple[int, ...]) -> bool:
    """The same of dout and W, beside x as `saved` gives it."""
    dtype, shape = W.dtype, W.shape
    return (
        (dtype is FLOAT32 or dtype is FLOAT64)
        and dout.dtype is dtype
        and (x.dtype is dtype or x.dtype is FLOAT32)
        and x.shape == x_shape
        and len(x_shape) == 2
        and len(shape) == 2
        and x_shape[1] == shape[0]
        and dout.shape == (x_shape[0], shape[1])
        and dout.flags.carray
        and W.flags.carray
        and shape[1] > 0
    )


def _check_rows(x: FloatArray, shape: tuple[int, ...]) -> None:
    if x.ndim != 2 or x.size != math.prod(shape) or x.shape[0] != (1 if len(shape) == 1 else shape[0]):
        raise ValueError(f"x must be the rows of the forward pass, of shape {shape}, got {x.shape}")
