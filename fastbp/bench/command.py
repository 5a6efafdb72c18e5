"""`fastbp bench`: a progress bar on a terminal while it measures, then tables and a chart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastbp.bench import process
from fastbp.bench.results import as_json
from fastbp.bench.tables import label, shown
from fastbp.system.files import atomic_write
from fastbp.system.interrupts import interrupts_raised

SUITE = "fastbp.bench.suite"
SECONDS = {False: 1.5, True: 0.3}  # for each row, by whether the run is quick
FIRST = "Kernels that were never used compile first: a minute more, once."


def bench(quick: bool, threads: int, only: str, save: Path | None, file: Path | None) -> None:
    """Measures and prints; draws into `save` and writes the raw figures into `file`, where they are given."""
    console = Console(highlight=False, soft_wrap=True)
    count = len(process.selected(SUITE, quick, only))
    console.print(f"{count} rows, about {max(5, round(1.6 * count * SECONDS[quick])):.0f} s. {FIRST}")
    with interrupts_raised(), _progress(console) as progress:
        report = process.run(SUITE, SECONDS[quick], quick=quick, only=only, threads=threads, progress=progress)
    report.facts["threads"] = "one thread each" if threads == 1 else f"{threads} threads each"
    for part in shown(report):
        console.print(part)
    if save:
        from fastbp.bench.chart import speedups

        note = f"{report.facts['processor']}, {report.facts['threads']}"
        speedups(report.results, label, note, save)
        console.print(f"chart written to {save}")
    if file:
        with atomic_write(file) as stream:
            stream.write(as_json(report).encode())


@contextmanager
def _progress(console: Console) -> Iterator[process.Progress | None]:
    if not console.file.isatty():
        yield None
        return
    columns = (
        TextColumn("row"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)
