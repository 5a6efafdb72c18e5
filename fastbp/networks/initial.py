"""Initial weights of networks of affine layers."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.boundary.arguments import generator, not_negative, whole_number

# The variance of a weight, times the number of inputs: K. He and others 2015, X. Glorot and Y. Bengio 2010.
VARIANCES = {"relu": 2.0, "he": 2.0, "sigmoid": 1.0, "xavier": 1.0}


def layer_sizes(input_size: int, hidden_size_list: Sequence[int], output_size: int) -> list[int]:
    """The numbers of inputs, of each hidden layer, and of outputs. ValueError for one below 1, TypeError for none."""
    if not isinstance(hidden_size_list, Iterable):
        raise TypeError(f"hidden_size_list must be a list of sizes, as [50] is, got {hidden_size_list!r}")
    hidden = [whole_number(size, f"hidden_size_list[{n}]", 1) for n, size in enumerate(hidden_size_list)]
    return [whole_number(input_size, "input_size", 1), *hidden, whole_number(output_size, "output_size", 1)]


def affine_parameters(
    sizes: Sequence[int], weight_init_std: str | float, dtype: DTypeLike, rng: np.random.Generator | None
) -> dict[str, NDArray[Any]]:
    """W1 b1 W2 b2 ... for layers of these sizes: normal weights, drawn in float64 and in this order, and biases of 0.

    `weight_init_std` is a standard deviation, or a name in VARIANCES. ValueError for another name or a negative number,
    TypeError for another dtype than float32 or float64, or kind of rng.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
    rng = generator(rng)
    normal: Any = np.random.randn if rng is None else lambda *shape: rng.standard_normal(shape)
    params: dict[str, NDArray[Any]] = {}
    for n, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        params[f"W{n}"] = (deviation(weight_init_std, inputs) * normal(inputs, outputs)).astype(dtype)
        params[f"b{n}"] = np.zeros(outputs, dtype)
    return params


def deviation(weight_init_std: str | float, inputs: int) -> float:
    """The standard deviation of the weights of a layer with so many inputs."""
    if not isinstance(weight_init_std, str):
        return not_negative(weight_init_std, "weight_init_std")
    if weight_init_std.lower() not in VARIANCES:
        raise ValueError(f"weight_init_std must be a number or one of {sorted(VARIANCES)}, got {weight_init_std!r}")
    return float(np.sqrt(VARIANCES[weight_init_std.lower()] / inputs))
