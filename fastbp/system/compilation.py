"""Word of kernels that are compiled: a first run takes seconds that no later one does."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from numba.core import event

from fastbp.kernels.build import cache
from fastbp.kernels.build.folder import is_nowhere
from fastbp.system.files import why_not_writable

COMPILING = "compiling the kernels: once, up to a minute (all of them: fastbp warmup)"  # for 80 columns
EACH_TIME = "compiling the kernels, up to a minute: they can't be kept"


def compiling_now() -> str:
    """What to say when a kernel has to be compiled: whether the next process will have to, too."""
    folder = cache.cache_folder()
    return EACH_TIME if cache.STAMP is None or is_nowhere(folder) or why_not_writable(folder) else COMPILING


@contextmanager
def says_it_compiles(say: Callable[[str], object]) -> Iterator[None]:
    """A block in which the first kernel that is compiled is announced: a first training step takes some seconds."""
    with ExitStack() as watch:

        def tell(kernel: str) -> None:
            watch.close()  # once is enough
            say(compiling_now())

        watch.enter_context(cache.watching(tell))
        yield


class CompilingClock(event.Listener):  # type: ignore[misc]  # Numba has no types
    """A block in which the time is taken that kernels need to be compiled, or read from the disk."""

    def __init__(self) -> None:
        self.compiled = 0  # kernels
        self._depth, self._since, self._seconds = 0, 0.0, 0.0
        self._before = 0  # compiled when the present piece of work began
        self._blocks = ExitStack()

    def __enter__(self) -> "CompilingClock":
        self._blocks.enter_context(cache.watching(self._count))
        self._blocks.enter_context(event.install_listener("numba:compiler_lock", self))  # held all the while
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.close()

    def on_start(self, _: Any) -> None:
        """Numba's compiler is entered."""
        if self._depth == 0:
            self._since, self._before = time.perf_counter(), self.compiled
        self._depth += 1

    def on_end(self, _: Any) -> None:
        """Numba's compiler is left."""
        self._depth = max(0, self._depth - 1)
        if self._depth == 0:
            self._seconds += time.perf_counter() - self._since

    @property
    def seconds(self) -> float:
        """So far."""
        return self._seconds + (time.perf_counter() - self._since if self._depth else 0.0)

    @property
    def runs(self) -> bool:
        """Whether a kernel is being compiled now."""
        return self._depth > 0 and self.compiled > self._before

    def _count(self, kernel: str) -> None:
        self.compiled += 1
