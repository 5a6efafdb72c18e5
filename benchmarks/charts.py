"""The two charts of a report; they need matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from fastbp.bench import Result
from fastbp.bench.process import Report
from fastbp.bench.rows import BOOK, PRODUCTS
from fastbp.bench.tables import shape

TITLES = dict(zip(PRODUCTS, ("out = x @ W + b", "dW = x.T @ dout", "dx = dout @ W.T"), strict=True))
# Of each contender, the last one on top.
STYLES: dict[str, dict[str, Any]] = {
    "np.dot": {"color": "#d95f02", "marker": "s", "facecolors": "none", "s": 22},
    "torch": {"color": "#7570b3", "marker": "^", "facecolors": "none", "s": 24},
    "fastbp": {"color": "#1b6ca8", "marker": "o", "s": 20},
}
COLOURS = {"float32": "#1b6ca8", "float64": "#8fc1e3"}


def roofline(report: Report, path: Path) -> None:
    """Rate against the work of a product, for all contenders, under the probed peak; float32, one thread."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    results = [r for r in report.results if r.row.section in ("products", "grid") and r.row.dtype == "float32"]
    peak = float(np.median([result.rates["peak"].median for result in results])) * 1e-9
    names = {"np.dot": f"NumPy, {report.facts['BLAS of numpy'].split()[0]}", "torch": "PyTorch", "fastbp": "fastbp"}
    for axes, (operation, title) in zip(panels, TITLES.items(), strict=True):
        chosen = [result for result in results if result.row.operation == operation]
        _rates(axes, chosen, peak, names)
        axes.set_title(title, fontsize=11, family="monospace")
        axes.set_xlabel("work: 2 × batch × inputs × outputs")
    panels[0].set_ylabel("GFLOP/s")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=130)


def _rates(axes: Any, results: list[Result], peak: float, names: dict[str, str]) -> None:
    axes.axhline(peak, color="0.25", linewidth=1.2, label=f"multiply-add peak, {peak:.0f} GFLOP/s")
    for name, style in STYLES.items():
        points = [(_work(r), r.rates[name].median * 1e-9) for r in results if name in r.rates]
        if points:
            axes.scatter(*zip(*points, strict=True), label=names[name], linewidths=1.1, **style)
    book = 2 * np.prod(BOOK)
    axes.axvline(book, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    axes.text(book, peak * 1.03, "×".join(map(str, BOOK)), fontsize=8, color="0.4", ha="center", va="bottom")
    axes.set(xscale="log", ylim=(0, peak * 1.1))
    axes.set_xticks([1, 1e3, 1e6, 1e9])
    axes.xaxis.set_major_formatter(FuncFormatter(_flop))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25)


def _work(result: Result) -> float:
    return float(2 * np.prod(result.row.shape))


def _flop(value: float, _: Any) -> str:
    for factor, unit in ((1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP")):
        if value >= factor:
            return f"{value / factor:g} {unit}"
    return f"{value:g} FLOP"


def speedup(report: Report, path: Path) -> None:
    """Forward and backward of each layer: how many times as fast as the same layer in NumPy."""
    results = [r for r in report.results if r.row.section in ("layers", "loss kernels")]
    names = list(dict.fromkeys(_name(result) for result in results))
    figure = Figure(figsize=(9, 0.62 * len(names) + 1.3), layout="constrained")
    axes = figure.subplots()
    for result in results:
        below = result.row.dtype == "float64"
        _bar(axes, result, names.index(_name(result)) + (0.2 if below else -0.2))
    axes.axvline(1, color="0.25", linewidth=1.2)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    most = max(max(r.ratios["oracle"].high, _torch(r)) for r in results)
    axes.set(xlim=(0, most * 1.1), xlabel="times as fast as NumPy (line: 1), forward and backward, one thread")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = sorted(handles, key=lambda label: ("fastbp" not in label, label))
    axes.legend([handles[label] for label in order], order, loc="lower right")
    figure.savefig(path, dpi=130)


def _bar(axes: Any, result: Result, at: float) -> None:
    ratio = result.ratios["oracle"]
    end = max(ratio.high, ratio.median, _torch(result))
    axes.barh(at, ratio.median, 0.36, color=COLOURS[result.row.dtype], label=f"fastbp, {result.row.dtype}")
    axes.plot((ratio.low, ratio.high), (at, at), color="0.2", linewidth=1, label="20 to 80 % of the rounds")
    axes.annotate(f"{ratio.median:.3g}", (end, at), (5, 0), textcoords="offset points", va="center", fontsize=9)
    if "torch" in result.seconds:
        axes.plot(_torch(result), at, "D", color="#7570b3", markersize=5, markeredgecolor="white", label="PyTorch")


def _torch(result: Result) -> float:
    """PyTorch's speed-up; 0 without PyTorch."""
    return result.seconds["oracle"].median / result.seconds["torch"].median if "torch" in result.seconds else 0.0


def _name(result: Result) -> str:
    kernels = " (kernels)" if result.row.section == "loss kernels" else ""
    operation = "SoftmaxWithLoss" if kernels else result.row.operation
    return f"{operation}{kernels}\n{shape(result)}"
