"""The boundary for arrays: they are checked and brought into the form that kernels take.

A kernel reads C-contiguous, aligned, writeable arrays of native float32 or float64 (Numba compiles a kernel anew for
each other layout). An array that is so already passes through untouched; anything else is copied once.
"""

import sys
from collections.abc import Sequence
from typing import Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[Any]
Kept = TypeVar("Kept")

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
INDEX, UNSIGNED, BOOL = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.bool_)

# How far layers and oracle may differ: max|a − b| ≤ tol · max(1, max|b|).
TOLERANCE: dict[np.dtype[Any], float] = {FLOAT32: 1e-5, FLOAT64: 1e-12}


def real_array(x: ArrayLike, name: str) -> NDArray[Any]:
    """x as an ndarray of a real numeric dtype; TypeError for anything else, ValueError when ragged or empty."""
    if type(x) is np.ndarray:  # what it isn't takes 1 µs to find out, of the 8 that a small layer takes
        array = x
    else:
        array = _as_array(x, name)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} must hold real numbers (float64, float32, float16, integer or bool), got dtype {array.dtype}"
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty: expected at least one element, got shape {array.shape}")
    return array


def is_masked(x: Any) -> bool:
    """Whether x is a masked array: of numpy.ma, which NumPy imports when it is asked for, in 20 ms."""
    ma = sys.modules.get("numpy.ma")
    return ma is not None and isinstance(x, ma.MaskedArray)


def _as_array(x: ArrayLike, name: str) -> NDArray[Any]:
    """x as an ndarray; TypeError for masked arrays and sparse matrices, which NumPy would take for something else."""
    if is_masked(x):
        raise TypeError(f"{name} is a masked array: fill its masked entries first (x.filled(value))")
    if is_sparse(x):
        raise TypeError(
            f"{name} is a sparse matrix ({type(x).__name__}), expected an array: pass {name}.toarray(). Sparse samples "
            "are taken by fastbp.predict, and by the run of fastbp.compile(network, optimizer)"
        )
    return np.asarray(x)


def is_sparse(x: object) -> bool:
    """Whether x is one of SciPy's sparse matrices or arrays, found out without SciPy."""
    return hasattr(x, "tocsr") and hasattr(x, "toarray")


def float_dtype(array: NDArray[Any], default: np.dtype[Any] = FLOAT64) -> np.dtype[Any]:
    """The dtype to compute with: float32 for float32 and float16, float64 for float64, `default` for integers."""
    if array.dtype.kind != "f":
        return default
    return FLOAT64 if array.dtype.itemsize == 8 else FLOAT32


def kernel_array(array: NDArray[Any], dtype: np.dtype[Any]) -> FloatArray:
    """The array itself where a kernel can read it as it is, else a copy that it can."""
    if type(array) is np.ndarray and array.dtype == dtype and array.flags.carray:
        # An unpickled array has a dtype object of its own; behind the boundary there is one for each precision.
        return array if array.dtype is dtype else array.view(dtype)
    return np.array(array, dtype=dtype, order="C", subok=False)


def ready(array: Any) -> TypeGuard[FloatArray]:
    """Whether a kernel can read this array as it is: the usual case, found out in 0.2 µs instead of 1."""
    return (
        type(array) is np.ndarray
        and (array.dtype is FLOAT32 or array.dtype is FLOAT64)
        and array.flags.carray
        and array.size > 0
    )


def flat_views(arrays: Sequence[Any]) -> list[FloatArray] | None:
    """The arrays as flat ones that a kernel can change in place; None where it can't read one of them as it is.

    All must be of one dtype and one size.
    """
    dtype = arrays[0].dtype
    for array in arrays:
        if not ready(array) or array.dtype is not dtype:
            break
    else:
        return [array.reshape(-1) for array in arrays]
    if not all(type(a) is np.ndarray and a.dtype == dtype and a.flags.carray for a in arrays):
        return None
    known = FLOAT32 if dtype == FLOAT32 else FLOAT64
    return [kernel_array(array, known).reshape(-1) for array in arrays] if dtype == known else None


def inputs(x: ArrayLike, name: str = "x") -> FloatArray:
    """A layer's input, any shape: float32 stays, float64 stays, float16 becomes float32, integers float64."""
    if ready(x):
        return x
    array = real_array(x, name)
    return kernel_array(array, float_dtype(array))


def bias_of(b: NDArray[Any], W: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A bias of this shape, one number for each output; b may be a scalar."""
    if b.ndim == 0:
        return np.full(shape, b, float_dtype(W))
    if b.shape != shape:
        raise ValueError(f"b must have shape {shape} to go with W of shape {W.shape}, got {b.shape}")
    return b


def factors(x: NDArray[Any], W: NDArray[Any], b: NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """x, W and b for a product: of one dtype, but that float32 x stays as it is beside float64 W and b.

    The kernel widens it while it reads.
    """
    dtype = float_dtype(W)
    if FLOAT64 in (float_dtype(b, dtype), float_dtype(x, dtype)):
        dtype = FLOAT64
    return kernel_array(x, float_dtype(x, dtype)), kernel_array(W, dtype), kernel_array(b, dtype)


def _require_forward(value: Any, layer: object) -> None:
    if value is None:
        raise RuntimeError(f"{type(layer).__name__}.backward needs a forward pass first: call forward before it")


def after_forward(value: Kept | None, layer: object) -> Kept:
    """What forward left for backward, whatever it is; RuntimeError when forward has not run."""
    _require_forward(value, layer)
    assert value is not None
    return value


def saved(value: Any, layer: object, name: str) -> FloatArray:
    """What forward left for backward; RuntimeError when forward has not run. A caller may have replaced it since."""
    if ready(value):
        return value
    _require_forward(value, layer)
    return inputs(value, name)


def saved_mask(value: Any, layer: object) -> NDArray[np.bool_]:
    """The mask that forward left for backward; RuntimeError when forward has not run."""
    if type(value) is np.ndarray and value.dtype is BOOL and value.flags.carray:
        return value
    _require_forward(value, layer)
    return np.array(real_array(value, "mask"), BOOL, order="C", subok=False)


def output_gradient(dout: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any] | None = None) -> FloatArray:
    """dout, of the output's shape, in its own dtype or, where a dtype is given, the wider of the two."""
    if ready(dout) and dout.shape == shape and (dtype is None or dout.dtype is dtype):
        return dout
    array = real_array(dout, "dout")
    if array.shape != shape:
        raise ValueError(f"dout must have the shape of the output, {shape}, got {array.shape}")
    return kernel_array(array, FLOAT64 if dtype is FLOAT64 else float_dtype(array, dtype or FLOAT64))


def same_as_forward(array: FloatArray, shape: tuple[int, ...], name: str) -> None:
    """ValueError when a saved array no longer has the shape that forward gave it."""
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape of the forward pass, {shape}, got {array.shape}")


def scalar_gradient(dout: ArrayLike) -> float:
    """dout of a loss, which is a single number."""
    if type(dout) is float or type(dout) is int:
        return float(dout)
    array = real_array(dout, "dout")
    if array.ndim:
        raise ValueError(f"dout must be a number, as the loss is, got shape {array.shape}")
    return float(array)


def learning_rates(values: Any, steps: int) -> NDArray[np.float64]:
    """Learning rates, one a step, as float64. ValueError for another number of them, one that is negative or no number.

    TypeError for what holds no real numbers.
    """
    rates = real_array(values, "lr") if np.size(values) else np.empty(np.shape(values))
    if rates.shape != (steps,):
        raise ValueError(f"lr must hold a rate for each of {steps} steps, shape ({steps},), got shape {rates.shape}")
    wrong = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
    if wrong.size:
        raise ValueError(f"lr must hold finite numbers, zero or positive: lr[{wrong[0]}] is {rates[wrong[0]]}")
    return np.array(rates, np.float64)


def operands(x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands of one shape: numbers and arrays as they are, lists as arrays; ValueError when the shapes differ."""
    x, y = _operand(x, "x"), _operand(y, "y")
    if np.shape(x) != np.shape(y):
        raise ValueError(f"x and y must have one shape, got {np.shape(x)} and {np.shape(y)}")
    return x, y


def _operand(x: Any, name: str) -> Any:
    array = real_array(x, name)
    return x if isinstance(x, int | float | np.generic | np.ndarray) else array


def operand_gradient(dout: Any, shape: tuple[int, ...] | None, layer: object) -> Any:
    """dout as above; RuntimeError when forward has left no shape, ValueError when dout has another."""
    _require_forward(shape, layer)
    dout = _operand(dout, "dout")
    if np.shape(dout) != shape:
        raise ValueError(f"dout must have the shape of the output, {shape}, got {np.shape(dout)}")
    return dout
