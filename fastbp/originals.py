"""What the library's own classes were when they were defined.

The compiled loop stands in for methods of these classes. A class can be changed while a program runs, as in
`fastbp.Affine.backward = mine`: then the loop would compute something else than the class does, so it looks here first.
"""

from operator import attrgetter, is_
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

from fastbp.reads import Reads

Class = TypeVar("Class", bound=type)


class _Definition(NamedTuple):
    names: tuple[str, ...]
    values: tuple[Any, ...]
    functions: tuple[FunctionType, ...]
    bodies: tuple[Any, ...]  # of each function: its code, and its two kinds of defaults
    size: int  # how many attributes the class has, harmless new ones included


_definitions: dict[type, _Definition] = {}
_body = attrgetter("__code__", "__defaults__", "__kwdefaults__")

# What a class has without having been given a method: these differ between releases of Python.
_OF_EVERY_CLASS = {
    *("__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__type_params__"),
    "__slotnames__",  # copyreg's own notes, made when an object is first copied
}


def original(cls: Class) -> Class:
    """Decorates a class whose definition is kept, for `changed`."""
    kept = {name: value for name, value in vars(cls).items() if name not in _OF_EVERY_CLASS}
    functions = tuple(value for value in kept.values() if isinstance(value, FunctionType))
    bodies = tuple(map(_body, functions))
    _definitions[cls] = _Definition(tuple(kept), tuple(kept.values()), functions, bodies, len(vars(cls)))
    return cls


def is_original(cls: type) -> bool:
    """Whether this is a class whose definition was kept."""
    return cls in _definitions


def changed(cls: type) -> str | None:
    """The name of something that isn't as it was defined, in this class or one that it comes from; None without."""
    return next((name for base in cls.__mro__ if base in _definitions and (name := _changed(base))), None)


def _changed(cls: type) -> str | None:
    definition, now = _definitions[cls], vars(cls)
    if not all(map(is_, map(now.get, definition.names), definition.values)):
        return next(
            name for name, value in zip(definition.names, definition.values, strict=True) if now.get(name) is not value
        )
    if len(now) != definition.size:
        new = now.keys() - _OF_EVERY_CLASS - set(definition.names)
        if new:
            return min(new)
        _definitions[cls] = definition._replace(size=len(now))
    for function, body in zip(definition.functions, definition.bodies, strict=True):
        if not all(map(is_, _body(function), body)):
            return function.__name__
    return None


def read(cls: type, reads: Reads) -> None:
    """Notes what makes an unchanged class of the library what it is: `changed`, in a form that is cheap to compare."""
    for base in cls.__mro__:
        if base in _definitions:
            definition, attributes = _definitions[base], reads.vars_of(base)
            reads.result(len, attributes)
            for name in definition.names:
                reads.item(attributes, name)
            for function in definition.functions:
                if not function.__name__.startswith("__"):
                    reads.body(function)


def original_class(cls: type) -> type | None:
    """The class of the library that `cls` is, or is but for its name and constructor; None for any other."""
    found = next((base for base in cls.__mro__ if base in _definitions), None)
    return None if found is None or own_attributes(cls, found) else found


def own_attributes(cls: type, base: type) -> str:
    """The names that `cls` and what it comes from have beside those of `base`: "forward, x"; "" for none."""
    names = {name for each in cls.__mro__ if each not in base.__mro__ for name in vars(each)}
    return ", ".join(sorted(names - _OF_EVERY_CLASS - {"__init__"}))


def attributes(cls: type) -> list[str]:
    """The names that a class of the library and those that it comes from define, special methods left out."""
    found = {name: None for base in cls.__mro__ if base in _definitions for name in _definitions[base].names}
    return [name for name in found if not name.startswith("__")]


def defines(cls: type, *names: str) -> bool:
    """Whether what `cls` has under all these names stands in one class of the library, as that defined it."""
    homes = {next((base for base in cls.__mro__ if name in vars(base)), cls) for name in names}
    home = homes.pop()
    return not homes and home in _definitions and changed(home) is None
