"""`fastbp bench`: a progress bar on a terminal while it measures, then the tables."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastbp.bench import process
from fastbp.bench.process import Report
from fastbp.bench.tables import text
from fastbp.system.files import atomic_write
from fastbp.system.interrupts import interrupts_raised


def bench(full: bool, seconds: float | None, only: str, file: Path | None) -> None:
    """Measures, prints the tables and, if asked to, writes the raw figures."""
    console = Console(highlight=False, soft_wrap=True)
    with interrupts_raised(), _progress(console) as progress:
        report = process.run(full, seconds, only, progress)
    if file:
        write_json(report, file)
    for line in text(report):
        print(line)


def write_json(report: Report, file: Path) -> None:
    """The report as JSON, a row a line."""
    data = report.as_dict()
    rows = ",\n".join(json.dumps(result, ensure_ascii=False) for result in data.pop("results"))
    head = json.dumps(data, ensure_ascii=False, indent=1).removesuffix("\n}")
    with atomic_write(file) as stream:
        stream.write(f'{head},\n "results": [\n{rows}\n]}}\n'.encode())


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
