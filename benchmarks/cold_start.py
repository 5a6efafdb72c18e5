"""What a first use costs: python benchmarks/cold_start.py measures each instruction set and writes cold_start.json.

Whole processes, from their start to their end, on all cores: first steps with an empty cache, everything compiled
ahead, first steps with the kernels on disk; and whether a kernel that was just compiled is as fast as a loaded one.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import columns
import instruction_sets
import numpy as np
import psutil
from instruction_sets import CACHE
from kernel_rows import BOOK, PRODUCTS

from fastbp.bench.process import load, machine_facts
from fastbp.bench.results import Row, measure
from fastbp.bench.timing import Spread

RUNS, TURNS = 3, 7
SAMPLED = 0.1  # seconds between two looks at the memory; a look takes some 2 ms
PACED = 0.3  # seconds for each product

NETWORK = """
import numpy as np, fastbp
rng = np.random.default_rng(0)
x, t = rng.random((100, 784), np.float32), rng.integers(0, 10, 100)
network, optimizer = fastbp.TwoLayerNet(784, 50, 10, dtype=np.float32), fastbp.SGD(lr=0.1)
"""
COMPILED = f"{NETWORK}fastbp.compile(network, optimizer)(x, t)"
LAYERS = f"{NETWORK}optimizer.update(network.params, network.gradient(x, t))"
IMAGES = """
import numpy as np, fastbp
rng = np.random.default_rng(0)
x, t = rng.random((100, 1, 28, 28), np.float32), rng.integers(0, 10, 100)
fastbp.compile(fastbp.SimpleConvNet(dtype=np.float32), fastbp.Adam())(x, t)
"""
IMPORTS = "import numpy, numba"
PACE = "from cold_start import pace; pace()"

# Of what is measured: its name, in RESULTS.md and in the requirements.
FIRST_COMPILED = "first step by fastbp.compile, nothing compiled"
FIRST_LAYERS = "first step by the layers, nothing compiled"
FIRST_IMAGES = "first step of SimpleConvNet by fastbp.compile, nothing compiled"
MEMORY = "memory of all processes at most"
WARMUP = "fastbp warmup, nothing compiled"
WARM, BEYOND = "import and first step, kernels on disk", "of it beyond the import of Numba"
FRESH = "fresh over loaded"

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Cost:
    """What one thing costs: `unit` is "s", "MB", or nothing where it is a ratio."""

    name: str
    unit: str
    value: Spread


@dataclass
class ColdStart:
    """Facts by name, and what each thing costs."""

    facts: dict[str, str] = field(default_factory=dict)
    results: list[Cost] = field(default_factory=list)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ColdStart":
        return cls(data["facts"], [Cost(**(cost | {"value": Spread(**cost["value"])})) for cost in data["results"]])

    def add(self, name: str, unit: str, values: list[float]) -> None:
        self.results.append(Cost(name, unit, Spread.of(values)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    instruction_sets.columns_option(parser)
    parts = {"type": lambda value: value.split(","), "default": list(PARTS)}
    parser.add_argument("--parts", **parts, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each command; with 1, one turn instead of {TURNS}")
    parser.add_argument("--json", type=Path, default=columns.COLD_START, help="instead of cold_start.json")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    reports = {}
    for each in instruction_sets.offered(options.isa):
        report = ColdStart(machine_facts())
        for part in options.parts:
            print(f"{each.name}: {part}", file=sys.stderr, flush=True)
            PARTS[part](report, each.environment, options.runs)
        report.facts["finished"] = f"{load()} at the end"
        reports[each.name] = report
    columns.write(options.json, reports)
    for name, report in reports.items():
        for cost in report.results:
            print(f"{name}: {cost.name}: {cost.value.median:.3g} {cost.unit}")


# The parts -----------------------------------------------------------------------------------------------------------


def first_steps(report: ColdStart, environment: Environment, runs: int) -> None:
    """Seconds, and the memory of all processes together."""
    for name, code in ((FIRST_COMPILED, COMPILED), (FIRST_LAYERS, LAYERS), (FIRST_IMAGES, IMAGES)):
        measured = [with_empty_cache(("-c", code), environment) for _ in range(runs)]
        seconds, memory = map(list, zip(*measured, strict=True))
        report.add(name, "s", seconds)
        report.add(f"{name}: {MEMORY}", "MB", memory)


def warmup(report: ColdStart, environment: Environment, runs: int) -> None:
    measured = [with_empty_cache(("-m", "fastbp", "warmup"), environment) for _ in range(runs)]
    report.add(WARMUP, "s", [seconds for seconds, _ in measured])


def warm(report: ColdStart, environment: Environment, runs: int) -> None:
    """A first step and the import of Numba take turns."""
    with TemporaryDirectory() as cache:
        env = environment | {CACHE: cache}
        for code in (COMPILED, IMPORTS):
            watched(("-c", code), env)
        seconds = [[timed(("-c", code), env) for code in (COMPILED, IMPORTS)] for _ in range(turns(runs))]
    report.add(WARM, "s", [first for first, _ in seconds])
    report.add(BEYOND, "s", [first - imports for first, imports in seconds])


def fresh_and_loaded(report: ColdStart, environment: Environment, runs: int) -> None:
    """The products' shares of the peak in processes that compile them and in processes that load them, by turns."""
    shares: dict[str, list[list[float]]] = {"fresh": [], "loaded": []}
    with TemporaryDirectory() as kept:
        rates(environment | {CACHE: kept})
        for _ in range(turns(runs)):
            with TemporaryDirectory() as empty:
                shares["fresh"].append(rates(environment | {CACHE: empty}))
            shares["loaded"].append(rates(environment | {CACHE: kept}))
    fresh, loaded = (np.array(shares[name]) for name in ("fresh", "loaded"))
    medians = np.median(fresh, axis=0) / np.median(loaded, axis=0)
    for i, product in enumerate(PRODUCTS):
        low, high = np.percentile(fresh[:, i] / loaded[:, i], (20, 80))
        spread = Spread(*(round(float(value), 4) for value in (medians[i], low, high)))
        report.results.append(Cost(f"{FRESH}: {product}", "", spread))


def turns(runs: int) -> int:
    """How many turns processes take; one where one run of everything is asked for."""
    return TURNS if runs > 1 else 1


PARTS: dict[str, Callable[[ColdStart, Environment, int], None]] = {
    "first": first_steps,
    "warmup": warmup,
    "warm": warm,
    "fresh": fresh_and_loaded,
}


# Processes -----------------------------------------------------------------------------------------------------------


def with_empty_cache(arguments: tuple[str, ...], environment: Environment) -> tuple[float, float]:
    with TemporaryDirectory() as empty:
        return watched(arguments, environment | {CACHE: empty})


def watched(arguments: tuple[str, ...], environment: Environment) -> tuple[float, float]:
    """Seconds of a Python process, and MB of memory that it and its children held at most, what they share once."""
    start, most = time.perf_counter(), 0.0
    with _python(arguments, environment) as process:
        while True:
            try:
                process.wait(SAMPLED)
                break
            except psutil.TimeoutExpired:
                most = max(most, _memory(process))
    seconds = time.perf_counter() - start
    if process.returncode:
        raise ValueError(f"python {' '.join(arguments)} ended with status {process.returncode}")
    return seconds, most / 1e6


def _memory(process: psutil.Popen) -> float:
    """Proportional set sizes: what n processes share counts 1/n in each."""
    total = 0.0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return total
    for member in family:
        try:
            total += member.memory_full_info().pss
        except psutil.Error:  # it has ended
            continue
    return total


def timed(arguments: tuple[str, ...], environment: Environment) -> float:
    start = time.perf_counter()
    with _python(arguments, environment) as process:
        process.wait()
    if process.returncode:
        raise ValueError(f"python {' '.join(arguments)} ended with status {process.returncode}")
    return time.perf_counter() - start


def rates(environment: Environment) -> list[float]:
    with _python(("-c", PACE), environment, stdout=subprocess.PIPE) as process:
        answer: list[float] = json.loads(process.stdout.read() or "[]")
    if not answer:
        raise ValueError("the process that measures products ended early")
    return answer


def _python(arguments: tuple[str, ...], environment: Environment, stdout: int = subprocess.DEVNULL) -> psutil.Popen:
    """A process that finds modules where this one does."""
    path = os.pathsep.join(filter(None, sys.path))
    env = os.environ | {"PYTHONPATH": path} | dict(environment)
    return psutil.Popen([sys.executable, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=stdout)


def pace() -> None:
    """In such a process: prints each product's share of the peak at the book's shape."""
    import kernel_suite

    from fastbp import set_num_threads

    set_num_threads(1)
    shares = []
    for product in PRODUCTS:
        row = Row("products", product, BOOK, "float32", ("fastbp", "peak"))
        found = [contender for contender in kernel_suite.contenders(row) if contender.name in row.contenders]
        shares.append(measure(row, found, PACED).ratios["peak"].median)
    instruction_sets.checked()
    print(json.dumps(shares))


if __name__ == "__main__":
    columns.run(main)
