"""The boundary for what losses compare: scores of classes with labels, outputs with the values to predict."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary.arrays import INDEX, UNSIGNED, FloatArray, inputs, real_array


def class_scores(x: ArrayLike, name: str = "x") -> tuple[FloatArray, tuple[int, ...]]:
    """Scores or probabilities as (N, C) rows, with their own shape: (N, C), or (C,) for a single sample."""
    rows = inputs(x, name)
    if rows.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (batch, classes) or (classes,), got {rows.shape}")
    return (rows if rows.ndim == 2 else rows.reshape(1, -1)), rows.shape


def targets(t: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Labels for scores of `shape`, as (N,) int64 class indices or (N, C) probabilities of `dtype`. Always a copy.

    Indices are integers of shape (N,) or (N, 1); probabilities have the shape of the scores. For a single sample
    the index is a scalar. ValueError for another shape and for an index that is no class.
    """
    if len(shape) not in (1, 2):
        raise ValueError(f"x must have shape (batch, classes) or (classes,), got {shape}")
    rows, classes = (1, shape[0]) if len(shape) == 1 else shape
    labels = real_array(t, "t")
    if labels.shape == shape:
        return np.array(labels, dtype, order="C", subok=False).reshape(rows, classes)
    if labels.shape in _index_shapes(shape):
        if labels.dtype.kind not in "iu":
            raise TypeError(
                f"class indices must be integers, got t of dtype {labels.dtype}: t.astype(int) if they are classes; "
                f"if they are values to predict, {NO_REGRESSION}"
            )
        return _class_indices(labels, rows, classes)
    expected = f"({rows},)" if len(shape) == 2 else "()"
    raise ValueError(f"t must have shape {expected} (class indices) or {shape} (probabilities), got {labels.shape}")


NO_REGRESSION = (
    "a softmax loss can't learn them: that takes a network class of your own, whose loss is the mean squared error "
    "for instance (fastbp.Trainer trains any that has params, loss and gradient)"
)


def network_targets(t: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The labels of a network that is trained, as above. ValueError for numbers beside the scores of a single class.

    A layer takes them for probabilities, as it does for several classes; but its loss is 0 and every sample is right.
    """
    if shape[-1] == 1:
        labels = real_array(t, "t")
        if labels.shape == shape:
            _check_single_class(labels)
    return targets(t, shape, dtype)


def _check_single_class(labels: NDArray[Any]) -> None:
    """ValueError unless all samples are of the one class: as probabilities 1, or as indices 0."""
    if np.all(labels == 1) or (labels.dtype.kind in "iu" and not np.any(labels)):
        return
    raise ValueError(
        f"t of shape {labels.shape} holds other numbers than 1, but the softmax of a single score is always 1: for two "
        f"classes give the network two outputs, and labels 0 and 1; if t holds values to predict, {NO_REGRESSION}"
    )


def values_to_predict(t: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatArray:
    """The values of a regression beside outputs of a shape, in that shape and `dtype`. Always a copy.

    Where a sample has one output, (N, 1), they may have shape (N,): NumPy would make (N, N) of the two.
    """
    values = real_array(t, "t")
    if values.shape == shape or (values.shape == shape[:1] and math.prod(shape) == values.size):
        return np.array(values, dtype, order="C", subok=False).reshape(shape)
    raise ValueError(f"t must have the shape of the outputs, {shape}, got {values.shape}")


def _index_shapes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    if len(shape) == 1:
        return ((), (1,), (1, 1))
    return ((shape[0],), (shape[0], 1))


def _class_indices(labels: NDArray[Any], rows: int, classes: int) -> NDArray[np.int64]:
    indices: NDArray[np.int64] = np.array(labels, INDEX, order="C", subok=False).reshape(rows)
    # One pass finds both ends: as an unsigned number a negative one is larger than any class. By argmax, as a reduction
    # takes 0.9 µs where this takes 0.4 (100 labels, EPYC of Zen 5).
    unsigned = indices.view(UNSIGNED)
    if unsigned.item(unsigned.argmax()) >= classes:
        where = int(np.flatnonzero(unsigned >= classes)[0])
        raise ValueError(f"t[{where}] is {labels.flat[where]}, but the {classes} classes are 0 to {classes - 1}")
    return indices
