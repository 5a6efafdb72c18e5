"""Measuring in a process of its own, where NumPy's BLAS has one thread: it must be told before NumPy is imported."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastbp.bench import Result, measure
from fastbp.bench.rows import Row, rows

# One BLAS thread, whichever BLAS it is. Not OMP_NUM_THREADS, which the kernels' own threads obey.
ONE_BLAS_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)

# Seconds for each row, by whether it is the full run.
SECONDS = {True: 0.35, False: 0.5}

Progress = Callable[[int, int, str], object]


@dataclass
class Report:
    """The machine and the versions by name, the rows measured, and those for which a contender is missing here."""

    facts: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"results": [result.as_dict() for result in self.results]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Report":
        return cls(data["facts"], [Result.from_dict(result) for result in data["results"]], data["left_out"])


def run(full: bool = False, seconds: float | None = None, only: str = "", progress: Progress | None = None) -> Report:
    """Measures the rows whose name `only`, a regular expression, matches; about so many seconds for each.

    `progress` is called with (rows done, rows in all, the next row). ValueError when nothing matches, when a contender
    computes something wrong, or when kernels aren't compiled.
    """
    _check(full, only)
    report = Report()
    options = json.dumps({"full": full, "seconds": SECONDS[full] if seconds is None else seconds, "only": only})
    with _child(options) as lines:
        for line in lines:
            _take(report, json.loads(line), progress)
    if "finished" not in report.facts:
        raise ValueError("the process that measures ended early")
    return report


def _check(full: bool, only: str) -> None:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise ValueError("NUMBA_DISABLE_JIT is set: nothing is compiled that could be measured")
    if not _selected(full, only):
        raise ValueError(f"no row matches {only!r}: they are called, for instance, {rows(full)[0]}")


def _selected(full: bool, only: str) -> list[Row]:
    try:
        return [row for row in rows(full) if re.search(only, f"{row.section}: {row}")]
    except re.error as error:
        raise ValueError(f"{only!r} is no regular expression: {error}") from None


def _take(report: Report, message: dict[str, Any], progress: Progress | None) -> None:
    if "error" in message:
        raise ValueError(message["error"])
    if "facts" in message:
        report.facts |= message["facts"]
    if "result" in message:
        report.results.append(Result.from_dict(message["result"]))
    if "left out" in message:
        report.left_out.append(message["left out"])
    if "next" in message and progress:
        progress(*message["next"])


@contextmanager
def _child(options: str) -> Iterator[Any]:
    """The lines that `main` prints, in a process that finds fastbp where this one does."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from fastbp.bench.process import main; main({options!r})"
    env = os.environ | ONE_BLAS_THREAD
    env.pop("FASTBP_NUM_THREADS", None)
    with subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield process.stdout
        finally:
            if process.poll() is None and sys.exc_info()[0]:
                process.kill()


def main(options: str) -> None:
    """The process that measures: prints a line of JSON for each thing it finds out."""
    from fastbp.system.interrupts import interrupts_end

    interrupts_end()
    try:
        _measure_all(**json.loads(options))
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    except (ValueError, MemoryError) as error:
        _tell(error=str(error) or "not enough memory")


def _measure_all(full: bool, seconds: float, only: str) -> None:
    from fastbp.bench.contenders import contenders
    from fastbp.system import threads

    threads.set_num_threads(1)
    chosen = _selected(full, only)
    start, compiling = time.perf_counter(), 0.0
    _tell(facts=_facts(full, seconds))
    for done, row in enumerate(chosen):
        _tell(next=(done, len(chosen), str(row)))
        found = contenders(row)
        missing = [name for name in row.contenders if name not in [contender.name for contender in found]]
        if missing:
            _tell(**{"left out": f"{row.section}: {row}: {', '.join(missing)}"})
        if row.contenders[0] in missing:
            continue
        try:
            result = measure(row, found, seconds)
        except ValueError as error:
            raise ValueError(f"{row}: {error}") from None
        compiling += result.first_call
        _tell(result=result.as_dict())
    _tell(next=(len(chosen), len(chosen), ""))
    took = f"{time.perf_counter() - start:.0f} s, {compiling:.0f} s of them the kernels' first calls"
    _tell(facts={"finished": f"{len(chosen)} rows in {took}; {_load()} at the end"})


def _tell(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def _facts(full: bool, seconds: float) -> dict[str, str]:
    """No paths: a report is for others."""
    from importlib.metadata import version

    import numpy as np

    from fastbp import __version__
    from fastbp.bench import pytorch
    from fastbp.command import info

    known = info.collect()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    kept = ("python", "numpy", "numba", "llvmlite", "system", "processor", "instruction set", "threading layer")
    return {
        "fastbp": __version__,
        **{name: known[name] for name in kept},
        "BLAS of numpy": f"{blas['name']} {blas['version']}",
        "pytorch": version("torch") if pytorch.installed() else "not installed, left out",
        "threads": "one for kernels, BLAS and PyTorch, but where it says two",
        "measured": f"{time.strftime('%Y-%m-%d')}, {'all' if full else 'quick'} rows, {seconds:g} s each, {_load()}",
    }


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
