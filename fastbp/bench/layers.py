"""Both passes of one layer, by fastbp, by the same layer in plain NumPy, and by PyTorch."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import layers, reference
from fastbp.bench import pytorch
from fastbp.bench.results import Row
from fastbp.bench.timing import Contender

Arrays = dict[str, NDArray[Any]]


def layer_contenders(row: Row) -> Iterator[Contender]:
    """The row's operation is a layer's name; each contender is a forward and a backward pass, called from Python."""
    a = row_arrays(row)
    ours, numpy = (passes(namespace, row.operation, a) for namespace in (layers, reference))
    expected = numpy()
    yield Contender("fastbp", ours, expected=expected)
    yield Contender("NumPy", numpy, expected=expected)
    if "PyTorch" in row.contenders and pytorch.installed():
        yield Contender("PyTorch", pytorch.layer(row.operation, a), expected=expected)


def row_arrays(row: Row) -> Arrays:
    """The same random inputs at each call: x, dout, and W, b for three numbers of a shape, t for two."""
    rng = np.random.default_rng(row.shape)
    inputs = {"x": row.shape[:2], "dout": row.shape[::2] if len(row.shape) == 3 else row.shape}
    if len(row.shape) == 3:
        inputs |= {"W": row.shape[1:], "b": row.shape[2:]}
    arrays: Arrays = {name: rng.standard_normal(shape).astype(row.dtype) for name, shape in inputs.items()}
    if len(row.shape) == 2:
        arrays["t"] = rng.integers(0, row.shape[1], row.shape[0])
    return arrays


def passes(namespace: Any, operation: str, a: Arrays) -> Callable[[], tuple[Any, ...]]:
    """forward and backward of a new layer: what they return, and the gradients of parameters."""
    if operation == "Affine":
        return partial(_affine_passes, namespace.Affine(a["W"], a["b"]), a["x"], a["dout"])
    if operation == "SoftmaxWithLoss":
        return partial(loss_passes, namespace.SoftmaxWithLoss(), a["x"], a["t"])
    return partial(activation_passes, getattr(namespace, operation)(), a["x"], a["dout"])


def _affine_passes(layer: Any, x: NDArray[Any], dout: NDArray[Any]) -> tuple[Any, ...]:
    return layer.forward(x), layer.backward(dout), layer.dW, layer.db


def activation_passes(layer: Any, x: NDArray[Any], dout: NDArray[Any]) -> tuple[Any, ...]:
    return layer.forward(x), layer.backward(dout)


def loss_passes(layer: Any, x: NDArray[Any], t: NDArray[Any]) -> tuple[Any, ...]:
    return layer.forward(x, t), layer.backward(1)
