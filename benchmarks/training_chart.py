"""The chart of a training report; it needs matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from peers import NAMES, peer_class
from training_rows import TrainingReport, TrainingResult

OURS, OTHERS = ("#1b6ca8", "#8fc1e3"), ("#6b6b6b", "#bdbdbd")  # with most threads, with one


def chart(report: TrainingReport, path: Path) -> None:
    """Samples a second by system, a panel for each network, a bar for each number of threads."""
    networks = list(dict.fromkeys(result.task.network for result in report.results))
    measured = {name for result in report.results for name in result.samples}
    names = [name for name in (peer_class(module).name for module in NAMES) if name in measured]
    figure = Figure(figsize=(4.6 * len(networks) + 1.2, 1.6 + 0.62 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for axes, network in zip(panels, networks, strict=True):
        results = [result for result in report.results if result.task.network == network]
        _panel(axes, sorted(results, key=lambda result: result.task.threads), names)
        axes.set_title(network, fontsize=10)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.45, -0.55)
    figure.supxlabel(
        "samples a second, whole training steps in float32; lines: 20 to 80 % of the rounds; "
        "dark: two threads, light: one",
        fontsize=9,
    )
    figure.savefig(path, dpi=130)


def _panel(axes: Any, results: list[TrainingResult], names: list[str]) -> None:
    height = 0.8 / len(results)
    for i, result in enumerate(results):
        for at, name in enumerate(names):
            y = at + (i - (len(results) - 1) / 2) * height
            if name in result.samples:
                _bar(axes, result, name, y, height)
            elif i == 0:
                axes.annotate("left out", (0, at), (4, 0), textcoords="offset points", va="center", color="0.5")
    axes.set_xlim(0, 1.3 * max(spread.high for result in results for spread in result.samples.values()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _bar(axes: Any, result: TrainingResult, name: str, y: float, height: float) -> None:
    samples = result.samples[name]
    dark, light = OURS if name.startswith("fastbp") else OTHERS
    axes.barh(y, samples.median, 0.9 * height, color=light if result.task.threads == 1 else dark)
    axes.plot((samples.low, samples.high), (y, y), color="0.15", linewidth=1)
    end = max(samples.high, samples.median)
    axes.annotate(
        _short(samples.median), (end, y), (4, 0), textcoords="offset points", va="center", fontsize=8, color="0.2"
    )


def _short(value: float) -> str:
    if value < 1000:
        return f"{value:.0f}"
    digits = max(0, 2 - int(np.log10(value / 1000))) if value < 1e6 else 0
    return f"{value / 1000:.{min(digits, 1)}f}k" if value < 1e6 else f"{value / 1e6:.2f}M"


def _tick(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1000:g}k" if value else "0"
