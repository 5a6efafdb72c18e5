"""Compiling now what would be compiled at its first use."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastbp.engine.all_functions import all_functions
from fastbp.kernels.build import workshop
from fastbp.kernels.build.signatures import declared
from fastbp.system.interrupts import interrupts_end

DTYPES = ("float32", "float64")
Step = tuple[str, Callable[[], None]]


def warmup(*dtypes: DTypeLike, progress: Callable[[int, int, str], object] | None = None) -> None:
    """Compiles the kernels of layers and optimizers, or loads them from the disk cache: nothing is compiled later.

    `dtypes` are the precisions of the weights, float32 and float64 when none is given; float64 includes float32 inputs
    beside float64 weights. `progress` is called with (kernels done, kernels in all, the name of the next one) before
    each kernel, and once more at the end. TypeError for another dtype.
    """
    take(steps(dtypes), progress or (lambda *_: None))


def take(todo: list[Step], progress: Callable[[int, int, str], object], helper: "Helper | None" = None) -> None:
    """All steps, of which a helper may be taking some at the same time."""
    with workshop.sharing(2 if helper else 1):
        for done, (name, step) in enumerate(todo):
            progress(done, len(todo), name)
            if helper:
                helper.wait_for(name)
            step()
    progress(len(todo), len(todo), "")


class Helper:
    """A second process that takes the steps from the last to the first: with this one it meets in the disk cache.

    Not a thread: Numba compiles one kernel at a time in a process. It ends with the block, however that ends.
    """

    def __init__(self, dtypes: tuple[DTypeLike, ...]) -> None:
        names = [str(np.dtype(dtype)) for dtype in dtypes]
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "from fastbp.command import warmup\n"
            "warmup.end_with_its_input()\n"
            "with warmup.workshop.sharing(2):\n"
            f"    for name, step in reversed(warmup.steps({names!r})):\n"
            "        print(name, flush=True)\n"
            "        step()"
        )
        pipe = subprocess.PIPE  # its input ends when this process does, however that ends
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, encoding="utf-8"
        )
        self._step = ""  # the one it is at
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Helper":
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # whose end is waited for
            self.process.terminate()
            self._reader.join()

    def wait_for(self, step: str) -> None:
        """Until it isn't at this step: to compile what is being compiled would take longer."""
        while self._step == step:
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._step = line.rstrip()
        self._step = ""


def end_with_its_input() -> None:
    """In a helper: the process ends when who started it does, and with Ctrl-C."""
    interrupts_end()
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def steps(dtypes: Any) -> list[Step]:
    """(Name, what compiles it) for each C function of the compiled loop and each kernel, any of them alone.

    First what takes long, the products, each with a part of the compiled loop; then the kernels that call these, then
    all others; of a second dtype the other way round. So a helper, which begins at the end, has a dtype to itself,
    whose parts the other process hardly compiles: 5 to 7 % less work than dtype by dtype in each (Ice Lake).
    """
    found: dict[str, Callable[[], None]] = {}
    for number, dtype in enumerate(dict.fromkeys(map(np.dtype, dtypes or DTYPES))):
        if dtype.name not in DTYPES:
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        in_order = sorted(_steps(dtype.name), key=lambda each: each[0])
        for _, (name, step) in reversed(in_order) if number else in_order:
            found.setdefault(name, step)
    return list(found.items())


def _steps(dtype: str) -> Iterator[tuple[int, Step]]:
    """With how early each is to be compiled."""
    for function in all_functions(dtype):
        yield (0 if "affine" in function.symbol else 3), (function.name, function.address)
    for kernel, types in declared(dtype):
        yield (1 if _is_product(kernel) else 3), (_name(kernel, types), partial(kernel.compile, types))


def _is_product(kernel: Any) -> bool:
    return str(kernel.__name__).startswith(("affine", "convolution"))


def _name(kernel: Any, types: tuple[Any, ...]) -> str:
    """For people: the kernel, and the precisions of the arrays that it takes."""
    dtypes = dict.fromkeys(str(each.dtype) for each in types if hasattr(each, "dtype"))
    return f"{kernel.__name__} of {', '.join(dtypes)}" if dtypes else str(kernel.__name__)
