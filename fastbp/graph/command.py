"""`fastbp graph`: a figure of the book in the terminal, its chain rule in words, and as a picture."""

from pathlib import Path

from fastbp.graph import picture
from fastbp.graph.figures import FIGURES
from fastbp.system.files import check_writable


def show(name: str, opened: bool, file: Path | None) -> None:
    """Prints the graph and what its derivatives are made of; draws it where a file is named.

    ValueError for another name or suffix and without the extra `plot`, OSError where no file can be written.
    """
    if name not in FIGURES:
        what = f"unknown figure {name!r}" if name else "name a figure"
        raise ValueError(f"{what}: expected {', '.join(FIGURES)} (`fastbp graph --help` says what each shows)")
    if file:
        check_writable(file)
        picture.checked_format(file)
        if picture.missing():
            raise ValueError(f"--save needs {' and '.join(picture.missing())}: pip install 'fastbp[plot]'")
    figure = FIGURES[name]()
    output = figure.output.opened() if opened else figure.output
    output.backward(figure.dout)
    print(f"{figure.about}\n")
    print(output)
    for variable in figure.variables:
        print(f"\n{output.explain(variable)}")
    if file:
        output.save(file)
