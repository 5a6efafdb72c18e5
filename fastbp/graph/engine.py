"""Backward: the derivatives of one node by all nodes below it, each node visited once. Nothing here recurses."""

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from fastbp.graph.operation import Operation
from fastbp.graph.values import Value, computed, given, in_dtype, quiet, shape_of


class Linked(Protocol):
    """What there has to be of a node, so that derivatives pass through it."""

    _grad: Value | None
    _passed: tuple[Value | None, ...]
    _run: object

    @property
    def value(self) -> Value: ...
    @property
    def operation(self) -> Operation | None: ...
    @property
    def inputs(self) -> tuple[Self, ...]: ...


Node = TypeVar("Node", bound=Linked)


def in_order(root: Node) -> list[Node]:
    """All nodes below `root` and itself, each after its inputs, in the order in which an expression is read."""
    done: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            done.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((each, False) for each in reversed(node.inputs) if each not in seen)
    return done


def consumers(order: list[Node]) -> dict[Node, list[tuple[Node, int]]]:
    """For each node, who takes its value, and as which input: twice where it is taken twice."""
    found: dict[Node, list[tuple[Node, int]]] = {node: [] for node in order}
    for node in order:
        for i, each in enumerate(node.inputs):
            found[each].append((node, i))
    return found


def backward(root: Node, dout: Any) -> None:
    """Sets `grad` of all nodes below `root`, and what each edge passes."""
    order, run = in_order(root), object()
    gradients, passed = flow(order, start(root, dout), lambda operation: operation)
    for node in order:
        node._grad = gradients.get(node)
        node._passed, node._run = passed[node], run


def start(root: Node, dout: Any) -> Value:
    """The derivative that comes in at the top: of the root's shape, or one number for all its elements."""
    value = given(dout, "dout")
    shape = np.shape(root.value)
    if np.ndim(value) == 0 and shape:
        value = np.full(shape, value)
    if np.shape(value) != shape:
        raise ValueError(f"dout must be a number or have the shape of the node, {shape}, got {shape_of(value)}")
    return in_dtype(value, root.value)


def flow(
    order: list[Node], dout: Value, chosen: Callable[[Operation], Operation]
) -> tuple[dict[Node, Value], dict[Node, tuple[Any, ...]]]:
    """(The derivative for each node, what each node passes to its inputs), from dout at the last of `order`."""
    gradients: dict[Node, Value] = {order[-1]: dout}
    passed: dict[Node, tuple[Any, ...]] = {}
    with quiet():
        for node in reversed(order):
            passed[node] = ()
            if node.operation is None or node not in gradients:
                continue
            values = [each.value for each in node.inputs]
            found = chosen(node.operation).gradients(gradients[node], values, node.value)
            passed[node] = tuple(
                None if g is None else in_dtype(g, value) for g, value in zip(found, values, strict=True)
            )
            for each, gradient in zip(node.inputs, passed[node], strict=True):
                if gradient is not None:
                    before = gradients.get(each)
                    gradients[each] = gradient if before is None else computed(np.add(before, gradient))
    return gradients, passed
