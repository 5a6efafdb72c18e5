"""Compiling now what would be compiled at its first use. (Not `warmup.py`: importing that would hide the function.)"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.engine.functions import all_functions
from fastbp.kernels.fingerprint import fingerprint
from fastbp.layers import Affine, BatchNormalization, Convolution, Dropout, IdentityWithLoss, Pooling, SoftmaxWithLoss
from fastbp.layers.compiled import Compiled
from fastbp.lazy import classes
from fastbp.optimizers import Optimizer
from fastbp.system import threads
from fastbp.system.interrupts import interrupts_end
from fastbp.trainer import OPTIMIZERS

DTYPES = ("float32", "float64")
WIDTH = 128  # neurons before and after an affine layer
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
            "from fastbp import _warmup\n"
            "_warmup.end_with_its_input()\n"
            f"for name, step in reversed(_warmup.steps({names!r})):\n"
            "    print(name, flush=True)\n"
            "    step()"
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
    """(Name, what compiles it) for each kernel, any of them alone.

    First what takes long, the products, each with a part of the compiled loop; then the kernels that call these, then
    all others: so a helper, which begins at the end, seldom waits for a product, or compiles one that this process is
    compiling.
    """
    found: list[tuple[int, Step]] = []
    for dtype in map(np.dtype, dtypes or DTYPES):
        if dtype.name not in DTYPES:
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        found += _steps(dtype.name)
    found.append((3, ("Fingerprints", lambda: fingerprint(0, 0))))
    return list(dict(step for _, step in sorted(found, key=lambda each: each[0])).items())


def _steps(dtype: str) -> Iterator[tuple[int, Step]]:
    """With how early each is to be compiled."""
    for function in all_functions(dtype):
        yield (0 if "affine" in function.symbol else 3), (function.name, partial(_load, function))
    for x_dtype in DTYPES[: 1 + DTYPES.index(dtype)]:
        for n in (1, 2):
            what = f"Affine of {x_dtype} x and {dtype} W, {'threads' if n > 1 else 'serial'}"
            for step in _passes(what, partial(_affine, x_dtype, dtype, n)):
                yield n, step
            what = f"Convolution of {x_dtype} x and {dtype} W, {'threads' if n > 1 else 'serial'}"
            for step in _passes(what, partial(_convolution, x_dtype, dtype, n)):
                yield n, step
    found = [step for cls in elementwise() for step in _passes(f"{cls.__name__} of {dtype}", partial(_any, cls, dtype))]
    found += _passes(f"Pooling of {dtype}", partial(_pooling, dtype))
    found += _passes(f"Dropout of {dtype}", partial(_dropout, dtype))
    for x_dtype in DTYPES[: 1 + DTYPES.index(dtype)]:
        what = f"BatchNormalization of {x_dtype} x and {dtype} gamma"
        found += _passes(what, partial(_batch_normalization, x_dtype, dtype))
    found += _passes(f"IdentityWithLoss of {dtype}", partial(_identity_loss, dtype))
    indices, probabilities = np.zeros(2, np.int64), np.eye(2, dtype=dtype)
    found += _passes(f"SoftmaxWithLoss of {dtype}, class indices", partial(_loss, dtype, indices))
    found += _passes(f"SoftmaxWithLoss of {dtype}, probabilities", partial(_loss, dtype, probabilities))
    for optimizer in OPTIMIZERS.values():
        found.append((f"{optimizer.__name__} of {dtype}", partial(_update, optimizer, dtype)))
    yield from ((3, step) for step in found)


def _load(function: Any) -> None:
    function.address()


def _passes(what: str, run: Callable[[bool], None]) -> Iterator[Step]:
    yield f"{what}: forward", partial(run, False)
    yield f"{what}: backward", partial(run, True)


def _affine(x_dtype: str, dtype: str, n: int, backward: bool) -> None:
    layer = Affine(np.zeros((WIDTH, WIDTH), dtype), np.zeros(WIDTH, dtype))
    rows = 1 if n == 1 else ceil(threads.FLOPS_PER_THREAD / WIDTH**2)  # as many as are worth two threads
    with threads.threads(n):
        out = layer.forward(np.zeros((rows, WIDTH), x_dtype))
        if backward:
            layer.backward(out)


def _convolution(x_dtype: str, dtype: str, n: int, backward: bool) -> None:
    layer = Convolution(np.zeros((WIDTH, 1, 1, 1), dtype), np.zeros(WIDTH, dtype))
    images = 1 if n == 1 else ceil(threads.FLOPS_PER_THREAD / WIDTH / 100)
    with threads.threads(n):
        out = layer.forward(np.zeros((images, 1, 10, 10), x_dtype))
        if backward:
            layer.backward(out)


def elementwise() -> list[type]:
    """The layers that work element by element, and say so."""
    told = [(cls, vars(cls).get("compiled")) for cls in classes("fastbp.layers")]
    return [cls for cls, each in told if isinstance(each, Compiled) and each.is_elementwise]


def _any(cls: type, dtype: str, backward: bool) -> None:
    layer: Any = cls()
    out = layer.forward(np.zeros(1, dtype))
    if backward:
        layer.backward(out)


def _pooling(dtype: str, backward: bool) -> None:
    layer = Pooling(1, 1)
    out = layer.forward(np.zeros((1, 1, 1, 1), dtype))
    if backward:
        layer.backward(out)


def _dropout(dtype: str, backward: bool) -> None:
    layer = Dropout(rng=np.random.default_rng(0))  # NumPy's global state is the caller's
    out = layer.forward(np.zeros(1, dtype))
    layer.forward(out, False)
    if backward:
        layer.backward(out)


def _batch_normalization(x_dtype: str, dtype: str, backward: bool) -> None:
    layer = BatchNormalization(np.ones(1, dtype), np.zeros(1, dtype))
    out = layer.forward(np.zeros((1, 1), x_dtype))
    layer.forward(np.zeros((1, 1), x_dtype), False)
    if backward:
        layer.backward(out)


def _identity_loss(dtype: str, backward: bool) -> None:
    layer = IdentityWithLoss()
    layer.forward(np.zeros((1, 1), dtype), [[0]])
    if backward:
        layer.backward()


def _loss(dtype: str, labels: NDArray[Any], backward: bool) -> None:
    layer = SoftmaxWithLoss()
    layer.forward(np.zeros((2, 2), dtype), labels)
    if backward:
        layer.backward()


def _update(optimizer: type[Optimizer], dtype: str) -> None:
    optimizer().update({"p": np.zeros(1, dtype)}, {"p": np.zeros(1, dtype)})
