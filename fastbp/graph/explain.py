"""The chain rule in words and numbers: the paths from a node down to a variable, with their factors."""

from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from fastbp.graph.engine import flow, in_order, start
from fastbp.graph.node import Node
from fastbp.graph.text import View, described, named
from fastbp.graph.values import Value, columns, computed, number, padded, quiet, shape_of

# So many paths are written out, and of a long path so many edges at each end.
MOST_PATHS = 20
ENDS = 10

# Paths are counted up to here: there can be 2 ** 100,000.
COUNTED = 10**18

Edge = tuple[Node, int]


def explanation(root: Node, variable: Node) -> str:
    """The text of `root.explain(variable)`."""
    if not isinstance(variable, Node):
        raise TypeError(f"explain takes a node of the graph, got {type(variable).__name__}")
    order = in_order(root)
    paths = _count(order, variable)
    if not paths[root]:
        raise ValueError(
            f"this node doesn't depend on {variable.name or 'that one'!r}: give one of the nodes that it comes from"
        )
    writer = _Writer(root, variable, order)
    found = [writer.path(edges) for edges in _paths(root, variable, paths)]
    head = writer.head(paths[root], [product for _, product in found])
    return "\n\n".join([head, *(text for text, _ in found)])


def _count(order: list[Node], variable: Node) -> dict[Node, int]:
    """For each node the number of paths from it down to the variable; not followed below the variable itself."""
    paths: dict[Node, int] = {}
    for node in order:
        below = sum(paths[each] for each in node.inputs)
        paths[node] = 1 if node is variable else min(below, COUNTED)
    return paths


def _paths(root: Node, variable: Node, paths: dict[Node, int]) -> Iterator[list[Edge]]:
    """The first paths, each as its edges from the top: a node and which of its inputs."""
    path: list[Edge] = []
    written = 0
    node, i = root, 0
    while written < MOST_PATHS:
        if node is variable:
            yield list(path)
            written += 1
        following = None if node is variable else _following(node, i, paths)
        if following is not None:
            path.append((node, following))
            node, i = node.inputs[following], 0
        elif path:
            node, i = path.pop()
            i += 1
        else:
            return


def _following(node: Node, i: int, paths: dict[Node, int]) -> int | None:
    return next((k for k in range(i, len(node.inputs)) if paths[node.inputs[k]]), None)


class _Writer:
    """Writes paths of one graph."""

    def __init__(self, root: Node, variable: Node, order: list[Node]) -> None:
        self.view, self.root, self.variable = View(root, order), root, variable
        self.dout = start(root, 1) if root.grad is None else root.grad
        gradients, _ = flow(order, self.dout, lambda operation: operation.apart())
        self.gradient: Value | None = gradients.get(variable)
        self.numbers = all(np.ndim(node.value) == 0 for node in order)

    def head(self, count: int, products: list[Value]) -> str:
        of = f"d {self.name(self.root)} / d {self.name(self.variable)}"
        told = "labels have none" if self.gradient is None else described(self.gradient)
        if self.root.grad is not None and not _is_one(self.root.grad):
            of = f"{of}, with {described(self.root.grad)} from above"
        if count == 1:
            return f"{of} = {told}, by one path:"
        number_of = f"{count:,}" if count < COUNTED else f"more than {COUNTED:.0e}".replace("+", "")
        written = f"; the first {MOST_PATHS} are written out" if count > MOST_PATHS else ""
        if self.numbers and len(products) == count:
            told = f"{' + '.join(map(number, products))} = {told}"
        return f"{of} = {told}, the sum over {number_of} paths{written}:"

    def name(self, node: Node) -> str:
        return "output" if node is self.root and not node.name else named(self.view, node)

    def path(self, edges: list[Edge]) -> tuple[str, Value]:
        """A path as text, and the product of its factors."""
        nodes = [self.name(node) for node, _ in edges] + [self.name(self.variable)]
        if edges and not self.root.name and self.root.operation is not None:
            nodes[0] = named(self.view, self.root)
        lines, product = self._factors(edges)
        if self.numbers:
            lines.append((f"= {number(product)}", "", ""))
        elif self.gradient is not None:
            lines.append((f"  {shape_of(self.variable.value)}", "", f"as {self.name(self.variable)}"))
        widths = [max(columns(line[i]) for line in lines if line[2]) for i in (0, 1)]
        text = [
            "    " + "  ".join((padded(line[0], widths[0]), padded(line[1], widths[1]), line[2])).rstrip()
            for line in lines
        ]
        return "\n".join([" ← ".join(_shortened(nodes)), *text]), product

    def _factors(self, edges: list[Edge]) -> tuple[list[tuple[str, str, str]], Value]:
        """A line for each edge, of a long path for those at its ends, and the product of all factors."""
        first = number(self.dout) if self.numbers else shape_of(self.dout)
        lines = [(f"  {first}", "", "from above")]
        left_out = len(edges) - 2 * ENDS
        with quiet():
            top = (0.0, self.dout)
            passed = list(accumulate(edges, lambda above, edge: self._passed(edge, above[1]), initial=top))
        for place, (edge, (_, before), (factor, product)) in enumerate(zip(edges, passed, passed[1:], strict=False)):
            if left_out > 1 and ENDS <= place < len(edges) - ENDS:
                if place == ENDS:
                    lines.append((f"… {left_out:,} factors are left out, the product has them", "", ""))
                continue
            rule = self._rule(edge)
            if self.numbers:
                rule += f", {number(before)} × {number(factor)} = {number(product)}"
            node, i = edge
            how = f"× {number(factor)}" if self.numbers else f"→ {shape_of(node.inputs[i].value)}"
            lines.append((how, f"({self.view.step[node]}) {node.op}", rule))
        return lines, passed[-1][1]

    def _passed(self, edge: Edge, product: Value) -> tuple[Value, Value]:
        """(The factor of an edge, the product with it); of arrays there is none to write."""
        if not self.numbers:
            return product, product
        node, i = edge
        assert node.operation is not None
        found = node.operation.apart().gradients(1.0, [each.value for each in node.inputs], node.value)[i]
        factor = float("nan") if found is None else computed(found)
        return factor, product * factor

    @staticmethod
    def _rule(edge: Edge) -> str:
        node, i = edge
        values = [each.value for each in node.inputs]
        assert node.operation is not None
        rule = node.operation.rule(i, values, node.value)
        return f"input {i + 1} of {len(values)}: {rule}" if node.inputs.count(node.inputs[i]) > 1 else rule


def _is_one(value: Value) -> bool:
    return np.ndim(value) == 0 and value == 1


def _shortened(names: list[str]) -> list[str]:
    return names if len(names) <= 2 * ENDS + 2 else [*names[: ENDS + 1], "…", *names[-ENDS - 1 :]]
