"""Training against other systems: python benchmarks/training.py measures and prints the tables.

MNIST comes from where FASTBP_DATA points, else as `fastbp train` finds it. A system that isn't installed is left out,
and the output says so: pip install 'fastbp[peers]'.
"""

import argparse
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import training_rounds
import training_tables
import training_whole
from peers import NAMES
from training_rows import TASKS, Task, TrainingReport

from fastbp import __version__
from fastbp.command import info

PARTS = ("steps", "commands", "first")


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    report = TrainingReport(facts())
    if "steps" in options.parts:
        for task in tasks(options.threads, options.only):
            training_rounds.measure_task(task, report, options.seconds, options.peers, _show)
    if "commands" in options.parts:
        for threads in options.threads:
            training_whole.measure_commands(report, threads, progress=_show)
    if "first" in options.parts:
        training_whole.measure_first_steps(report, names=options.peers, progress=_show)
    _show("")
    report.facts["finished"] = f"{_load()} at the end"
    if options.json:
        training_rounds.write_json(report, options.json)
    if options.chart:
        from training_chart import chart

        chart(report, options.chart)
    for line in training_tables.text(report):
        print(line)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    def listed(value: str) -> tuple[str, ...]:
        return tuple(value.split(","))

    def counts(value: str) -> tuple[int, ...]:
        numbers = tuple(map(int, value.split(",")))
        if min(numbers) < 1 or max(numbers) > cores():
            raise argparse.ArgumentTypeError(f"expected numbers from 1 to {cores()}, the cores here, got {value}")
        return numbers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="time for each network and number of threads")
    parser.add_argument("--threads", type=counts, default=tuple(range(1, min(2, cores()) + 1)), help="as in 1,2")
    parser.add_argument("--only", default="", metavar="REGEX", help="networks whose name matches, as in '784-50-10'")
    parser.add_argument("--peers", type=listed, default=NAMES, help=f"some of {','.join(NAMES)}")
    parser.add_argument("--parts", type=listed, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures")
    parser.add_argument("--chart", type=Path, metavar="FILE.png", help="draw samples a second")
    options = parser.parse_args(arguments)
    for given, known in ((options.peers, NAMES), (options.parts, PARTS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; expected some of {', '.join(known)}")
    if "steps" in options.parts and not tasks(options.threads, options.only):
        parser.error(f"no network matches {options.only!r}; one of them is called {TASKS[0]}")
    return options


def tasks(threads: tuple[int, ...], only: str) -> list[Task]:
    every = [replace(task, threads=n) for task in TASKS for n in threads]
    return [task for task in every if re.search(only, str(task))]


def facts() -> dict[str, str]:
    """No paths: a report is for others."""
    known = info.collect()
    kept = ("python", "numpy", "numba", "llvmlite", "system", "processor", "instruction set", "threading layer")
    return {
        "fastbp": __version__,
        **{name: known[name] for name in kept},
        "measured": f"{time.strftime('%Y-%m-%d')}, {_load()}",
    }


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"


def _show(state: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{state}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
