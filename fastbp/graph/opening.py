"""A graph with its composite nodes replaced by their parts."""

import numpy as np

from fastbp.graph.engine import in_order
from fastbp.graph.node import Node, apply
from fastbp.graph.values import Value


def opened(root: Node) -> Node:
    """The same calculation by simple operations; variables and constants are those of the old graph."""
    new: dict[Node, Node] = {}
    for node in in_order(root):
        new[node] = _opened_node(node, tuple(new[each] for each in node.inputs))
    return new[root]


def _opened_node(node: Node, inputs: tuple[Node, ...]) -> Node:
    operation = node.operation
    if operation is None:
        return node
    parts: Node | None = operation.opened(*inputs)
    if parts is None or not _same(parts.value, node.value):
        # A layer keeps what its backward needs, and a second forward might draw other random numbers.
        kept = operation.keeps_state
        parts = Node(node.value, operation.apart(), inputs) if kept else apply(operation, *inputs)
    parts.name = node.name
    return parts


def _same(a: Value, b: Value) -> bool:
    """Whether the parts compute what the whole does, to rounding: 0 · log 0 and a layer of another kind don't."""
    if np.shape(a) != np.shape(b):
        return False
    single = any(np.asarray(each).dtype == np.float32 for each in (a, b))
    return bool(np.allclose(a, b, rtol=1e-4 if single else 1e-9, atol=1e-5 if single else 1e-12, equal_nan=True))
