"""How many threads the kernels may use: `with fastbp.threads(n):`, or `from fastbp.threads import threads`.

Both are this one module, which can be called: whoever imports it has Python bind it to its name in the package, where
the context manager is looked for. What it names stands in `fastbp/system/threads.py`.
"""

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
    def __call__(self, n: int) -> AbstractContextManager[None]:
        return threads(n)


sys.modules[__name__].__class__ = _Callable
