"""What the library's own classes were when they were defined.

The compiled loop stands in for methods of these classes. A class can be changed while a program runs, as in
`fastbp.Affine.backward = mine`: then the loop would compute something else than the class does, so it looks here first.
"""

from types import FunctionType
from typing import Any, NamedTuple, TypeVar

Class = TypeVar("Class", bound=type)


class _Definition(NamedTuple):
    attributes: dict[str, Any]
    functions: list[tuple[str, FunctionType, Any, Any, Any]]  # name, function, its code and its two kinds of defaults


_definitions: dict[type, _Definition] = {}

# What a class has without having been given a method: these differ between releases of Python.
_OF_EVERY_CLASS = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__type_params__"),
    "__slotnames__",  # copyreg's own notes, made when an object is first copied
}


def original(cls: Class) -> Class:
    """Decorates a class whose definition is kept, for `changed`."""
    functions = [
        (name, value, value.__code__, value.__defaults__, value.__kwdefaults__)
        for name, value in vars(cls).items()
        if isinstance(value, FunctionType)
    ]
    _definitions[cls] = _Definition(dict(vars(cls)), functions)
    return cls


def changed(cls: type) -> str | None:
    """The name of something that isn't as it was defined, in this class or one that it comes from; None without."""
    return next((name for base in cls.__mro__ if base in _definitions and (name := _changed(base))), None)


def _changed(cls: type) -> str | None:
    definition, now = _definitions[cls], vars(cls)
    if now != definition.attributes:
        for name in sorted({*now, *definition.attributes} - _OF_EVERY_CLASS):
            if now.get(name) is not definition.attributes.get(name):
                return name
    for name, function, code, defaults, keyword_defaults in definition.functions:
        if (
            function.__code__ is not code
            or function.__defaults__ is not defaults
            or function.__kwdefaults__ is not keyword_defaults
        ):
            return name
    return None


def original_class(cls: type) -> type | None:
    """The class of the library that `cls` is, or is but for its name and constructor; None for any other."""
    found = next((base for base in cls.__mro__ if base in _definitions), None)
    return None if found is None or own_attributes(cls, found) else found


def own_attributes(cls: type, base: type) -> str:
    """The names that `cls` and what it comes from have beside those of `base`: "a forward", or "x, y"; "" for none."""
    names = {name for each in cls.__mro__ if each not in base.__mro__ for name in vars(each)}
    own = sorted(names - _OF_EVERY_CLASS - {"__init__"})
    return f"a {own[0]}" if len(own) == 1 else ", ".join(own)


def defines(cls: type, *names: str) -> bool:
    """Whether what `cls` has under all these names stands in one class of the library, as that defined it."""
    homes = {next((base for base in cls.__mro__ if name in vars(base)), cls) for name in names}
    home = homes.pop()
    return not homes and home in _definitions and changed(home) is None
