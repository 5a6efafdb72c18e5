"""Samples of which only what isn't zero is kept: compressed sparse rows, as the compiled loop reads them."""

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine import launch
from fastbp.engine.addresses import address
from fastbp.engine.room import Room
from fastbp.kernels.loop import compress as kernels
from fastbp.kernels.loop import parts

Compressed = tuple[NDArray[Any], NDArray[np.int64], NDArray[Any]]  # values, starts, columns


def compress(x: NDArray[Any], dtype: np.dtype[Any], scale: float, room: Room | None = None) -> Compressed:
    """(Values, starts, columns) of the non-zeros of x times scale: CSR. On all threads, each its rows.

    Where bytes stay bytes they are not scaled yet. Behind the last values and columns lies room, see OVERRUN.
    """
    (rows, features), form = x.shape, kernels.form_of(x.dtype, x.shape[1])
    column_dtype, value_dtype = kernels.dtypes_of(form, dtype)
    factor = np.array([1 if form == kernels.BYTES else scale], value_dtype)
    count, pack = (each.function() for each in parts.compressing(x.dtype, dtype, form))
    starts = np.zeros(rows + 1, np.int64)
    # Addresses are made where they are used: whoever works on holds the arrays.
    launch.share(rows, x.nbytes, lambda lo, hi: count(lo, hi, features, address(x), address(starts[1:])))
    np.cumsum(starts, out=starts)
    used, room = int(starts[-1]), room or Room()
    columns = room.take("columns", used + kernels.OVERRUN, np.dtype(column_dtype))
    values = room.take("values", used + kernels.OVERRUN, np.dtype(value_dtype))
    columns[used:] = values[used:] = 0
    held = x, factor, starts, columns, values
    launch.share(rows, x.nbytes, lambda lo, hi: pack(lo, hi, features, *map(address, held)))
    return values, starts, columns


def _with_room(count: int, dtype: Any) -> NDArray[Any]:
    """An array of so many elements, and some more that may be read."""
    array = np.empty(count + kernels.OVERRUN, dtype)
    array[count:] = 0
    return array


def filled(compressed: Compressed, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The matrix with its zeros; what is there twice is summed."""
    values, starts, columns = compressed
    full = np.zeros(shape, dtype)
    used = slice(starts[-1])
    np.add.at(full, (np.repeat(np.arange(shape[0]), np.diff(starts)), columns[used]), values[used])
    return full


def from_scipy(x: Any, features: int, dtype: np.dtype[Any], scale: float) -> Compressed:
    """A scipy.sparse matrix: its own arrays, where they have the dtypes that the loop reads."""
    if len(x.shape) != 2 or x.shape[1] != features:
        raise ValueError(f"x must have shape (samples, {features}), got {x.shape}")
    if x.shape[0] == 0:
        raise ValueError("x is empty: expected at least one sample")
    matrix = x.tocsr()
    starts, columns = matrix.indptr, matrix.indices  # looked at before SciPy sorts by them
    if (
        len(starts) != x.shape[0] + 1
        or starts[0] != 0
        or operator.index(starts[-1]) != len(columns)
        or len(matrix.data) != len(columns)
        or (np.diff(starts) < 0).any()
        or (len(columns) and (columns.min() < 0 or columns.max() >= features))
    ):
        raise ValueError("x is no valid CSR matrix: its indptr and indices don't go with its shape")
    # Anew: SciPy keeps what it once knew of the order, whatever has become of the indices.
    matrix = type(matrix)((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    if matrix.dtype.kind not in "fiub":
        raise TypeError(f"x must hold real numbers, got dtype {matrix.dtype}")
    # Copies: a matrix that is changed in place later would point outside W.
    narrow, _ = kernels.dtypes_of(kernels.form_of(dtype, features), dtype)
    starts, used = np.array(matrix.indptr, np.int64), slice(len(matrix.data))
    values, columns = _with_room(used.stop, dtype), _with_room(used.stop, narrow)
    values[used], columns[used] = matrix.data, matrix.indices
    values *= values.dtype.type(scale)
    return values, starts, columns
