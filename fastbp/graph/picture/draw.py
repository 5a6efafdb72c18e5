"""A placed scene as an .svg, .png or .pdf, drawn by matplotlib, which brings its fonts."""

import io
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

from fastbp.graph.picture import fonts
from fastbp.graph.picture.layout import BOX_PADDING, DOT, MARGIN, Layout, routes, texts, width_of
from fastbp.graph.picture.scene import CIRCLE, Scene

# Pixels of a .png along its longer side: matplotlib draws up to 65,536, viewers show fewer.
LARGEST = 30_000

# Points: the length of an arrow head.
ARROW = 7.0


@dataclass(frozen=True)
class Colours:
    """A picture's. That of derivatives differs from that of values in brightness, hue and, by its weight, in form."""

    ground: str
    ink: str
    derivative: str
    note: str
    box: str


# Each against its ground has a contrast of at least 4.5, which WCAG asks for text.
LIGHT = Colours("#ffffff", "#1a1a1a", "#b34000", "#5c5c5c", "#eef3f8")
DARK = Colours("#1b1d21", "#e8e8e8", "#ffab73", "#a9a9a9", "#2a3038")


def draw(scene: Scene, layout: Layout, stream: IO[bytes], format: str, dark: bool) -> None:
    """Writes the picture into a stream. The same scene gives the same bytes: no date, no random name."""
    import matplotlib
    from matplotlib.figure import Figure

    words = [text for text, *_ in texts(scene, layout)] + [text for text, _ in layout.notes]
    families = [fonts.FAMILY, "sans-serif"]
    if format != "svg":
        families, missing = fonts.families(words)
        if missing:
            warnings.warn(
                f"no font on this system has {missing[:20]!r}: drawn as empty boxes. Save as .svg, install a "
                "font such as Noto Sans CJK, or give matplotlib one: "
                "matplotlib.font_manager.fontManager.addfont(path)",
                stacklevel=4,
            )
    options = {"svg.fonttype": "none", "svg.hashsalt": "fastbp", "pdf.fonttype": 3, "font.family": families}
    with matplotlib.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # told above, in one sentence
        warnings.filterwarnings("ignore", ".*[Ff]ont family", UserWarning)
        figure = Figure(figsize=(layout.width / 72, layout.height / 72))
        colours = DARK if dark else LIGHT
        figure.set_facecolor(colours.ground)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
        axes.set_axis_off()
        _edges(axes, scene, layout, colours)
        _items(axes, scene, layout, colours)
        _texts(axes, scene, layout, colours, families)
        metadata = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Producer": None}}
        dots = min(200.0, LARGEST * 72 / max(layout.width, layout.height))
        figure.savefig(stream, format=format, dpi=dots, metadata=metadata.get(format), facecolor=colours.ground)


def _edges(axes: Any, scene: Scene, layout: Layout, colours: Colours) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    for route in routes(scene, layout):
        pieces = list(route.pieces)
        if route.arrow:
            left, tip, y = pieces[-1]
            pieces[-1] = (min(left, tip - ARROW), tip - ARROW / 2, y)
            wings = [(tip, y), (tip - ARROW, y - ARROW * 0.43), (tip - ARROW, y + ARROW * 0.43)]
            axes.add_patch(
                Polygon(wings, closed=True, facecolor=colours.ink, edgecolor="none", zorder=2, clip_on=False)
            )
        points, codes = [(pieces[0][0], pieces[0][2])], [Path.MOVETO]
        for (_, x, y), (following, _, into) in pairwise(pieces):
            if y != into:
                middle = (x + following) / 2
                points += [(x, y), (middle, y), (middle, into), (following, into)]
                codes += [Path.LINETO, *[Path.CURVE4] * 3]
        points.append((pieces[-1][1], pieces[-1][2]))
        codes.append(Path.LINETO)
        line = PathPatch(Path(points, codes), fill=False, edgecolor=colours.ink, linewidth=1.1, zorder=1, clip_on=False)
        axes.add_patch(line)


def _items(axes: Any, scene: Scene, layout: Layout, colours: Colours) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    for item in scene.items:
        x, y = layout.centre[item]
        style = {"facecolor": colours.ground, "edgecolor": colours.ink, "linewidth": 1.3, "zorder": 3, "clip_on": False}
        if item.kind == "circle":
            axes.add_patch(Circle((x, y), CIRCLE, **style))
        elif item.kind == "box":
            width = width_of(item)
            shape = FancyBboxPatch(
                (x - width / 2, y - CIRCLE), width, 2 * CIRCLE, boxstyle=f"round,pad=0,rounding_size={BOX_PADDING / 2}"
            )
            shape.set(**style | {"facecolor": colours.box})
            axes.add_patch(shape)
        elif item.kind == "dot":
            axes.add_patch(Circle((x, y), DOT, facecolor=colours.ink, edgecolor="none", zorder=3, clip_on=False))


def _texts(axes: Any, scene: Scene, layout: Layout, colours: Colours, families: list[str]) -> None:
    def write(text: str, role: str, x: float, y: float, side: str) -> None:
        first = role.split()[0]
        axes.text(
            *(x, y, text),
            color={"derivative": colours.derivative, "legend": colours.note}.get(first, colours.ink),
            fontsize=fonts.size(role),
            fontweight="bold" if fonts.bold(role) else "normal",
            fontfamily=families,
            ha=side,
            va="center_baseline",
            parse_math=False,
            zorder=4,
        )

    for text, role, x, y in texts(scene, layout):
        write(text, role, x, y, "center")
    bottom = layout.height - MARGIN
    for i, (text, role) in enumerate(reversed(layout.notes)):
        write(text, role, MARGIN, bottom - (i + 0.5) * fonts.line_height(role), "left")


def svg(scene: Scene, layout: Layout) -> str:
    """The picture as text, for a notebook."""
    stream = io.BytesIO()
    draw(scene, layout, stream, "svg", False)
    return stream.getvalue().decode()
