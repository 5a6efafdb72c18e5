"""Measuring in a process of its own, where NumPy's BLAS has the threads asked for: told before NumPy is imported.

What is measured stands in a suite, a module with `rows(quick)`, all its rows or the quick ones; `contenders(row)`,
those that can run here; `facts()`, by name, before the first row; and `finish()`, after the last one: more facts, or a
ValueError where the whole run was worth nothing.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

from fastbp.bench.results import Report, Result, Row, measure

# Whichever BLAS it is. Not OMP_NUM_THREADS, which the kernels' own threads obey.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Progress = Callable[[int, int, str], object]


def run(
    suite: str,
    seconds: float,
    *,
    quick: bool = False,
    only: str = "",
    threads: int = 1,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> Report:
    """Measures the rows of a suite whose name `only`, a regular expression, matches; about so many seconds for each.

    `progress` is called with (rows done, rows in all, the next row). The process has `environment` besides this one's.
    ValueError when nothing matches, when a contender computes something wrong, or when kernels aren't compiled.
    """
    selected(suite, quick, only)
    report = Report()
    options = json.dumps({"suite": suite, "seconds": seconds, "quick": quick, "only": only, "threads": threads})
    with _child(options, dict.fromkeys(BLAS_THREADS, str(threads)) | dict(environment or {})) as lines:
        for line in lines:
            _take(report, json.loads(line), progress)
    if "finished" not in report.facts:
        raise ValueError("the process that measures ended early")
    return report


def selected(suite: str, quick: bool, only: str) -> list[Row]:
    """The rows whose name matches. ValueError when there are none, or when kernels aren't compiled."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise ValueError("NUMBA_DISABLE_JIT is set: nothing is compiled that could be measured")
    rows: list[Row] = import_module(suite).rows(quick)
    try:
        found = [row for row in rows if any(re.search(only, name) for name in _names(row))]
    except re.error as error:
        raise ValueError(f"{only!r} is no regular expression: {error}") from None
    if not found:
        raise ValueError(f"no row matches {only!r}: they are called, for instance, {rows[0]}")
    return found


def _names(row: Row) -> tuple[str, str]:
    """Its full name, and how the tables of `fastbp bench` have it."""
    return f"{row.section}: {row}", f"{row.label} {row.dtype}"


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
def _child(options: str, environment: dict[str, str]) -> Iterator[Any]:
    """The lines that `main` prints, in a process that finds modules where this one does."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from fastbp.bench.process import main; main({options!r})"
    env = os.environ | environment
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


def _measure_all(suite: str, seconds: float, quick: bool, only: str, threads: int) -> None:
    from fastbp import set_num_threads

    set_num_threads(threads)
    module, chosen = import_module(suite), selected(suite, quick, only)
    start, compiling = time.perf_counter(), 0.0
    _tell(facts=module.facts())
    for done, row in enumerate(chosen):
        _tell(next=(done, len(chosen), str(row)))
        by_name = {contender.name: contender for contender in module.contenders(row)}
        found = [by_name[name] for name in row.contenders if name in by_name]
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
        _tell(result=asdict(result))
    _tell(facts=module.finish())
    _tell(next=(len(chosen), len(chosen), ""))
    took = f"{time.perf_counter() - start:.0f} s, {compiling:.0f} s of them first calls, when kernels compile or load"
    _tell(facts={"finished": f"{len(chosen)} rows in {took}; {load()} at the end"})


def _tell(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def machine_facts() -> dict[str, str]:
    """Versions, processor, instruction set and BLAS, by name. No paths: a report is for others."""
    from importlib.metadata import version

    import numpy as np

    from fastbp import __version__
    from fastbp.bench import pytorch
    from fastbp.system import info

    known = info.collect()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    kept = ("python", "numpy", "numba", "llvmlite", "system", "processor", "instruction set", "threading layer")
    return {
        "fastbp": __version__,
        **{name: known[name] for name in kept},
        "BLAS of numpy": f"{blas['name']} {blas['version']}",
        "pytorch": version("torch") if pytorch.installed() else "not installed, left out",
        "measured": f"{time.strftime('%Y-%m-%d')}, {load()}",
    }


def load() -> str:
    """What else the machine does, as its system says it."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
