"""A graph with its composite nodes replaced by their parts."""

from fastbp.graph.agreement import agrees, stand_ins
from fastbp.graph.engine import in_order
from fastbp.graph.node import Node, apply


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
    if _can_open(node):
        parts: Node = operation.opened(*inputs)
    else:
        # A layer keeps what its backward needs, and a second forward might draw other random numbers.
        kept = operation.keeps_state
        parts = Node(node.value, operation.apart(), inputs) if kept else apply(operation, *inputs)
    parts.name = node.name
    return parts


def _can_open(node: Node) -> bool:
    """Whether the parts do what the whole does: at 0 · log 0, and in a layer of another kind, they don't."""
    assert node.operation is not None
    inputs = stand_ins([each.value for each in node.inputs])
    parts = node.operation.opened(*inputs)
    return parts is not None and agrees(parts, inputs, node.operation, node.value)
