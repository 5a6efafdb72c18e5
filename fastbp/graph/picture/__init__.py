"""Pictures of graphs, as the book draws them; they need the extra `plot`, which is imported when one is drawn."""

import os
from html import escape
from importlib.util import find_spec
from pathlib import Path

from fastbp.graph.node import Node
from fastbp.system.files import atomic_write

FORMATS = ("svg", "png", "pdf")
NEEDED = ("matplotlib", "fast_sugiyama")


def save(root: Node, path: str | os.PathLike[str], *, dark: bool = False) -> None:
    """Draws the graph into a file, whole or not at all; see `Node.save`."""
    format = checked_format(path)
    require()
    from fastbp.graph.picture.draw import draw
    from fastbp.graph.picture.layout import placed
    from fastbp.graph.picture.scene import scene

    drawn = scene(root)
    layout = placed(drawn)
    with atomic_write(path) as stream:
        draw(drawn, layout, stream, format, dark)


def for_notebook(root: Node) -> str | None:
    """The picture as SVG; None without the extra."""
    if missing():
        return None
    from fastbp.graph.picture.draw import svg
    from fastbp.graph.picture.layout import placed
    from fastbp.graph.picture.scene import scene

    drawn = scene(root)
    return svg(drawn, placed(drawn))


def instead_of_picture(root: Node) -> str | None:
    """The graph as `print` writes it, in HTML; None where the extra draws it."""
    return f"<pre>{escape(str(root))}</pre>" if missing() else None


def checked_format(path: str | os.PathLike[str]) -> str:
    """The format that a file's suffix names. ValueError for another one."""
    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in FORMATS:
        raise ValueError(f"can't draw {os.fspath(path)}: expected a file name that ends in .svg, .png or .pdf")
    return suffix


def require() -> None:
    """ImportError that says what to install, where the extra is missing."""
    lacking = missing()
    if lacking:
        raise ImportError(f"drawing a graph needs {' and '.join(lacking)}: pip install 'fastbp[plot]'")


def missing() -> list[str]:
    """What the extra `plot` would bring and is not installed."""
    return [name.replace("_", "-") for name in NEEDED if find_spec(name) is None]
