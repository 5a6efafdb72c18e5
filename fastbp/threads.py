"""How many threads the kernels may use: `with fastbp.threads(n):`, or `from fastbp.threads import threads`."""

import sys
from contextlib import AbstractContextManager
from types import ModuleType

from fastbp.system.threads import (
    for_work,
    get_num_threads,
    launched,
    running,
    scratch,
    set_num_threads,
    threading_layer,
    threads,
)

__all__ = [
    "for_work",
    "get_num_threads",
    "launched",
    "running",
    "scratch",
    "set_num_threads",
    "threading_layer",
    "threads",
]


class _Callable(ModuleType):
    """Python binds a module that is imported to its name in the package, where the context manager has to be."""

    def __call__(self, n: int) -> AbstractContextManager[None]:
        return threads(n)


sys.modules[__name__].__class__ = _Callable
