"""Places: a row for each item of a scene by layered drawing, then points.

The rows are fast-sugiyama's (Sugiyama's method, compiled, MIT, 1 MB, nothing else needed; wheels for Windows, macOS,
and Linux with glibc 2.34 or later). Tried beside it, on 42 graphs, 40 of them random ones of some 36 nodes: igraph 1.0
left 145 pairs of items of a column less than a row apart, and 515 crossings of edges; grandalf 0.8 41 pairs and 482
crossings; fast-sugiyama 0.5.3 none and 413. networkx orders no layers, and Graphviz needs a program or, as WebAssembly,
a runtime of 15 MB.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from fastbp.graph.picture.fonts import line_height, text_width
from fastbp.graph.picture.scene import CIRCLE, Item, Scene

# Points. Between two columns edges go up and down, and nowhere else.
GAP_OF_COLUMNS = 22.0
GAP_OF_ROWS = 10.0
MARGIN = 14.0
BOX_PADDING = 9.0
TEXT_PADDING = 3.0
DOT = 2.5

LEGEND = "above an edge: the value, forward →"
LEGEND_OF_DERIVATIVES = "below it: the derivative, backward ←"


@dataclass(frozen=True)
class Box:
    """A rectangle in points, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """By more than rounding."""
        width = min(self.right, other.right) - max(self.left, other.left)
        return min(width, min(self.bottom, other.bottom) - max(self.top, other.top)) > 1e-6


@dataclass
class Layout:
    """The centre of each item, the column's ends (left, right), and the size of the whole, in points."""

    centre: dict[Item, tuple[float, float]]
    column: dict[int, tuple[float, float]]
    width: float
    height: float
    notes: list[tuple[str, str]]


def placed(scene: Scene) -> Layout:
    """Where each item stands."""
    rows = _rows(scene)
    ups, downs = [_up(item) for item in scene.items], [_down(item) for item in scene.items]
    pitch = max(ups) + max(downs) + GAP_OF_ROWS
    widths: dict[int, float] = defaultdict(float)
    for item in scene.items:
        widths[item.column] = max(widths[item.column], width_of(item))
    column, x = {}, MARGIN
    for i in range(min(widths), max(widths) + 1):
        column[i] = (x, x + widths[i])
        x += widths[i] + GAP_OF_COLUMNS
    top = MARGIN + max(ups)
    centre = {item: (sum(column[item.column]) / 2, top + rows[item] * pitch) for item in scene.items}
    bottom = top + max(rows.values()) * pitch + max(downs)
    notes = _notes(scene)
    width = max([x - GAP_OF_COLUMNS, *(MARGIN + text_width(text, "legend") for text, _ in notes)]) + MARGIN
    return Layout(centre, column, width, bottom + GAP_OF_ROWS + len(notes) * line_height("legend") + MARGIN, notes)


def _notes(scene: Scene) -> list[tuple[str, str]]:
    """What stands below the picture, each line with its role."""
    notes = [(LEGEND, "legend")]
    if scene.derivatives:
        notes.append((LEGEND_OF_DERIVATIVES, "derivative legend"))
    if scene.left_out:
        nodes = "node is" if scene.left_out == 1 else "nodes are"
        notes.append((f"{scene.left_out:,} more {nodes} left out, at …", "legend"))
    return notes


def _rows(scene: Scene) -> dict[Item, float]:
    """The row of each item, from 0; at least 1 apart in a column."""
    if len(scene.items) == 1:
        return {scene.items[0]: 0.0}
    from fast_sugiyama import from_edges

    number = {item: i for i, item in enumerate(scene.items)}
    edges = [(number[a], number[b]) for a, b, _ in scene.edges]
    found = from_edges(edges, vertex_spacing=1, dummy_vertices=False).to_dict()
    rows = {item: float(found[i][0]) for item, i in number.items()}
    if _upside_down(scene, rows):
        rows = {item: -row for item, row in rows.items()}
    columns: dict[int, list[Item]] = defaultdict(list)
    for item in scene.items:
        columns[item.column].append(item)
    for items in columns.values():
        items.sort(key=rows.__getitem__)
        for above, item in pairwise(items):
            rows[item] = max(rows[item], rows[above] + 1)
    first = min(rows.values())
    return {item: row - first for item, row in rows.items()}


def _upside_down(scene: Scene, rows: dict[Item, float]) -> bool:
    """Whether more of the operations have their first input below their second than above it."""
    inputs: dict[Item, list[Item]] = defaultdict(list)
    for a, b, _ in scene.edges:
        inputs[b].append(a)
    pairs = [(each[0], each[-1]) for each in inputs.values() if len(each) > 1]
    return sum((rows[first] > rows[last]) - (rows[first] < rows[last]) for first, last in pairs) > 0


def width_of(item: Item) -> float:
    """How wide an item is, in points."""
    if item.kind == "circle":
        return 2 * CIRCLE
    if item.kind in ("dot", "bend"):
        return 2 * DOT
    lines = [*item.above, *item.below, *([item.text] if item.text else [])]
    padding = BOX_PADDING if item.kind == "box" else TEXT_PADDING
    return max(text_width(line.text, line.role) for line in lines) + 2 * padding if lines else 2 * DOT


def _up(item: Item) -> float:
    return _half(item) if item.kind != "label" else sum(line_height(line.role) for line in item.above) + TEXT_PADDING


def _down(item: Item) -> float:
    return _half(item) if item.kind != "label" else sum(line_height(line.role) for line in item.below) + TEXT_PADDING


def _half(item: Item) -> float:
    return {"circle": CIRCLE, "box": CIRCLE, "dot": DOT, "bend": DOT}.get(item.kind, line_height("name") / 2)


def texts(scene: Scene, layout: Layout) -> list[tuple[str, str, float, float]]:
    """(text, role, x of its middle, y of its middle) for each line of text of the picture but the notes."""
    found = []
    for item in scene.items:
        x, y = layout.centre[item]
        if item.text:
            found.append((item.text.text, item.text.role, x, y))
        up = y - TEXT_PADDING
        for line in reversed(item.above):
            found.append((line.text, line.role, x, up - line_height(line.role) / 2))
            up -= line_height(line.role)
        down = y + TEXT_PADDING
        for line in item.below:
            found.append((line.text, line.role, x, down + line_height(line.role) / 2))
            down += line_height(line.role)
    return found


def box_of(text: str, role: str, x: float, y: float) -> Box:
    """The rectangle that a line of text takes."""
    width, height = text_width(text, role), line_height(role)
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


@dataclass(frozen=True)
class Route:
    """A line of the picture: level pieces (x from, x to, y), one in each column, joined between them."""

    pieces: list[tuple[float, float, float]]
    arrow: bool


def routes(scene: Scene, layout: Layout) -> list[Route]:
    """The edges, those that go on through a label or a bend as one line."""
    entering: dict[Item, list[Item]] = defaultdict(list)
    onward: dict[Item, tuple[Item, bool]] = {}
    for a, b, arrow in scene.edges:
        entering[b].append(a)
        onward[a] = (b, arrow)
    found = []
    for a, b, arrow in scene.edges:
        if _goes_through(a) and entering[a]:
            continue  # the middle of a line
        pieces = [(_leaves(a, layout), layout.column[a.column][1], layout.centre[a][1])]
        while _goes_through(b) and b in onward:
            pieces.append((*layout.column[b.column], layout.centre[b][1]))
            a, (b, arrow) = b, onward[b]
        end, y = _enters(b, a, layout, entering[b])
        pieces.append((layout.column[b.column][0], end, y))
        found.append(Route(pieces, arrow))
    return found


def _goes_through(item: Item) -> bool:
    return item.kind in ("label", "bend")


def _leaves(item: Item, layout: Layout) -> float:
    """Where a line begins at an item: at its right side, or for a label at the left end of its column."""
    return layout.column[item.column][0] if _goes_through(item) else layout.centre[item][0] + width_of(item) / 2


def _enters(item: Item, source: Item, layout: Layout, entering: list[Item]) -> tuple[float, float]:
    """Where a line from `source` meets an item, so that lines from above come in above those from below."""
    x, y = layout.centre[item]
    if _goes_through(item):
        return layout.column[item.column][1], y
    if item.kind in ("name", "dot"):
        return x - width_of(item) / 2, y
    count = len(entering)
    place = sorted(entering, key=lambda each: layout.centre[each][1]).index(source)
    offset = (place - (count - 1) / 2) * min(9.0, 1.4 * CIRCLE / max(1, count - 1))
    if item.kind == "circle":
        return x - float(max(0.0, CIRCLE**2 - offset**2)) ** 0.5, y + offset
    return x - width_of(item) / 2, y + offset
