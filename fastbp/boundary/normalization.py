"""What batch normalization is called with: features, one gamma and beta each, and the statistics of each."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary.arrays import FLOAT64, float_dtype, kernel_array, output_gradient, ready, real_array

FloatArray = NDArray[Any]


def normalization_operands(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[int, ...]]:
    """x as (N, C, S): C features of S places each; gamma and beta (C,), of one dtype; and the shape that x came in.

    x of shape (N, D) has D features, as has a single sample (D,); of (N, C, H, W) it has C where gamma has C numbers,
    a feature a channel, and C·H·W where gamma has so many, a feature an element. A scalar goes for all features.
    float32 x stays as it is beside float64 gamma and beta. ValueError for other numbers of them.
    """
    values: NDArray[Any] = x if ready(x) else real_array(x, "x")
    scale, shift = real_array(gamma, "gamma"), real_array(beta, "beta")
    places = feature_places(values.shape, scale)
    dtype = float_dtype(scale)
    if FLOAT64 in (float_dtype(shift, dtype), float_dtype(values, dtype)):
        dtype = FLOAT64
    rows = kernel_array(values, float_dtype(values, dtype)).reshape(places)
    C = places[1]
    return rows, of_each_feature(scale, "gamma", C, dtype), of_each_feature(shift, "beta", C, dtype), values.shape


def feature_places(shape: tuple[int, ...], gamma: NDArray[Any]) -> tuple[int, int, int]:
    """(N, C, S) for x of a shape. ValueError where gamma doesn't go with it."""
    if not shape:
        raise ValueError("x must have shape (batch, features) or (batch, channels, height, width), got a number")
    batch, sample = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
    elements = math.prod(sample)
    if gamma.ndim == 0 or gamma.size == elements:
        return batch, elements, 1
    if len(sample) > 1 and gamma.size == sample[0]:
        return batch, sample[0], elements // sample[0]
    expected = f"{sample[0]} numbers (a channel each) or {elements}" if len(sample) > 1 else f"{elements} numbers"
    raise ValueError(f"gamma must have {expected} to go with x of shape {shape}, got shape {gamma.shape}")


def of_each_feature(values: ArrayLike, name: str, features: int, dtype: np.dtype[Any]) -> FloatArray:
    """Numbers, one of each feature, as (C,); a scalar goes for all. ValueError for another number of them."""
    if ready(values) and values.dtype is dtype and values.shape == (features,):
        return values
    array = real_array(values, name)
    if array.ndim == 0:
        array = np.full(features, array, dtype)
    if array.size != features:
        raise ValueError(f"{name} must have a number for each of {features} features, got shape {array.shape}")
    return kernel_array(array.ravel(), dtype)


def normalization_gradient(
    dout: ArrayLike, shape: tuple[int, ...], places: tuple[int, ...], dtype: np.dtype[Any]
) -> FloatArray:
    """dout, of the output's shape, as (N, C, S), in the wider of its own dtype and `dtype`."""
    return output_gradient(dout, shape, dtype).reshape(places)


def values_like(
    xc: FloatArray, xn: FloatArray, dout: ArrayLike, gamma: ArrayLike, std: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """dout in the shape of a caller's xc and xn, and gamma and std in one that goes with them, a number a feature.

    xc has shape (N, D), or (N, C, H, W) where a feature is a channel; dout may have those of images beside (N, D).
    ValueError for other shapes.
    """
    if xc.ndim < 2 or xn.shape != xc.shape:
        raise ValueError(f"xc and xn must have one shape, (batch, features) or more, got {xc.shape} and {xn.shape}")
    values = real_array(dout, "dout")
    if values.shape[:1] != xc.shape[:1] or values.size != xc.size:
        raise ValueError(f"dout must go with xc of shape {xc.shape}, got {values.shape}")
    gradient = kernel_array(values, FLOAT64 if xc.dtype is FLOAT64 else float_dtype(values)).reshape(xc.shape)
    form = (xc.shape[1], *[1] * (xc.ndim - 2))
    scale, deviation = (
        of_each_feature(each, name, form[0], float_dtype(np.asarray(each))).reshape(form)
        for name, each in (("gamma", gamma), ("std", std))
    )
    return gradient, scale, deviation
