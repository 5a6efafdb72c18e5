"""The script's own `common` beside ours, on the first batches: how far they differ."""

import copy
import importlib
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import wraps
from types import ModuleType
from typing import Any
from weakref import ref

import numpy as np

batches = [0]  # how many are compared
largest: list[tuple[float, str]] = []  # the largest difference so far and where; none before the first comparison
_seen: dict[int, "_Seen"] = {}  # by the id of an object, which a subclass of the script's may leave without a hash
_modules: dict[str, ModuleType] = {}


@dataclass
class _Seen:
    """How often methods of one of our objects were compared, and the owner's object beside it, as far as it follows."""

    of: "ref[Any]"
    twin: Any = None
    left: dict[str, Any] = field(default_factory=dict)  # what our object had after its forward pass
    forward: int = 0
    backward: int = 0
    update: int = 0


def compared(function: Callable[..., Any], own: Callable[[type], Any]) -> Callable[..., Any]:
    """A method that also runs the owner's, on copies, for the first `batches` of each object.

    The owner's object has a state of its own from its forward pass, and the parameters of ours; NumPy's random stream
    is put back, so that ours draws the same numbers.
    """
    name = function.__name__

    @wraps(function)
    def both(self: Any, *arguments: Any, **named: Any) -> Any:
        seen = _seen_of(self)
        twin = _twin(seen, self, name, own)
        if twin is None:
            return function(self, *arguments, **named)
        theirs = copy.deepcopy(arguments)
        stream = np.random.get_state()
        expected = getattr(twin, name)(*theirs, **named)
        np.random.set_state(stream)
        result = function(self, *arguments, **named)
        where = f"{type(self).__name__}.{name}"
        if name == "update":
            for key, parameter in arguments[0].items():
                _note(parameter, theirs[0][key], f"{where} of {key}")
            return result
        _note(result, expected, where)
        if name == "forward":
            seen.left = _public(self)
        if name == "backward":
            for key, value in vars(twin).items():
                if key.startswith("d") and isinstance(value, np.ndarray):
                    _note(getattr(self, key), value, f"{key} of {type(self).__name__}")
        return result

    return both


def _seen_of(layer: Any) -> _Seen:
    key = id(layer)
    if key not in _seen:
        _seen[key] = _Seen(ref(layer, lambda _: _seen.pop(key, None)))
    return _seen[key]


def _twin(seen: _Seen, layer: Any, name: str, own: Callable[[type], Any]) -> Any:
    """The owner's object for this call, with what it needs; None where the call is not compared."""
    # A prediction is a forward pass without a backward one: there may be some in each batch.
    if seen.backward >= batches[0] or seen.update >= batches[0] or seen.forward >= 10 * batches[0]:
        seen.twin, seen.left = None, {}
    elif name != "backward":  # which needs what the twin's own forward kept
        cls = own(type(layer))
        if cls is None:
            return None
        seen.twin = cls.__new__(cls)
        vars(seen.twin).update(_public(layer))
    elif seen.twin is not None:  # what a subclass, or the script, has changed since goes for both
        changed = {key: value for key, value in _public(layer).items() if not _same(value, seen.left.get(key))}
        vars(seen.twin).update(changed)
    setattr(seen, name, getattr(seen, name) + 1)
    return seen.twin


def _public(layer: Any) -> dict[str, Any]:
    """Copies of what an object keeps under names that the book has."""
    return copy.deepcopy({key: value for key, value in vars(layer).items() if not key.startswith("_")})


def _same(some: Any, other: Any) -> bool:
    if type(some) is not type(other):
        return False
    if isinstance(some, np.ndarray):
        return bool(some.dtype == other.dtype and np.array_equal(some, other, equal_nan=some.dtype.kind == "f"))
    return not isinstance(some, int | float | str | tuple) or some == other


def _note(ours: Any, theirs: Any, where: str) -> None:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        largest[:] = [(np.inf, f"{where}: shape {ours.shape} instead of {theirs.shape}")]
        return
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - theirs) / max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    both = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    difference = float(np.max(np.where(both, 0.0, np.where(np.isnan(apart), np.inf, apart)), initial=0.0))
    if not largest or difference > largest[0][0]:
        largest[:] = [(difference, where)]


def owner_module(fullname: str) -> ModuleType:
    """A module of the script's as its owner wrote it, all that it imports of its package likewise; apart from ours."""
    if fullname not in _modules:
        package = fullname.partition(".")[0]
        with _without_hook(package), _unnoticed():
            importlib.import_module(fullname)
            _modules.update({name: module for name, module in sys.modules.items() if _within(name, package)})
    return _modules[fullname]


def forget(package: str) -> None:
    """The owner changed a file of this package: its modules are imported anew when they are asked for."""
    for name in [name for name in _modules if _within(name, package)]:
        del _modules[name]


@contextmanager
def _without_hook(package: str) -> Any:
    finders = list(sys.meta_path)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _within(name, package)}
    sys.meta_path[:] = [finder for finder in finders if not type(finder).__module__.startswith("fastbp.")]
    try:
        yield
    finally:
        sys.meta_path[:] = finders
        for name in [name for name in sys.modules if _within(name, package)]:
            del sys.modules[name]
        sys.modules.update(kept)


@contextmanager
def _unnoticed() -> Iterator[None]:
    """For modules that the script has imported already: what they print and set stays as the script has it by now."""
    streams = np.random.get_state(), random.getstate()
    with np.errstate(), np.printoptions(), warnings.catch_warnings():
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                yield
        finally:
            np.random.set_state(streams[0])
            random.setstate(streams[1])


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")
