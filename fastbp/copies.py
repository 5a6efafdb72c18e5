"""A copy of a network in float64, in which arrays that share memory still do."""

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def float64_copy(network: Any) -> Any:
    """A deep copy of a network, its parameters in float64, and with them whatever shares their memory.

    A view of a parameter, a transpose, a slice or another shape, wherever the network holds it, in a layer, a block, a
    list or a dict, is that view of the copy's parameter. Everything else is what copy.deepcopy makes of it.
    ValueError where that can't be done: for parameters that are no arrays of real numbers, and views of another dtype.
    """
    for name, parameter in network.params.items():
        if not isinstance(parameter, np.ndarray):
            raise ValueError(
                f"params[{name!r}] is a {type(parameter).__name__}, but only an array can be changed in place and so "
                f"be checked: write np.array({parameter!r})"
            )
    memo: dict[int, Any] = {}
    try:
        copy.deepcopy(network, memo)
    except TypeError as error:
        raise ValueError(f"the network can't be copied, and so not checked in float64: {error}") from error
    reached = memo.get(id(memo), [])  # deepcopy keeps there what it has copied
    arrays = {id(array): array for array in (*network.params.values(), *reached) if isinstance(array, np.ndarray)}
    views: dict[int, Any] = {}
    for group in _sharing(list(arrays.values())):
        names = [name for name, parameter in network.params.items() if any(parameter is array for array in group)]
        if names:
            views |= _in_float64(group, names[0])
    return copy.deepcopy(network, views)


def _sharing(arrays: list[Array]) -> Iterable[list[Array]]:
    """The arrays in groups whose memory overlaps."""
    groups: list[list[Array]] = []
    end = -1
    for array in sorted(arrays, key=lambda array: _bounds(array)[0]):
        first, last = _bounds(array)
        if first < end:
            groups[-1].append(array)
        else:
            groups.append([array])
        end = max(end, last)
    return groups


def _bounds(array: Array) -> tuple[int, int]:
    """The addresses of an array's first byte and of the one after its last."""
    reach = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    first = array.ctypes.data + sum(min(0, each) for each in reach)
    return first, first + (sum(map(abs, reach)) + array.itemsize if array.size else 0)


def _in_float64(group: list[Array], name: str) -> dict[int, Array]:
    """The same views of one block of float64 memory, by the ids of the arrays."""
    first, size = _bounds(group[0])[0], group[0].itemsize
    elements = (max(_bounds(array)[1] for array in group) - first) // size
    block = np.zeros(elements)
    views = {}
    for array in group:
        steps = (_bounds(array)[0] - first, array.ctypes.data - first, *array.strides)
        if array.dtype != group[0].dtype or array.dtype.kind not in "fiub" or any(step % size for step in steps):
            raise ValueError(f"params[{name!r}] shares its memory with an array of {array.dtype}: it can't be copied")
        if type(array) not in (np.ndarray, np.memmap, np.matrix):
            raise ValueError(f"params[{name!r}] is, or is held as, a {type(array).__name__}, which can't be copied")
        place, strides = (array.ctypes.data - first) // size, [step // size * 8 for step in array.strides]
        view: Array = np.ndarray(array.shape, np.float64, block, place * 8, strides)
        view[...] = array
        views[id(array)] = view.view(np.matrix) if isinstance(array, np.matrix) else view
    return views
