"""A graph in a terminal: a line for each step, values forward, derivatives backward."""

from collections.abc import Sequence
from functools import cached_property, reduce

import numpy as np

from fastbp.graph.engine import consumers, in_order
from fastbp.graph.node import Node
from fastbp.graph.values import SMALL, Value, columns, computed, padded, printable, shape_of, size_of, told

# A graph of more nodes is printed by its first and its last ones.
MOST = 40


class View:
    """A graph as it is shown, with the derivatives that the last backward from its root has left."""

    def __init__(self, root: Node, order: list[Node] | None = None) -> None:
        self.root = root
        self.order = in_order(root) if order is None else order
        steps = [node for node in self.order if node.operation is not None]
        self.step = {node: i for i, node in enumerate(steps, 1)}

    @cached_property
    def consumers(self) -> dict[Node, list[tuple[Node, int]]]:
        """For each node, who takes its value, and as which input."""
        return consumers(self.order)

    def passed(self, node: Node, i: int) -> Value | None:
        """The derivative that node hands to its input i; None before backward, or after another one below it."""
        fresh = self.root._run is not None and node._run is self.root._run
        return node._passed[i] if fresh and node._passed else None

    def terms(self, node: Node) -> list[Value]:
        """The derivatives that come to a node from above, of which its own is the sum."""
        if node is self.root:
            return [] if node.grad is None else [node.grad]
        found = [self.passed(above, i) for above, i in self.consumers[node]]
        return [] if any(each is None for each in found) else found

    def total(self, node: Node) -> Value | None:
        """The derivative by a node, also where its `grad` is by now that of another graph."""
        terms = self.terms(node)
        if len(terms) > 1 and node._run is self.root._run:
            return node.grad
        return computed(reduce(np.add, terms)) if terms else None

    def inline(self, node: Node) -> bool:
        """Whether a node is written where it is used: a constant without a name."""
        return node.op == "constant" and not node.name and node is not self.root

    def reference(self, node: Node) -> str:
        """How the node is called by those who use it."""
        if self.inline(node):
            return told(node.value)
        return printable(node.name) or (f"({self.step[node]})" if node in self.step else self.unnamed(node))

    def unnamed(self, node: Node) -> str:
        """A variable without a name, by its place among them."""
        others = [each for each in self.order if each.operation is None and not each.name and not self.inline(each)]
        return f"input {others.index(node) + 1}"


def table(root: Node) -> str:
    """The graph as a table: what is computed, its value, and the derivative by it."""
    view = View(root)
    rows = [node for node in view.order if not view.inline(node)]
    left_out = max(0, len(rows) - MOST)
    shown = rows if not left_out else rows[: MOST // 2] + rows[-MOST // 2 :]
    lines = [_row(view, node) for node in shown]
    has_derivatives = any(line[3] for line in lines)
    head = ("", "", "value →", "← derivative" if has_derivatives else "")
    text = _aligned([head, *lines])
    if left_out:
        text.insert(1 + MOST // 2, f"… {left_out:,} nodes in between are left out")
    return "\n".join(text)


def _row(view: View, node: Node) -> tuple[str, str, str, str]:
    step = f"({view.step[node]})" if node in view.step else ""
    if node.operation is None:
        what = view.reference(node)
    else:
        what = node.operation.formula([view.reference(each) for each in node.inputs])
        what = f"{printable(node.name)} = {what}" if node.name else what
    return step, what, described(node.value), _derivative(view, node)


def _derivative(view: View, node: Node) -> str:
    if node.op == "constant" and node is not view.root:
        return ""
    total, terms = view.total(node), view.terms(node)
    if total is None:
        return ""
    if len(terms) < 2:
        return described(total)
    if np.ndim(total) == 0 and len(terms) <= 4:
        return f"{told(total)} = {' + '.join(map(told, terms))}"
    return f"{described(total)}, the sum of {len(terms)}"


def described(value: Value) -> str:
    """A number or a small array itself, of a large one the shape and the sizes."""
    if np.size(value) <= SMALL:
        return told(value)
    return f"{shape_of(value)} {size_of(value)}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(columns(row[i]) for row in rows) for i in range(4)]
    if not widths[0]:
        rows, widths = [row[1:] for row in rows], widths[1:]
    return ["  ".join(padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def named(view: View, node: Node) -> str:
    """A node in a sentence: its name, or the step and the sign of its operation."""
    if node.operation is None or node.name:
        return view.reference(node)
    return f"({view.step[node]}) {node.operation.symbol}"
