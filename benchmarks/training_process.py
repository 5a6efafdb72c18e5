"""A system in a process of its own: it trains when it is asked to, and sleeps while the others do."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_rows import Task

CHECKED = 20  # steps whose losses are compared with the reference's
PROBED = 50  # calls of the probe after a turn, some 60 µs each

# Pools of threads read these when they are loaded; Numba's and the two OpenMPs' are the peers' as much as ours.
POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "FASTBP_NUM_THREADS",
)

# A thread of OpenBLAS looks for work for 2²⁴ cycles, some 6 ms, and then sleeps. By default it takes 200 ms, which are
# the next system's turn.
SHORT_WAITS = {"OPENBLAS_THREAD_TIMEOUT": "24"}


class LeftOut(Exception):
    """The system can't run here; the message says why."""


class System:
    """The process, seen from the one that measures. ValueError for what fails inside it, LeftOut where it can't run.

    Nor can it in a column whose instruction set it doesn't keep to; `environment` tells it what that is.
    """

    def __init__(self, module: str, task: "Task", folder: Path, environment: Mapping[str, str]) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from training_process import main; main()"
        env = os.environ | dict.fromkeys(POOLS, str(task.threads)) | SHORT_WAITS | dict(environment)
        env["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "torch")
        self.module = module
        self._errors = folder / f"{module}.txt"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            )
        try:
            self.ready = self.ask(module=module, task=asdict(task), folder=str(folder))
        except BaseException:
            self.close()
            raise
        self.name, self.version = str(self.ready["name"]), str(self.ready["version"])

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            last = (self._errors.read_text(errors="replace").strip() or "nothing on stderr").splitlines()[-1]
            raise ValueError(f"{self.module} ended early: {last}") from None
        if "left out" in answer:
            raise LeftOut(answer["left out"])
        if "error" in answer:
            raise ValueError(f"{self.module}: {answer['error']}")
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


# Inside the process --------------------------------------------------------------------------------------------------


def main() -> None:
    """Answers each line of JSON with one, until there are no more."""
    import instruction_sets  # at once: from now on it counts what registers are used

    # Libraries may print: what they print goes to stderr.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                _use_cores(request["task"]["threads"])
                worker = _Worker(**request)
                answer = worker.ready
            elif "last" in request:
                answer = {"avx512": instruction_sets.used_avx512()}
            else:
                answer = worker.architecture(**request) if "task" in request else worker.turn(**request)
            if (answer is worker.ready or "last" in request) and (reason := instruction_sets.disobeyed()):
                raise LeftOut(reason)
        except LeftOut as reason:
            answer = {"left out": str(reason)}
        except Exception as error:  # whatever a library may raise is the parent's to report
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _use_cores(threads: int) -> None:
    """The last cores of those allowed: the first ones serve the interrupts. Before NumPy, which counts cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


class _Worker:
    def __init__(self, module: str, task: dict[str, Any], folder: str) -> None:
        import numpy as np
        from peers import PROBE, Job, peer_class
        from training_rows import Task, draw_order

        self._class, self._draw_order, self._task = peer_class(module), draw_order, Task.from_dict(task)
        if reason := self._class.missing(self._task.optimizer):
            raise LeftOut(reason)
        self._x, self._t = np.load(Path(folder) / "x.npy"), np.load(Path(folder) / "t.npy")
        seconds, losses = self._start(self._task, CHECKED)
        self.ready = {
            "name": self._class.name,
            "version": self._peer.version(),
            "seconds": seconds,
            "losses": [float(loss) for loss in losses],
            "flops": getattr(self._peer, "flops", 0.0),
            "epoch": len(self._x) // self._task.batch if getattr(self._class, "whole_epochs", False) else 0,
        }
        job = Job(self._task.sizes, self._task.batch, self._task.optimizer, self._task.threads, {}, self._x, self._t)
        self._probe = peer_class(PROBE)(job)
        self._resting = (time.perf_counter(), time.process_time())

    def _start(self, task: "Task", steps: int) -> tuple[float, Any]:
        """Makes the peer and takes so many steps: the seconds from nothing to the loss of the first, all losses."""
        import numpy as np
        from peers import Job, initial_params

        params, order = initial_params(task.sizes), self._order(task, steps, 0)
        start = time.perf_counter()
        self._peer = self._class(Job(task.sizes, task.batch, task.optimizer, task.threads, params, self._x, self._t))
        losses = self._peer.run(order[:1])
        seconds = time.perf_counter() - start
        return seconds, np.concatenate([losses, self._peer.run(order[1:])]) if steps > 1 else losses

    def architecture(self, task: dict[str, Any]) -> dict[str, float]:
        """Another network from the start, in the same process: seconds to the loss of its first step."""
        from training_rows import Task

        return {"seconds": self._start(Task.from_dict(task), 1)[0]}

    def turn(self, steps: int, seed: int) -> dict[str, float]:
        """So many steps from the initial weights: seconds a step, and how busy the process was since the last turn.

        Of fastbp also the flops a second that its cores can do at once after: a processor that moves data as well has
        less of them than one that has only registers to look after, and it takes 0.1 s until it has all again. (The
        threads of others still wait for work then, and the probe waits for them.)
        """
        wall, used = (now - before for now, before in zip(_clocks(), self._resting, strict=True))
        order = self._order(self._task, steps, seed)
        self._peer.reset()
        start = time.perf_counter()
        self._peer.run(order)
        seconds = (time.perf_counter() - start) / steps
        after = {"peak": self._peak()} if self._class.name.startswith("fastbp") else {}
        self._resting = _clocks()
        return {"seconds": seconds, "busy": used / wall} | after

    def _peak(self) -> float:
        self._probe.run(range(1))  # wakes the threads
        start = time.perf_counter()
        self._probe.run(range(PROBED))
        return float(PROBED * self._probe.flops / (time.perf_counter() - start))

    def _order(self, task: "Task", steps: int, seed: int) -> Any:
        return self._draw_order(len(self._x), task.batch, steps, seed)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
