"""Training on a terminal: a progress bar while it works, a line an epoch."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastbp.trainer import Trainer, epoch_line


def train_with_progress(trainer: Trainer, quiet: bool = False) -> float:
    """Trains to the end and returns the seconds that it took, the compilation of kernels not counted."""
    console = Console(highlight=False, soft_wrap=True)
    shown = console.file.isatty() and not quiet
    with console.status("compiling the kernels: once, then they are kept") if shown else _Nothing():
        trainer.network.gradient(trainer.x_train[:1], trainer.t_train[:1])
    if not quiet:
        trainer.callbacks += (lambda done: console.print(epoch_line(done)),)
    start = time.perf_counter()
    with _TrainingProgress(trainer, console) if shown else _Nothing():
        trainer.train()
    return time.perf_counter() - start


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _TrainingProgress(Progress):
    """A bar that looks at the trainer whenever it is drawn, so that steps cost nothing."""

    def __init__(self, trainer: Trainer, console: Console) -> None:
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[rate]:,.0f} samples/s"),
            TimeRemainingColumn(),
        )
        super().__init__(*columns, console=console, transient=True)
        self._trainer = trainer
        self._start = time.perf_counter()
        self._task = self.add_task("", total=trainer.max_iter, loss=float("nan"), rate=0.0)

    def get_renderables(self) -> Any:
        trainer = self._trainer
        steps, losses = trainer.current_iter, trainer.train_loss_list[-100:]
        if losses:
            rate = steps * trainer.batch_size / (time.perf_counter() - self._start)
            self.update(self._task, completed=steps, loss=sum(losses) / len(losses), rate=rate)
        yield from super().get_renderables()
