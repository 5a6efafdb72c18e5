"""The chart of the products in a report; it needs matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np
from kernel_rows import BOOK, PRODUCTS
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from fastbp.bench.results import Report, Result

TITLES = dict(zip(PRODUCTS, ("out = x @ W + b", "dW = x.T @ dout", "dx = dout @ W.T"), strict=True))
# Of each contender, the last one on top.
STYLES: dict[str, dict[str, Any]] = {
    "np.dot": {"color": "#d95f02", "marker": "s", "facecolors": "none", "s": 22},
    "PyTorch": {"color": "#7570b3", "marker": "^", "facecolors": "none", "s": 24},
    "fastbp": {"color": "#1b6ca8", "marker": "o", "s": 20},
}


def roofline(report: Report, path: Path) -> None:
    """Rate against the work of a product, for all contenders, under the probed peak; float32, one thread."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    results = [r for r in report.results if r.row.section in ("products", "grid") and r.row.dtype == "float32"]
    peak = float(np.median([result.rates["peak"].median for result in results])) * 1e-9
    names = {"np.dot": f"NumPy, {report.facts['BLAS of numpy'].split()[0]}", "PyTorch": "PyTorch", "fastbp": "fastbp"}
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
