"""Whether nodes do what an operation does at the same inputs: the value and the derivatives, to rounding."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.graph.engine import flow, in_order
from fastbp.graph.node import Node
from fastbp.graph.operation import Operation
from fastbp.graph.values import Value, computed, in_dtype, quiet


def stand_ins(values: Sequence[Value]) -> list[Node]:
    """Inputs of these values with no graph below them."""
    return [Node(value) for value in values]


def agrees(other: Node, inputs: Sequence[Node], operation: Operation, value: Value) -> bool:
    """Whether `other`, computed from `inputs`, has the value and derivatives of the operation, which gave `value`."""
    values = [each.value for each in inputs]
    single = any(isinstance(each, np.ndarray) and each.dtype == np.float32 for each in (*values, value))
    if not _close(other.value, value, single):
        return False
    dout = _derivative_for(value)
    with quiet():
        try:
            expected = operation.apart().gradients(dout, values, value)
        except RuntimeError:  # a layer that has forgotten this forward
            return False
    found, _ = flow(in_order(other), in_dtype(dout, other.value), lambda each: each)
    return all(
        gradient is None or (each in found and _close(found[each], gradient, single))
        for each, gradient in zip(inputs, expected, strict=True)
    )


def _derivative_for(value: Value) -> Value:
    """A derivative from above that differs from element to element: the softmax answers equal ones with 0."""
    if np.ndim(value) == 0:
        return 1.0
    return in_dtype(computed(np.linspace(1, 2, np.size(value)).reshape(np.shape(value))), value)


def _close(a: Any, b: Any, single: bool) -> bool:
    if np.shape(a) != np.shape(b):
        return False
    return bool(np.allclose(a, b, rtol=1e-4 if single else 1e-9, atol=1e-5 if single else 1e-12, equal_nan=True))
