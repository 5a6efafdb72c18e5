"""How many times as fast as NumPy, as a picture; needs the extra `plot`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fastbp.bench.results import Result
from fastbp.system.files import atomic_write

COLOURS = {"float32": "#1b6ca8", "float64": "#8fc1e3"}


def speedups(results: Sequence[Result], label: Callable[[Result], str], note: str, path: Path) -> None:
    """A bar for each result, dtype by dtype, and a diamond where PyTorch stands; whole or not at all."""
    names = list(dict.fromkeys(map(label, results)))
    dtypes = list(dict.fromkeys(result.row.dtype for result in results))
    height = 0.8 / len(dtypes)
    figure = Figure(figsize=(9, 0.55 * len(names) + 1.6), layout="constrained")
    axes = figure.subplots()
    for result in results:
        beside = dtypes.index(result.row.dtype) - (len(dtypes) - 1) / 2
        _bar(axes, result, names.index(label(result)) + beside * height, height)
    axes.axvline(1, color="0.25", linewidth=1.2)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    most = max(_end(result) for result in results)
    axes.set(xlim=(0, most * 1.1), xlabel=f"times as fast as NumPy (line: 1)\n{note}")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = sorted(handles, key=lambda name: ("fastbp" not in name, name))
    figure.legend([handles[name] for name in order], order, loc="outside upper center", ncols=4, frameon=False)
    with atomic_write(path) as stream:
        figure.savefig(stream, dpi=130, format=path.suffix[1:])


def _bar(axes: Any, result: Result, at: float, height: float) -> None:
    ratio, dtype = result.ratios["NumPy"], result.row.dtype
    axes.barh(at, ratio.median, 0.9 * height, color=COLOURS[dtype], label=f"fastbp, {dtype}")
    axes.plot((ratio.low, ratio.high), (at, at), color="0.2", linewidth=1, label="20 to 80 % of the rounds")
    place = (_end(result), at)
    axes.annotate(f"{ratio.median:.3g}", place, (5, 0), textcoords="offset points", va="center", fontsize=9)
    if torch := _torch(result):
        axes.plot(torch, at, "D", color="#7570b3", markersize=5, markeredgecolor="white", label="PyTorch")


def _end(result: Result) -> float:
    return max(result.ratios["NumPy"].median, result.ratios["NumPy"].high, _torch(result))


def _torch(result: Result) -> float:
    """PyTorch's speed-up; 0 without PyTorch."""
    seconds = result.seconds
    return seconds["NumPy"].median / seconds["PyTorch"].median if "PyTorch" in seconds else 0.0
