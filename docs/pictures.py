"""Draws the pictures of chain_rule.md and of its translations anew: python docs/pictures.py [FOLDER]."""

import sys
from collections.abc import Callable
from pathlib import Path

from fastbp import graph
from fastbp.graph.figures import FIGURES

NAMES = {
    "": ("apple", "number of apples", "orange", "number of oranges", "tax"),
    ".ko": ("사과", "사과의 개수", "귤", "귤의 개수", "소비세"),
    ".ja": ("りんごの値段", "りんごの個数", "みかんの値段", "みかんの個数", "消費税"),
}


def apples(language: str) -> graph.Node:
    """Two apples and a tax, with names in a language; before backward there are only values."""
    apple, number, _, _, tax = NAMES[language]
    return graph.variable(100, apple) * graph.variable(2, number) * graph.variable(1.1, tax)


def oranges(language: str) -> graph.Node:
    """Apples, oranges and a tax, with names in a language."""
    variables = [
        graph.variable(value, name) for value, name in zip((100, 2, 150, 3, 1.1), NAMES[language], strict=True)
    ]
    apple, apples, orange, oranges, tax = variables
    return (apple * apples + orange * oranges) * tax


def twice() -> graph.Node:
    """A value that is used three times."""
    x = graph.variable(3, "x")
    return x * x + x


def of_the_book(name: str, opened: bool = False) -> graph.Node:
    """A figure of `fastbp graph`, with its derivatives."""
    figure = FIGURES[name]()
    output = figure.output.opened() if opened else figure.output
    output.backward(figure.dout)
    return output


def backwarded(node: graph.Node) -> graph.Node:
    node.backward()
    return node


PICTURES: dict[str, Callable[[], graph.Node]] = {
    **{f"forward{language}": lambda language=language: apples(language) for language in NAMES},
    **{f"apples{language}": lambda language=language: backwarded(apples(language)) for language in NAMES},
    **{f"oranges{language}": lambda language=language: backwarded(oranges(language)) for language in NAMES},
    "twice": lambda: backwarded(twice()),
    "square": lambda: of_the_book("square"),
    "add": lambda: of_the_book("add"),
    "multiply": lambda: of_the_book("multiply"),
    "relu": lambda: of_the_book("relu"),
    "sigmoid": lambda: of_the_book("sigmoid"),
    "sigmoid_opened": lambda: of_the_book("sigmoid", opened=True),
    "affine_opened": lambda: of_the_book("affine", opened=True),
    "softmax": lambda: of_the_book("softmax"),
    "softmax_opened": lambda: of_the_book("softmax", opened=True),
    "network": lambda: of_the_book("network"),
}


def main(folder: Path) -> None:
    """Writes all pictures into the folder; drawn again they have the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PICTURES.items():
        make().save(folder / f"{name}.svg")
    print(f"{len(PICTURES)} pictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
