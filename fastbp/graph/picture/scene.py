"""What a picture of a graph is made of: items in columns, and the lines between items of neighbouring columns.

Even columns hold names, operations and branches, odd ones the labels of edges: the value above, the derivative below.
A line that passes a column without stopping there has an item of its own in it, a bend; so no item is ever crossed.
"""

from dataclasses import dataclass, field

import numpy as np

from fastbp.graph.node import Node
from fastbp.graph.picture.fonts import text_width
from fastbp.graph.text import View
from fastbp.graph.values import SMALL, Value, elements, number, printable, shape_of, size_of

# So many nodes are drawn: the nearest ones to the output.
MOST = 40

# Up to so many nodes all variables stand at the left edge, as in the book; in larger graphs before their operation.
SMALL_GRAPH = 16

# The radius of a circle, and the widest sign in one, which is some 9 high, in points.
CIRCLE = 15.0
WIDEST_IN_CIRCLE = 28.0

# Names and numbers get shorter in pictures.
LONGEST_NAME = 48

VALUE, DERIVATIVE, NAME, NOTE = "value", "derivative", "name", "note"


@dataclass(frozen=True)
class Line:
    """A line of text; its role decides size, weight and colour."""

    text: str
    role: str


@dataclass(eq=False)
class Item:
    """Something with a place in the picture: `kind` is name, circle, box, label, dot, bend or more."""

    kind: str
    column: int
    above: list[Line] = field(default_factory=list)
    below: list[Line] = field(default_factory=list)
    text: Line | None = None


@dataclass
class Scene:
    """Items; edges (from, to, whether with an arrow head); and how many nodes are left out."""

    items: list[Item] = field(default_factory=list)
    edges: list[tuple[Item, Item, bool]] = field(default_factory=list)
    left_out: int = 0
    derivatives: bool = False

    def add(self, item: Item) -> Item:
        self.items.append(item)
        return item

    def join(self, a: Item, b: Item, arrow: bool) -> None:
        """A line from a to b, with a bend in each column in between."""
        for column in range(a.column + 1, b.column):
            bend = self.add(Item("bend", column))
            self.edges.append((a, bend, False))
            a = bend
        self.edges.append((a, b, arrow))


def scene(root: Node) -> Scene:
    """The picture of a graph, still without places."""
    return _Builder(root).scene


class _Builder:
    def __init__(self, root: Node) -> None:
        self.view, self.root = View(root), root
        self.drawn = _nearest(root, self.view.order)
        order = [node for node in self.view.order if node in self.drawn]
        taken = self.view.consumers
        self.takers = {node: [(above, i) for above, i in taken[node] if above in self.drawn] for node in order}
        self.scene = Scene(left_out=len(self.view.order) - len(order))
        self.column: dict[Node, int] = {}
        self._place(order)
        self.item = {node: self._node_item(node) for node in order if not self._is_text(node)}
        for node in order:
            self._output(node) if node is root else self._edges(node)

    # Columns

    def _is_text(self, node: Node) -> bool:
        """Whether a node is no more than a number before the operation that takes it."""
        return self.view.inline(node)

    def _exit(self, node: Node) -> int:
        """The first column in which the value of a node may be taken."""
        if self._is_text(node):
            return 1
        return self.column[node] + (4 if len(self.takers[node]) > 1 else 2)

    def _place(self, order: list[Node]) -> None:
        leaves = [node for node in order if not self._inputs(node)]
        at_the_left = len(order) <= SMALL_GRAPH and not any(n.operation and n.operation.keeps_state for n in order)
        for node in order:
            inputs = self._inputs(node)
            cut = any(each not in self.drawn for each in node.inputs)
            self.column[node] = max([self._exit(each) for each in inputs] + [2 if cut else 0])
            self.column[node] += self.column[node] % 2
        if not at_the_left:
            for node in leaves:
                if node is not self.root and not self._is_text(node):
                    first = min(self.column[above] for above, _ in self.takers[node])
                    self.column[node] = max(0, first - self._exit(node) + self.column[node])

    def _inputs(self, node: Node) -> list[Node]:
        return [each for each in node.inputs if each in self.drawn]

    # Items

    def _node_item(self, node: Node) -> Item:
        column, operation = self.column[node], node.operation
        if operation is None:
            text = Line(_short(node.name), NAME) if node.name else None
            return self.scene.add(Item("name" if text else "dot", column, text=text))
        symbol = _short(operation.symbol)
        boxed = operation.boxed or text_width(symbol, NAME) > WIDEST_IN_CIRCLE
        item = self.scene.add(Item("box" if boxed else "circle", column, text=Line(symbol, NAME)))
        for each in node.inputs:
            if each not in self.drawn:
                cut = self.scene.add(Item("more", column - 1, text=Line("…", NAME)))
                self.scene.join(cut, item, True)
        return item

    def _edges(self, node: Node) -> None:
        """The way of a value to those who take it."""
        takers = self.takers[node]
        if self._is_text(node):
            for above, _ in takers:
                column = self.column[above] - 1
                lines = _lines(node.value, VALUE)
                item = Item("label", column, above=lines) if lines[1:] else Item("name", column, text=lines[0])
                self.scene.add(item)
                self.scene.join(item, self.item[above], True)
            return
        end = self._label(self.item[node], node.value, self.view.total(node), node)
        if len(takers) == 1:
            self.scene.join(end, self.item[takers[0][0]], True)
            return
        dot = self.scene.add(Item("dot", end.column + 1))
        self.scene.join(end, dot, False)
        for above, i in takers:
            passed = self.view.passed(above, i)
            if passed is None:
                self.scene.join(dot, self.item[above], True)
                continue
            label = self.scene.add(Item("label", dot.column + 1, below=self._derivative(passed, node)))
            self.scene.join(dot, label, False)
            self.scene.join(label, self.item[above], True)

    def _output(self, node: Node) -> None:
        end = self._label(self.item[node], node.value, self.view.total(node), node)
        text = Line(_short(node.name), NAME) if node.name and node.operation is not None else None
        self.scene.join(end, self.scene.add(Item("name" if text else "bend", end.column + 1, text=text)), True)

    def _label(self, item: Item, value: Value, derivative: Value | None, node: Node) -> Item:
        below = [] if derivative is None else self._derivative(derivative, node)
        label = self.scene.add(Item("label", item.column + 1, above=_lines(value, VALUE), below=below))
        self.scene.join(item, label, False)
        return label

    def _derivative(self, value: Value, node: Node) -> list[Line]:
        if node.op == "constant" and node is not self.root:
            return []
        self.scene.derivatives = True
        return _lines(value, DERIVATIVE)


def _nearest(root: Node, order: list[Node]) -> set[Node]:
    """All nodes, or of too many the nearest to the output."""
    if len(order) <= MOST:
        return set(order)
    found, waiting = {root: None}, [root]
    while waiting and len(found) < MOST:
        following = []
        for node in waiting:
            for each in node.inputs:
                if each not in found and len(found) < MOST:
                    found[each] = None
                    following.append(each)
        waiting = following
    return set(found)


def _lines(value: Value, role: str) -> list[Line]:
    """A number; a small array row by row; of a large one its shape and its sizes."""
    if np.ndim(value) == 0:
        return [Line(number(value), role)]
    if np.size(value) > SMALL:
        return [Line(shape_of(value), role), Line(size_of(value), f"{role} note")]
    if np.ndim(value) != 2:
        return [Line(elements(value), role)]
    rows = [elements(row) for row in value]
    return [
        Line(f"{'[' if i == 0 else ' '}{row}{']' if i == len(rows) - 1 else ','}", role) for i, row in enumerate(rows)
    ]


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
