"""Training against other systems: python benchmarks/training.py measures each instruction set and writes training.json.

MNIST comes from where FASTBP_DATA points, else as `fastbp train` finds it. A system that isn't installed is left out,
and the output says so: pip install '.[peers]'.
"""

import argparse
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import columns
import instruction_sets
import training_rounds
import training_tables
import training_whole
from instruction_sets import InstructionSet
from peers import NAMES
from training_rows import TASKS, Task, TrainingReport

from fastbp.bench.process import load, machine_facts

PARTS = ("steps", "commands", "first")


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    sets = instruction_sets.offered(options.isa)
    reports = {each.name: measure(each, options) for each in sets}
    _show("")
    columns.write(options.json, reports)
    print("\n".join(training_tables.section(reports)))


def measure(instructions: InstructionSet, options: argparse.Namespace) -> TrainingReport:
    """The column of one instruction set. Whole commands and first steps in that of the machine's own alone."""
    own = not instructions.environment
    report = TrainingReport(machine_facts())
    if not own:
        report.facts["instruction set"] = f"{instructions.name}, told to each library"

    def show(state: str) -> None:
        _show(f"{instructions.name}: {state}")

    if "steps" in options.parts:
        for task in tasks(options.threads, options.only):
            training_rounds.measure_task(
                task, report, options.seconds, options.peers, show, environment=instructions.environment
            )
    if "commands" in options.parts and own:
        training_whole.measure_commands(report, 1, progress=show)
    if "first" in options.parts and own:
        training_whole.measure_first_steps(report, names=options.peers, progress=show)
    report.facts["finished"] = f"{load()} at the end"
    return report


def parse(arguments: list[str] | None) -> argparse.Namespace:
    def listed(value: str) -> tuple[str, ...]:
        return tuple(value.split(","))

    def counts(value: str) -> tuple[int, ...]:
        numbers = tuple(map(int, value.split(",")))
        if min(numbers) < 1 or max(numbers) > cores():
            raise argparse.ArgumentTypeError(f"expected numbers from 1 to {cores()}, the cores here, got {value}")
        return numbers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    instruction_sets.columns_option(parser)
    parser.add_argument("--seconds", type=float, default=12.0, help="time for each network and number of threads")
    parser.add_argument("--threads", type=counts, default=tuple(range(1, min(2, cores()) + 1)), help="as in 1,2")
    parser.add_argument("--only", default="", metavar="REGEX", help="networks whose name matches, as in '784-50-10'")
    parser.add_argument("--peers", type=listed, default=NAMES, help=f"some of {','.join(NAMES)}")
    parser.add_argument("--parts", type=listed, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", default=columns.TRAINING, help="instead of training.json")
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


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _show(state: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{state}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    columns.run(main)
