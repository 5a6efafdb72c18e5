"""Values of nodes: Python floats, or arrays of float64 or float32 that nobody can write into; and how both are told."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastbp.boundary import arrays

# A float, or a read-only array of one dimension or more.
Value = Any

# Arrays of up to so many elements are written out, others by their shape.
SMALL = 6


@contextmanager
def quiet() -> Iterator[None]:
    """NaN and infinity come as NumPy computes them, without its warnings."""
    with np.errstate(all="ignore"):
        yield


def given(x: Any, name: str = "a value") -> Value:
    """A user's number or array as a value, a copy. TypeError for anything but real numbers, ValueError when empty."""
    if type(x) is float or type(x) is int:
        return float(x)
    if isinstance(x, str | bytes) or x is None:
        raise TypeError(f"{name} must be a number or an array of numbers, got {type(x).__name__}")
    array = arrays.real_array(x, name)
    return computed(np.array(array, arrays.float_dtype(array), subok=False))


def as_it_is(x: Any) -> Value:
    """A user's number or array in its own dtype, a copy: labels stay integers."""
    if isinstance(x, bool | int | float):
        return x
    array = np.array(arrays.real_array(x, "an input"), subok=False)
    return locked(array) if array.ndim else array.item()


def computed(x: Any) -> Value:
    """A result of NumPy as a value: of no dimension as a Python float, others so that nobody can write into them."""
    if isinstance(x, float):  # so is np.float64
        return float(x)
    array = np.asarray(x)
    return locked(array) if array.ndim else float(array)


def locked(array: Any) -> Any:
    """A read-only view of the array, which becomes read-only itself: so NumPy lets nobody write by the view's flags."""
    array.flags.writeable = False
    return array.view()


def summed_to(gradient: Any, value: Value) -> Value:
    """What broadcasting has spread out is summed, to the shape and dtype of the value."""
    if type(value) is float and isinstance(gradient, float):
        return float(gradient)
    shape = np.shape(value)
    extra = tuple(range(np.ndim(gradient) - len(shape)))
    stretched = tuple(
        axis for axis, size in enumerate(shape, len(extra)) if size == 1 and np.shape(gradient)[axis] != 1
    )
    if extra or stretched:
        gradient = np.sum(gradient, axis=extra + stretched).reshape(shape)
    elif np.shape(gradient) != shape:
        gradient = np.broadcast_to(gradient, shape)
    return in_dtype(gradient, value)


def in_dtype(gradient: Any, value: Value) -> Value:
    """A gradient in the precision of the value that it belongs to."""
    return computed(np.asarray(gradient, value.dtype) if isinstance(value, np.ndarray) else gradient)


# Told -----------------------------------------------------------------------------------------------------------------


def number(x: float) -> str:
    """All digits of a number, a whole one without `.0`, −0 as 0."""
    return repr(float(x) + 0.0).removesuffix(".0")


def shape_text(shape: tuple[int, ...]) -> str:
    return str(tuple(int(size) for size in shape))


def told(value: Value) -> str:
    """A number with all its digits, a small array with four of each number, a large one by its shape."""
    return number(value) if np.ndim(value) == 0 else elements(value) if np.size(value) <= SMALL else shape_of(value)


def elements(value: Value) -> str:
    """The elements of a small array on one line."""
    if np.ndim(value) == 0:
        return f"{float(value) + 0.0:.4g}"  # no −0
    return f"[{', '.join(elements(each) for each in value)}]"


def shape_of(value: Value) -> str:
    return shape_text(np.shape(value))


def size_of(value: Value) -> str:
    """Mean and largest of the absolute values of an array; of integers, as labels are, the smallest and largest."""
    if np.asarray(value).dtype.kind in "iu":
        return f"integers, {np.min(value)} to {np.max(value)}"
    with quiet():
        size = np.abs(np.asarray(value, np.float64))
        return f"|x|: mean {np.mean(size):.3g}, max {np.max(size):.3g}"


def printable(name: str) -> str:
    """A name on one line, without what no font and no XML can show."""
    return "".join(each if each.isprintable() else " " for each in name).strip()


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: Korean and Japanese letters take two."""
    widths = (unicodedata.east_asian_width(each) in "WF" for each in text if not unicodedata.combining(each))
    return sum(1 + wide for wide in widths)


def padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
