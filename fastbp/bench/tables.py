"""What `fastbp bench` prints: two tables, and a bar for how many times as fast as NumPy each row is."""

from collections.abc import Iterator

from rich import box
from rich.bar import Bar
from rich.console import RenderableType
from rich.table import Table

from fastbp.bench.results import Report, Result
from fastbp.bench.training import BATCH, ZEROS_SKIPPED

TITLES = {
    "layers": f"Layers: a forward and a backward pass of {BATCH} samples",
    "training": f"Training the book's network 784-50-10, {BATCH} images a step: images a second",
}
ZEROS = "Four of five pixels of the images are 0, as in MNIST; fastbp train skips them without being asked."
BARS = 40  # characters of the longest bar


def shown(report: Report) -> Iterator[RenderableType]:
    """What to print, in order: the machine, the tables, the chart, and what isn't there."""
    facts = report.facts
    yield f"{facts['processor']}, {facts['instruction set']}; {facts['threads']}; NumPy {facts['numpy']}"
    for section, title in TITLES.items():
        if results := [result for result in report.results if result.row.section == section]:
            yield ""
            yield title
            yield _table(results)
    if any(result.row.operation == ZEROS_SKIPPED for result in report.results):
        yield ZEROS
    yield ""
    yield "How many times as fast as NumPy"
    yield _bars(report.results)
    if report.left_out:
        yield "PyTorch is not installed: pip install torch to compare with it as well."


def label(result: Result) -> str:
    """A layer and its widths, or how the network is trained."""
    return result.row.label


def _table(results: list[Result]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("dtype")
    systems = [name for name in results[0].row.contenders if any(name in result.seconds for result in results)]
    for name in systems[:2]:
        table.add_column(name, justify="right")
    table.add_column("times faster", justify="right", style="bold")
    for name in systems[2:]:
        table.add_column(name, justify="right")
    for result in results:
        speeds = [_speed(result, name) for name in systems]
        table.add_row(label(result), result.row.dtype, *speeds[:2], faster(result), *speeds[2:])
    return table


def _speed(result: Result, name: str) -> str:
    """The time of both passes of a layer, the images a second of a training; nothing where the system is missing."""
    if name not in result.seconds:
        return ""
    if result.row.section == "training":
        return f"{float(f'{result.rates[name].median:.3g}'):,.0f}"
    seconds = result.seconds[name].median
    unit, factor = ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{_three(seconds * factor)} {unit}"


def faster(result: Result) -> str:
    return f"{_three(result.ratios['NumPy'].median)} ×"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _bars(results: list[Result]) -> Table:
    most = max(1.0, *(result.ratios["NumPy"].median for result in results))
    chart = Table.grid(padding=(0, 1))
    for result in results:
        ratio = result.ratios["NumPy"].median
        chart.add_row(label(result), result.row.dtype, faster(result), Bar(most, 0, ratio, width=BARS))
    return chart
