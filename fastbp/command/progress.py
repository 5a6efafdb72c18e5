"""Training and compiling on a terminal: a progress bar while it works; a line an epoch, or a kernel."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastbp.command.warmup import Helper, steps, take
from fastbp.engine import compile
from fastbp.kernels.build.cache import cache_folder, cached_kernels
from fastbp.kernels.build.folder import is_nowhere
from fastbp.system.compilation import COMPILING, EACH_TIME, CompilingClock, compiling_now, says_it_compiles
from fastbp.system.interrupts import interrupts_raised
from fastbp.system.threads import get_num_threads
from fastbp.trainer import Trainer


def train_with_progress(trainer: Trainer, quiet: bool = False) -> float:
    """Trains to the end and returns the seconds that it took, the compilation of kernels not counted."""
    console = Console(highlight=False, soft_wrap=True)
    shown = console.file.isatty() and not quiet
    with CompilingClock() as clock:
        with nullcontext() if quiet else _compiling(console) if shown else says_it_compiles(console.print):
            _use_all_kernels(trainer)
        trainer.verbose, told = not quiet, clock.compiled > 0 or shown
        trainer._say = lambda line: None if told and line in (COMPILING, EACH_TIME) else console.print(line)
        start, before = time.perf_counter(), clock.seconds
        with interrupts_raised(), _ended(_TrainingProgress(trainer, console, clock)) if shown else nullcontext():
            trainer.train()
    return time.perf_counter() - start - (clock.seconds - before)


@contextmanager
def working(text: str) -> Iterator[None]:
    """On a terminal a spinner with a text while the block works; a word of compiling, there or in a line of its own."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.file.isatty():
        with says_it_compiles(console.print):
            yield
        return
    with console.status(text) as status, says_it_compiles(status.update):
        console.show_cursor(True)  # as below
        yield


@contextmanager
def _ended(bar: Progress) -> Iterator[None]:
    """A block with a bar that is gone after it, also where Ctrl-C comes while it begins: `with` doesn't end it then."""
    try:
        with bar:
            yield
    except KeyboardInterrupt:
        with suppress(IndexError):  # rich removes what it had not put in place yet
            bar.stop()
        bar.console.show_cursor(True)
        raise


def warmup_with_progress(dtypes: tuple[str, ...]) -> None:
    """Compiles all kernels: a bar on a terminal, else a line for each."""
    console = Console(highlight=False, soft_wrap=True)
    start = time.perf_counter()
    with Helper(dtypes) if get_num_threads() > 1 else nullcontext() as helper:
        if console.file.isatty():
            with _WarmupProgress(console) as bar:
                console.show_cursor(True)
                take(steps(dtypes), bar.advance_to, helper)
        else:
            take(steps(dtypes), lambda *step: _print_kernel(console, *step), helper)
    kept, (count, size) = cache_folder(), cached_kernels()
    console.print(
        f"{len(steps(dtypes))} kernels ready · {time.perf_counter() - start:.1f} s · "
        f"{count} kept {'nowhere' if is_nowhere(kept) else f'in {kept}'}, {size / 1e6:.1f} MB"
    )


def _print_kernel(console: Console, done: int, total: int, name: str) -> None:
    if done < total:
        console.print(f"{done + 1:>2}/{total} {name}")


class _WarmupProgress(Progress):
    def __init__(self, console: Console) -> None:
        columns = (TextColumn("kernel"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))
        super().__init__(*columns, console=console, transient=True)

    def advance_to(self, done: int, total: int, name: str) -> None:
        if not self.tasks:
            self.add_task(name, total=total)
        self.update(self.task_ids[0], completed=done, description=name)


@contextmanager
def _compiling(console: Console) -> Iterator[None]:
    with console.status(compiling_now()):
        console.show_cursor(True)  # Ctrl-C ends the process here, with nobody left to show it again
        yield


def _use_all_kernels(trainer: Trainer) -> None:
    """Computes what an epoch does, and changes nothing. Sizes matter: what is worth threads has kernels of its own."""
    network, samples = copy.deepcopy(trainer.network), len(trainer.x_train)  # dropout draws from its own stream
    one = compile(network, copy.deepcopy(trainer.optimizer))
    if one.compiled:
        one.run(trainer.x_train[:1], trainer.t_train[:1], [[0]])
    else:
        for size in {trainer.batch_size, samples % trainer.batch_size or trainer.batch_size}:
            network.gradient(trainer.x_train[:size], trainer.t_train[:size])
    trainer.network.accuracy(trainer.x_train[:1], trainer.t_train[:1])


class _TrainingProgress(Progress):
    """A bar that looks at the trainer whenever it is drawn, so that steps cost nothing."""

    def __init__(self, trainer: Trainer, console: Console, clock: CompilingClock) -> None:
        # First of all: Progress draws itself when it is made.
        self._trainer = trainer
        self._clock = clock
        self._compiled = clock.seconds
        self._start = time.perf_counter()
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
        )
        super().__init__(*columns, console=console, transient=True, expand=True)
        self.add_task("", total=trainer.max_iter, figures="")

    def get_renderables(self) -> Any:
        trainer = self._trainer
        steps, losses = trainer.current_iter, trainer.train_loss_list[-100:]
        if self._clock.runs:
            self.update(self.task_ids[0], completed=steps, figures="compiling")
        elif losses:
            seconds = time.perf_counter() - self._start - (self._clock.seconds - self._compiled)
            rate = steps * trainer.batch_size / max(seconds, 1e-9)
            figures = f"loss {sum(losses) / len(losses):.4f} {rate:,.0f} samples/s"
            self.update(self.task_ids[0], completed=steps, figures=figures)
        yield from super().get_renderables()
