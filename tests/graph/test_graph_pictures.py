"""Pictures of computational graphs: no text over text or edges, letters of any script, three formats."""

import random
import struct
import sys
import warnings
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import LABELS, X, net
from processes import python

from fastbp import graph
from fastbp.graph.engine import in_order
from fastbp.graph.figures import FIGURES

pytest.importorskip("matplotlib")
pytest.importorskip("fast_sugiyama")

from fastbp.graph.picture import draw, fonts, layout
from fastbp.graph.picture.layout import Box, box_of, placed, routes, texts
from fastbp.graph.picture.scene import MOST, scene

SVG = "{http://www.w3.org/2000/svg}"


def random_graph(seed: int, size: int = MOST) -> graph.Node:
    """A graph of up to `size` nodes with numbers, names and arrays of every length, and values used several times."""
    rng = random.Random(seed)
    names = ["x", "", "a rather long name, longer than most", "사과의 개수", "消費税の割合", "W" * 100]
    values = [1e-17, 123456789, 0.1 + 0.2, 3, -1.5, [1, 2], [[0.123456, -7e-9], [3, 4]], np.ones((2, 2)) * np.pi]
    nodes = [graph.variable(rng.choice(values[:5]), rng.choice(names)) for _ in range(4)]
    if seed % 3 == 0:
        nodes = [graph.variable(rng.choice(values[6:]), rng.choice(names)) for _ in range(4)]
    best = nodes[0]
    for _ in range(400):
        a, b = rng.choice(nodes[-6:]), rng.choice(nodes)
        made = [a + b, a * b, a - b, graph.sigmoid(a), a * 0.1, graph.relu(a), a**2 + 1, 1 / (1 + graph.exp(-1 * a))]
        new = rng.choice(made)
        if len(in_order(new)) <= size:
            nodes.append(new)
            best = max(best, new, key=lambda node: len(in_order(node)))
        if len(in_order(best)) >= size - 2:
            break
    best.backward()
    return best


def every_graph() -> list[graph.Node]:
    network = graph.from_network(net(), X, LABELS["index"])
    x = graph.variable([[1.0, 2.0], [3.0, 4.0]], "x")
    signs = [each(x) for each in (graph.mean, graph.sum, graph.exp, graph.log, graph.transpose)]
    signs += [x**n for n in (2, 10, 0.5, 100, -1, -0.001, 1e300)] + [graph.dot(x, x), x / x, -x]
    drawn = [make().output for make in FIGURES.values()] + [network, *signs]
    drawn += [each.opened() for each in drawn]
    for each in drawn:
        each.backward()
    return drawn + [random_graph(seed) for seed in range(25)] + [make().output for make in FIGURES.values()]


def collisions(root: graph.Node) -> list[str]:
    """Which texts lie over a text, an edge, an operation, or the end of the picture."""
    drawn = scene(root)
    places = placed(drawn)
    boxes = [(text, box_of(text, role, x, y)) for text, role, x, y in texts(drawn, places)]
    found = [f"{a!r} over {b!r}" for (a, one), (b, two) in combinations(boxes, 2) if one.overlaps(two)]
    for item in drawn.items:
        x, y = places.centre[item]
        if item.kind in ("circle", "box"):
            half = layout.width_of(item) / 2
            mine = Box(x - half, y - layout.CIRCLE, x + half, y + layout.CIRCLE)
            inside = box_of(item.text.text, item.text.role, x, y)
            found += [f"{text!r} over {item.kind}" for text, box in boxes if box != inside and box.overlaps(mine)]
            if item.kind == "circle":  # the corners of the letters, 0.73 of their size high
                tall = 0.73 * fonts.size(item.text.role) / 2
                wide = (inside.right - inside.left) / 2
                found += [f"{item.text.text!r} leaves its circle"] * ((wide**2 + tall**2) ** 0.5 > layout.CIRCLE)
            found += [f"{item.text.text!r} too wide"] * (not (mine.left <= inside.left and inside.right <= mine.right))
    for line in pieces(drawn, places):
        found += [f"{text!r} over an edge" for text, box in boxes if box.overlaps(line)]
    whole = Box(0, 0, places.width, places.height)
    for text, box in boxes:
        if not (
            whole.left <= box.left and box.right <= whole.right and whole.top <= box.top and box.bottom <= whole.bottom
        ):
            found.append(f"{text!r} leaves the picture")
    return found


def pieces(drawn: Any, places: Any) -> list[Box]:
    """The edges as boxes: level pieces as thin ones, what lies between two columns as the whole gap."""
    found = []
    for route in routes(drawn, places):
        for left, right, y in route.pieces:
            found.append(Box(left, y - 0.6, right, y + 0.6))
        for (_, left, y), (right, _, into) in zip(route.pieces, route.pieces[1:], strict=False):
            found.append(Box(left, min(y, into) - 0.6, right, max(y, into) + 0.6))
    return found


def test_no_text_lies_over_anything() -> None:
    sizes = []
    for root in every_graph():
        assert collisions(root) == []
        sizes.append(len(in_order(root)))
    assert max(sizes) >= MOST - 2


def test_a_collision_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above bites: rows too close, columns too narrow, letters wider than measured."""
    root = FIGURES["oranges"]().output
    root.backward()
    assert collisions(root) == []
    with monkeypatch.context() as patch:
        patch.setattr(layout, "GAP_OF_ROWS", -25.0)
        assert any(" over " in each for each in collisions(root))
    with monkeypatch.context() as patch:
        patch.setattr(layout, "_rows", lambda scene: dict.fromkeys(scene.items, 0.0))
        assert any("'100' over" in each for each in collisions(root))
    mean = graph.mean(graph.variable([1.0, 2.0]))
    assert collisions(mean) == []
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[scene.__module__], "WIDEST_IN_CIRCLE", 99.0)
        assert "'mean' leaves its circle" in collisions(mean)
    places = placed(scene(root))
    assert box_of("100", "value", 50, 50).overlaps(box_of("2", "value", 55, 50))
    assert not box_of("100", "value", 50, 50).overlaps(box_of("2", "value", 55, 50 + fonts.line_height("value")))
    assert places.width > 0


def test_measured_widths_are_those_drawn(tmp_path: Path) -> None:
    """Letters that DejaVu Sans has, to a hundredth; others take a whole square."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(dpi=720)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in ("220.00000000000003", "apple × number", "[[1, -0.5], [-2, 3]]", "softmax with loss"):
        for role in fonts.SIZES:
            drawn = figure.text(
                *(0, 0, text),
                fontsize=fonts.size(role),
                fontweight="bold" if fonts.bold(role) else "normal",
                fontfamily=fonts.FAMILY,
                parse_math=False,
            )
            assert fonts.text_width(text, role) == pytest.approx(
                drawn.get_window_extent(renderer).width / 10, abs=0.05 * fonts.size(role) + 1
            ), (text, role)
    assert fonts.text_width("사과", "name") == 2 * fonts.size("name")


# Files ---------------------------------------------------------------------------------------------------------------


def apples() -> graph.Node:
    apple, number, tax = (
        graph.variable(100, "사과"),
        graph.variable(2, "リンゴの数"),
        graph.variable(1.1, "$tax_1$ <&>"),
    )
    price = apple * number * tax
    price.backward()
    return price


def words(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_svg(tmp_path: Path) -> None:
    apples().save(tmp_path / "apples.svg")
    found = words((tmp_path / "apples.svg").read_text("utf-8"))
    values = ["사과", "リンゴの数", "$tax_1$ <&>", "×", "×", "100", "2", "1.1", "200", "220.00000000000003"]
    assert sorted(found[:-2]) == sorted([*values, "2.2", "110.00000000000001", "200", "1.1", "1"])
    assert found[-2:] == [layout.LEGEND_OF_DERIVATIVES, layout.LEGEND]
    assert sum(1 for _ in ET.parse(tmp_path / "apples.svg").iter(f"{SVG}text")) == 17


def test_before_backward_there_are_no_derivatives(tmp_path: Path) -> None:
    (graph.variable(2, "x") * 3).save(tmp_path / "x.svg")
    found = words((tmp_path / "x.svg").read_text("utf-8"))
    assert sorted(found) == sorted(["x", "×", "2", "3", "6", layout.LEGEND])


@pytest.mark.parametrize("dark", [False, True])
def test_png_and_pdf(tmp_path: Path, dark: bool) -> None:
    figure = FIGURES["oranges"]().output
    figure.backward()
    figure.save(tmp_path / "o.PNG", dark=dark)
    figure.save(str(tmp_path / "o.pdf"), dark=dark)
    content = (tmp_path / "o.PNG").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    places = placed(scene(figure))
    assert (width, height) == pytest.approx((places.width * 200 / 72, places.height * 200 / 72), abs=2)
    assert (tmp_path / "o.pdf").read_bytes()[:5] == b"%PDF-"
    from matplotlib.image import imread

    corner = imread(tmp_path / "o.PNG", format="png")[0, 0, :3]
    assert (corner.max() < 0.2) if dark else (corner.min() == 1)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [draw.LIGHT, draw.DARK])
def test_colours_can_be_read(colours: draw.Colours) -> None:
    for each in (colours.ink, colours.derivative, colours.note):
        assert contrast(each, colours.ground) >= 4.5
    assert contrast(colours.ink, colours.box) >= 4.5
    # In grey and by the colour-blind value and derivative are told apart by brightness, and by weight.
    assert contrast(colours.ink, colours.derivative) >= 1.4
    assert fonts.bold("derivative")
    assert not fonts.bold("value")


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    code = f"""
        from fastbp.graph.figures import FIGURES
        for name in ("softmax", "network"):
            root = FIGURES[name]().output.opened()
            root.backward()
            root.save({str(tmp_path)!r} + f"/{{name}}.svg")
    """
    python(code, PYTHONHASHSEED="1", SOURCE_DATE_EPOCH="1")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    python(code, PYTHONHASHSEED="2")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_boxes_are_no_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without fonts there are those that matplotlib brings, one of which has a box for each letter."""
    from matplotlib import font_manager, get_data_path

    brought = [entry for entry in font_manager.fontManager.ttflist if entry.fname.startswith(get_data_path())]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", brought)
    with pytest.warns(UserWarning, match="no font on this system has '과사'"):
        (graph.variable(100, "사과") * 2).save(tmp_path / "apple.png")


def test_letters_that_no_font_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_others", list)
    node = graph.variable(100, "사과") * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        node.save(tmp_path / "apple.svg")  # the browser's fonts will have them
    for suffix in ("png", "pdf"):
        with pytest.warns(
            UserWarning, match=r"no font on this system has '과사'.*Save as \.svg, install a font"
        ) as found:
            node.save(tmp_path / f"apple.{suffix}")
        assert len(found) == 1
        assert found[0].filename == __file__
        assert (tmp_path / f"apple.{suffix}").stat().st_size > 1000


def test_letters_that_a_font_has(tmp_path: Path) -> None:
    families, missing = fonts.families(["사과 リンゴ 個数"])
    if missing:
        pytest.skip("no Korean and Japanese fonts on this system")
    assert families[0] == fonts.FAMILY
    for suffix in ("png", "pdf"):
        apples().save(tmp_path / f"apples.{suffix}")  # any warning would be an error


def test_names_that_files_can_t_hold(tmp_path: Path) -> None:
    name = "a\x00b\nc\ud800"
    (graph.variable(1, name) * 2).save(tmp_path / "x.svg")
    assert "a b c" in words((tmp_path / "x.svg").read_text("utf-8"))


def test_mistakes(tmp_path: Path) -> None:
    node = graph.variable(1) * 2
    for name in ("x.gif", "x", "x.svgz", ".svg"):
        with pytest.raises(ValueError, match=r"expected a file name that ends in \.svg, \.png or \.pdf"):
            node.save(tmp_path / name)
    with pytest.raises(OSError, match="can't write there"):
        node.save(tmp_path / "missing" / "x.svg")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("matplotlib", "fast_sugiyama"):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("fastbp.graph.picture.find_spec", lambda name: None)
    node = apples()
    with pytest.raises(ImportError, match=r"needs matplotlib and fast-sugiyama: pip install 'fastbp\[plot\]'"):
        node.save(tmp_path / "x.svg")
    assert node._repr_svg_() is None
    assert node._repr_html_().startswith("<pre>")
    assert "$tax_1$ &lt;&amp;&gt;" in node._repr_html_()
    assert str(node)


def test_notebook() -> None:
    assert words(apples()._repr_svg_())
    assert apples()._repr_html_() is None


# Large graphs --------------------------------------------------------------------------------------------------------


def test_of_many_nodes_the_nearest_are_drawn(tmp_path: Path) -> None:
    x = graph.variable(1.0, "x")
    y = x
    for _ in range(20_000):
        y = y * 1.00001
    y.backward()
    assert collisions(y) == []
    for suffix in ("svg", "png"):
        y.save(tmp_path / f"y.{suffix}")
    found = words((tmp_path / "y.svg").read_text("utf-8"))
    assert "39,961 more nodes are left out, at …" in found
    assert "…" in found
    assert "x" not in found


def test_a_graph_that_forks_everywhere(tmp_path: Path) -> None:
    y = graph.variable(1 / 3, "x" * 200)
    for _ in range(39):
        y = y * y
    y.backward()
    assert len(in_order(y)) == MOST
    assert collisions(y) == []
    y.save(tmp_path / "y.png")
    width, _ = struct.unpack(">II", (tmp_path / "y.png").read_bytes()[16:24])
    assert width <= draw.LARGEST + 1


def test_a_variable_alone(tmp_path: Path) -> None:
    for name in ("", "x"):
        node = graph.variable(3, name)
        node.save(tmp_path / "x.svg")
        assert "3" in words((tmp_path / "x.svg").read_text("utf-8"))
        assert collisions(node) == []
