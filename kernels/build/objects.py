"""C functions in memory: from the disk cache, or compiled now, on all cores, and kept there."""

import pickle
import threading
from collections import deque

from numba.core import config

from fastbp.kernels.build import cache, machine
from fastbp.kernels.build.compiling import at_ease
from fastbp.kernels.build.workshop import make

_addresses = {}  # of what is in memory, by its symbol
_memory = []  # the one of this process, once it is needed
_lock = threading.RLock()


@at_ease
def load(functions):
    """Brings C functions, and all that they call, into memory; what isn't kept on disk is compiled first."""
    if config.DISABLE_JIT:
        return
    with _lock:
        found, missing = {}, deque()  # by symbol: what each calls, and its object file

        def look(function, enqueue=missing.append):
            if function.symbol in _addresses or function.symbol in found:
                return
            found[function.symbol] = stored = _read(function)
            if stored is None:
                enqueue(function)
            else:
                for called in stored[0]:
                    look(called, enqueue)

        def keep(function, calls, content):
            found[function.symbol] = calls, content
            cache.save(function.symbol, function.symbol, pickle.dumps((calls, content)))
            for called in calls:  # next: the products, which are called, take longest
                look(called, missing.appendleft)

        for function in functions:
            look(function)
        if missing:
            make(missing, keep)
        for function in functions:
            _place(function, found)


def address_of(function):
    """Where a C function lies in memory, once it is there."""
    return _addresses[function.symbol]


def _read(function):
    data = cache.load(function.symbol, function.symbol)
    return None if data is None else pickle.loads(data)


def _place(function, found):
    if function.symbol not in _addresses:
        calls, content = found[function.symbol]
        for called in calls:
            _place(called, found)
        if not _memory:
            _memory.append(machine.Memory())
        _addresses[function.symbol] = _memory[0].load(function.symbol, content)
