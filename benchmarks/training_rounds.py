"""Measures a task: all systems take short turns, again and again, and what slows the machine down hits them all."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import NAMES, PROBE, initial_params, peer_class
from peers.layered import OPTIMIZERS, Network
from training_process import CHECKED, LeftOut, System
from training_rows import Task, TrainingReport, TrainingResult, draw_order

from fastbp import datasets, reference

TURN = 0.15  # seconds
PAUSE = 0.03  # before a turn: threads that wait for work have given up by then, and sleep
ROUNDS = (5, 200)  # at least, at most
RTOL = 1e-3

Progress = Callable[[str], object]
NOTHING: Mapping[str, str] = {}


def measure_task(
    task: Task,
    report: TrainingReport,
    seconds: float,
    names: tuple[str, ...] = NAMES,
    progress: Progress = lambda _: None,
    turn: float = TURN,
    environment: Mapping[str, str] = NOTHING,
) -> None:
    """Adds the task's result to the report. ValueError when a system's losses aren't the reference's.

    A system that doesn't keep to the instruction set that `environment` names is left out.
    """
    with TemporaryDirectory() as made, ExitStack() as stack:
        expected = write_data(task, Path(made))
        systems, errors = [], {}
        for module in names:
            progress(f"{task}: starting {module}")
            try:
                system = start(stack, module, task, Path(made), environment)
            except LeftOut as reason:
                leave_out(report, peer_class(module).name, task, reason)
                continue
            errors[system.name] = compare(system, expected)
            add_fact(report, "systems", system.version)
            systems.append(system)
        if not systems:
            return
        probe = start(stack, PROBE, task, Path(made), environment)
        everybody = [*systems, probe]
        steps = {}
        for system in everybody:
            progress(f"{task}: warming up {system.name}")
            steps[system.name] = steps_of_a_turn(system, turn)
        progress(f"{task}: measuring")
        taken, busy, after = take_turns(everybody, steps, seconds)
        obeyed = {system.name for system in everybody if keeps_to_its_column(system, report, task)}
    peak = [probe.ready["flops"] / s for s in taken[probe.name]]
    names_left = [system.name for system in systems if system.name in obeyed]
    taken, steps, errors, busy = ({name: each[name] for name in names_left} for each in (taken, steps, errors, busy))
    after = {name: peaks for name, peaks in after.items() if name in obeyed}
    if taken:
        report.results.append(TrainingResult.of(task, taken, peak, after, steps=steps, errors=errors, busy=busy))


def keeps_to_its_column(system: System, report: TrainingReport, task: Task) -> bool:
    try:
        if system.ask(last=True)["avx512"]:
            add_fact(report, "used AVX-512", system.name)
    except LeftOut as reason:
        leave_out(report, system.name, task, reason)
        return False
    return True


def add_fact(report: TrainingReport, name: str, value: str) -> None:
    known = report.facts.get(name, "").split(", ")
    report.facts[name] = ", ".join(dict.fromkeys(filter(None, [*known, value])))


def leave_out(report: TrainingReport, name: str, task: Task, reason: LeftOut) -> None:
    report.left_out.setdefault(f"{name}, {task.optimizer}, {task.data}", str(reason))


def start(stack: ExitStack, module: str, task: Task, folder: Path, environment: Mapping[str, str] = NOTHING) -> System:
    system = System(module, task, folder, environment)
    stack.callback(system.close)
    return system


def steps_of_a_turn(system: System, turn: float) -> int:
    """How many steps take so many seconds, or an epoch. As many were taken: what compiles for them has compiled."""
    steps = epoch = system.ready["epoch"] or CHECKED
    for share in (0.2, 1.0):
        taken = system.ask(steps=steps, seed=0)["seconds"]
        steps = epoch if system.ready["epoch"] else max(CHECKED, round(share * turn / taken))
        system.ask(steps=steps, seed=0)
    return steps


def take_turns(
    systems: list[System], steps: dict[str, int], seconds: float
) -> tuple[dict[str, list[float]], dict[str, float], dict[str, list[float]]]:
    """By system: seconds a step of each round, the median share of a core in use between turns, our peak after each."""
    taken: dict[str, list[float]] = {system.name: [] for system in systems}
    busy: dict[str, list[float]] = {system.name: [] for system in systems}
    after: dict[str, list[float]] = {}
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < ROUNDS[0] or (time.perf_counter() < end and rounds < ROUNDS[1]):
        rounds += 1
        for system in systems if rounds % 2 else systems[::-1]:
            time.sleep(PAUSE)
            answer = system.ask(steps=steps[system.name], seed=rounds)
            taken[system.name].append(answer["seconds"])
            busy[system.name].append(answer["busy"])
            if "peak" in answer:
                after.setdefault(system.name, []).append(answer["peak"])
    return taken, {name: round(float(np.median(shares)), 4) for name, shares in busy.items()}, after


# What goes in, and what must come out --------------------------------------------------------------------------------


def write_data(task: Task, folder: Path) -> NDArray[Any]:
    """The training set as files for the processes; the losses of the first steps by the reference in float64."""
    x, t = load(task.data)
    np.save(folder / "x.npy", x)
    np.save(folder / "t.npy", t)
    order = draw_order(len(x), task.batch, CHECKED, 0)
    return expected_losses(task, x, t, order)


def load(data: str) -> tuple[NDArray[Any], NDArray[Any]]:
    return (datasets.load_mnist() if data == "MNIST" else datasets.load_digits())[0]


def expected_losses(task: Task, x: NDArray[Any], t: NDArray[Any], order: NDArray[np.intp]) -> NDArray[Any]:
    params = {name: parameter.astype(np.float64) for name, parameter in initial_params(task.sizes).items()}
    network, optimizer = Network(params, reference), OPTIMIZERS[task.optimizer]()
    losses = []
    for batch in order:
        loss, gradient = network.loss_and_gradient(x[batch].astype(np.float64), t[batch])
        optimizer.update(network.params, gradient)
        losses.append(loss)
    return np.array(losses)


def compare(system: System, expected: NDArray[Any]) -> float:
    """The largest relative difference of a loss. ValueError when it is more than RTOL, or a loss is missing."""
    losses = np.array(system.ready["losses"])
    if losses.shape != expected.shape:
        raise ValueError(f"{system.name} returns {losses.shape} losses, expected {expected.shape}: not timed")
    worst = float(np.max(np.abs(losses - expected) / expected))
    if not worst <= RTOL:
        raise ValueError(f"{system.name}'s losses differ by {worst:.2g} from the reference's: not timed")
    return float(f"{worst:.2g}")


@contextmanager
def data_of(task: Task) -> Iterator[Path]:
    """A folder with the data of the task."""
    with TemporaryDirectory() as made:
        write_data(task, Path(made))
        yield Path(made)
