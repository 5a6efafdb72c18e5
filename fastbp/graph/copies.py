"""Copies of graphs, and graphs in files: node by node, as Python's own way would recurse once for each node."""

import copy
from typing import Any

from fastbp.graph.engine import in_order
from fastbp.graph.node import Node
from fastbp.graph.values import computed

Record = tuple[Any, ...]


def records(root: Node) -> list[Record]:
    """A graph as a flat list: each node's value, operation, the places of its inputs in the list, and the rest."""
    order = in_order(root)
    place = {node: i for i, node in enumerate(order)}
    runs = {node._run: i for i, node in enumerate(order)}
    return [
        (
            node.value,
            node.operation,
            tuple(place[each] for each in node.inputs),
            node.name,
            node._variable,
            node.grad,
            node._passed,
            None if node._run is None else runs[node._run],
        )
        for node in order
    ]


def reduced(root: Node) -> tuple[Any, ...]:
    """For pickle: the graph as a list, and what builds it again."""
    return built, (records(root),)


def built(listed: list[Record]) -> Node:
    """The last node of the graph that `records` has listed."""
    nodes: list[Node] = []
    runs: dict[int, object] = {}
    for value, operation, inputs, name, is_variable, grad, passed, run in listed:
        node = Node(_locked(value), operation, tuple(nodes[i] for i in inputs), name)
        node._variable, node._grad, node._passed = is_variable, _locked(grad), tuple(map(_locked, passed))
        node._run = None if run is None else runs.setdefault(run, object())
        nodes.append(node)
    return nodes[-1]


def deep_copy(root: Node, memo: dict[int, Any]) -> Node:
    """For copy.deepcopy: nodes that several copied graphs share are shared by the copies."""
    order = in_order(root)
    copies: dict[Node, Node] = {}
    runs: dict[object, object] = memo.setdefault(id(Node), {})
    for node in order:
        known = memo.get(id(node))
        if known is None:
            operation = copy.deepcopy(node.operation, memo)
            known = Node(node.value, operation, tuple(copies[each] for each in node.inputs), node.name)
            known._variable, known._grad, known._passed = node._variable, node.grad, node._passed
            known._run = None if node._run is None else runs.setdefault(node._run, object())
            memo[id(node)] = known
        copies[node] = known
    return copies[root]


def _locked(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int) else computed(value)
