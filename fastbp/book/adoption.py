"""Our classes in the place of the script's: under its names for pickles, their calls counted, compared, converted."""

import atexit
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial, wraps
from inspect import signature
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import originals
from fastbp.book.comparison import compared
from fastbp.book.functions import of_dtype
from fastbp.book.precision import converted
from fastbp.book.unread import left_out
from fastbp.layers import skipping
from fastbp.system import threads

if TYPE_CHECKING:
    from fastbp.book.settings import Settings

# A script's arrays were made by its one thread, and lie in the caches of that core: a second one wins from 20 million
# operations on. Chapter 5's step, 784-50-10 by batches of 100, takes no less by two threads than by one, and where
# another process needs one of two cores 1.26 ms instead of 0.78 (Xeon, AVX-512).
FLOPS_PER_THREAD = 1e7

METHODS = ("forward", "backward", "update")

calls = [0]  # served by kernels so far
_adopted: set[FunctionType] = set()  # the methods that stand in classes now
_owners: dict[type, Callable[[], Any]] = {}  # what the script's owner has instead of a class


def adopt(ours: dict[str, Any], module: str, settings: "Settings", own: Callable[[str], Any] | None) -> dict[str, Any]:
    """`ours`, whose classes now belong to `module`.

    Pickles name a class by its module: so those of a run under `fastbp run` are read by plain Python, and the other way
    round. A method that is adopted counts its calls; the compiled loop takes it for the library's own. `own(name)` is
    what the script's owner has under a name, for comparisons.
    """
    announce_compiling()
    threads.FLOPS_PER_THREAD = FLOPS_PER_THREAD
    skipping.precision = np.dtype(settings.dtype) if settings.dtype else None
    for name, value in ours.items():
        if isinstance(value, type) and value.__module__.partition(".")[0] == "fastbp":
            for base in value.__mro__:
                if base.__module__.startswith("fastbp."):
                    _adopt_methods(base, settings)
            if own is not None:
                _owners[value] = partial(own, name)
            if (hasattr(value, "forward") or hasattr(value, "loss")) and "__setstate__" not in dir(value):
                value.__setstate__ = _restored  # type: ignore[attr-defined]  # no class has it yet
                if originals.is_original(value):
                    originals.original(value)
            value.__module__ = module
    return ours


def _restored(self: Any, state: dict[str, Any]) -> None:
    """The state of a layer's or a network's pickle; what one of plain Python lacks, as it is in a new object."""
    arguments = signature(type(self)).parameters
    stream = np.random.get_state()  # a new network draws its weights
    new = type(self)(**{name: state[name] for name in arguments if name in state})
    np.random.set_state(stream)
    vars(self).update(vars(new) | state)


@cache
def announce_compiling() -> None:
    """Says on stderr when the first kernel is compiled in this process: a script may stand still for some seconds."""
    from fastbp.system.compilation import says_it_compiles

    watch = ExitStack()
    atexit.register(watch.close)
    watch.enter_context(says_it_compiles(lambda line: print(f"fastbp: {line}", file=sys.stderr, flush=True)))


def _adopt_methods(cls: type, settings: "Settings") -> None:
    dtype = np.dtype(settings.dtype) if settings.dtype else None
    found = {name: vars(cls)[name] for name in METHODS if isinstance(vars(cls).get(name), FunctionType)}
    for name, function in found.items():
        if function in _adopted:
            continue
        if dtype:
            function = converted(function, cls, dtype)
        if settings.compare:
            function = compared(function, _owners_class)
        elif name == "backward" and (parameters := vars(cls).get("_backward_parameters")):
            function = left_out(function, converted(parameters, cls, dtype) if dtype else parameters)
        adopted = _counted(function)
        setattr(cls, name, adopted)
        _adopted.add(adopted)
    if found and originals.is_original(cls):
        originals.original(cls)


def _owners_class(cls: type) -> Any:
    """What the script's owner has instead of a class of ours, or of what it comes from; None without a common."""
    return next((_owners[base]() for base in cls.__mro__ if base in _owners), None)


def _counted(function: Callable[..., Any]) -> FunctionType:
    @wraps(function)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        result = function(self, *arguments, **named)
        if type(result) is float and "loss" in vars(self):  # scripts round it, or ask for its shape
            self.loss = result = of_dtype(result, self.y.dtype)
        return result

    return call  # type: ignore[return-value]  # what def makes
