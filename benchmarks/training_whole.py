"""What a user waits for: a whole training command, and the first step of a network that wasn't there before."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from peers import NAMES, peer_class
from training_process import POOLS, LeftOut
from training_rounds import data_of, leave_out, start
from training_rows import Task, TrainingReport

from fastbp.bench.timing import Spread

EPOCHS, BATCH = 17, 100
RUNS = 3

# Small data, so that no time goes into moving them; the second network is deeper and has other widths.
FIRST = Task((64, 50, 10), 100, "SGD", "digits")
SECOND = Task((64, 100, 50, 10), 100, "SGD", "digits")

Progress = Callable[[str], object]


def measure_commands(
    report: TrainingReport, threads: int, runs: int = RUNS, epochs: int = EPOCHS, progress: Progress = lambda _: None
) -> None:
    """`fastbp train` on MNIST and the same training on the reference layers, by turns; kernels are in the cache.

    Each epoch ends with the accuracy of all 70,000 samples. ValueError when a command fails.
    """
    fastbp = ("-m", "fastbp", "train", "--data", "mnist", "--quiet", "--threads", str(threads), "--epochs")
    numpy = (str(Path(__file__).with_name("reference_training.py")),)
    commands = {"fastbp train": fastbp, "NumPy layers": numpy}
    timed_command(*fastbp, "1", threads=threads)  # compiles
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for run in range(runs):
        for name, arguments in commands.items():
            progress(f"{name}, {epochs} epochs: run {run + 1} of {runs}")
            seconds[name].append(timed_command(*arguments, str(epochs), threads=threads))
    for name, pairs in seconds.items():
        whole, training = zip(*pairs, strict=True)
        key = f"{name}, {epochs} epochs, {threads} thread{'s' * (threads > 1)}"
        report.commands[key] = {"whole command": Spread.of(whole), "training": Spread.of(training)}


def timed_command(*arguments: str, threads: int) -> tuple[float, float]:
    """Seconds of the whole command, and those that it says the training took."""
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **dict.fromkeys(POOLS, str(threads))}
    start_time = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=os.environ | ours, capture_output=True, encoding="utf-8", check=False
    )
    whole = time.perf_counter() - start_time
    found = re.search(r"(\d+) steps · [\d.]+ s · ([\d,]+) samples/s", done.stdout)
    if done.returncode or not found:
        raise ValueError(f"{' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    return whole, int(found[1]) * BATCH / int(found[2].replace(",", ""))  # the seconds have one digit after the point


def measure_first_steps(
    report: TrainingReport,
    threads: int = 1,
    names: tuple[str, ...] = NAMES,
    runs: int = RUNS,
    progress: Progress = lambda _: None,
) -> None:
    """Seconds from nothing to the loss of a first step, of a first network and of a second one in the same process.

    A compiler's own cache on disk is empty at the start: the networks are new to it. fastbp's has its kernels, which
    are the same for every network.
    """
    first, second = (Task(**(asdict(task) | {"threads": threads})) for task in (FIRST, SECOND))
    with data_of(first) as data:
        for module in names:
            pairs = []
            for run in range(runs + 1):  # the first one fills fastbp's cache, and the system's cache of files
                progress(f"first steps of {module}: run {run} of {runs}")
                try:
                    pairs.append(_first_steps(module, first, second, data))
                except LeftOut as reason:
                    leave_out(report, peer_class(module).name, first, reason)
                    break
            else:
                firsts, seconds = zip(*pairs[1:], strict=True)
                report.first_steps[peer_class(module).name] = {
                    "first": Spread.of(firsts),
                    "second": Spread.of(seconds),
                }


def _first_steps(module: str, first: Task, second: Task, data: Path) -> tuple[float, float]:
    with TemporaryDirectory() as made, ExitStack() as stack:
        for name in ("x.npy", "t.npy"):
            os.link(data / name, Path(made) / name)
        system = start(stack, module, first, Path(made))
        return system.ready["seconds"], system.ask(task=asdict(second))["seconds"]
