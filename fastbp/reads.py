"""What was read of objects to find something out, so that one can tell whether it would be found out again."""

from collections.abc import Callable, Mapping
from itertools import chain, repeat
from operator import call, is_
from types import MappingProxyType
from typing import Any


class _Missing:
    """Where there is nothing."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
Columns = tuple[tuple[Any, ...], ...]
Contents = tuple[list[Any], list[int], list[Any], list[Any]]  # containers, their lengths, views of them, what was there


class Reads:
    """A list of what was read, each with what was there: compared by identity, which no exchange escapes.

    That says all of what can't be changed in place, numbers, strings, functions, and of objects of which no more was
    read than this.
    """

    def __init__(self) -> None:
        # By what makes two reads the same one: the owner's id, and the name.
        self._items: dict[tuple[int, Any], tuple[Mapping[Any, Any], Any, Any]] = {}
        self._attributes: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self._contents: dict[int, tuple[Any, list[Any], list[Any]]] = {}
        self._results: dict[tuple[int, int], tuple[Callable[[Any], Any], Any, Any]] = {}
        self._in_class: dict[tuple[int, str], Any] = {}
        self._vars: dict[type, Mapping[str, Any]] = {}
        self._flat: tuple[Columns, Columns, Columns, Contents, Columns] | None = None

    def item(self, mapping: Mapping[Any, Any], key: Any) -> Any:
        """mapping[key], or MISSING. The mapping is a dict or what vars() gives of a class."""
        value = mapping.get(key, MISSING)
        self._items[id(mapping), key] = mapping, key, value
        self._flat = None
        return value

    def attribute(self, owner: Any, name: str) -> Any:
        """owner.name by Python's own rules, or MISSING."""
        value = getattr(owner, name, MISSING)
        self._attributes[id(owner), name] = owner, name, value
        self._flat = None
        return value

    def in_class(self, cls: type, name: str) -> Any:
        """What stands under a name in a class, or in one that it comes from, as it is there; or MISSING."""
        if (id(cls), name) not in self._in_class:
            *bases, _ = self.attribute(cls, "__mro__")
            found = (self.item(self.vars_of(base), name) for base in bases)
            last = vars(object).get(name, MISSING)  # which no program can change
            self._in_class[id(cls), name] = next((value for value in found if value is not MISSING), last)
        return self._in_class[id(cls), name]

    def vars_of(self, cls: type) -> Mapping[str, Any]:
        """vars() of a class, which makes another view each time: one for all reads."""
        return self._vars.setdefault(cls, vars(cls))

    def dict_of(self, owner: Any) -> Mapping[str, Any]:
        """The attributes that an object has of its own, those in slots left out. Of one that `has_plain_dict`."""
        attributes = self.attribute(owner, "__dict__")
        return attributes if type(attributes) is dict else {}

    def has_plain_dict(self, owner: Any) -> bool:
        """Whether the attributes that an object has of its own stand in a dict of no subclass, or in slots alone."""
        return type(self.attribute(owner, "__dict__")) in (dict, _Missing)

    def body(self, function: Any) -> Any:
        """The code of a function, and with it the defaults of arguments; where there are none, none can be missing."""
        code = self.attribute(function, "__code__")
        if function.__defaults__ is not None:
            self.attribute(function, "__defaults__")
        if code.co_kwonlyargcount:
            self.attribute(function, "__kwdefaults__")
        return code

    def contents(self, container: Any) -> None:
        """All that a dict, list or tuple holds, in its order."""
        keys = list(container) if isinstance(container, dict) else []
        values = list(container.values()) if isinstance(container, dict) else list(container)
        self._contents[id(container)] = container, keys, values
        self._flat = None

    def result(self, look: Callable[[Any], Any], at: Any) -> Any:
        """look(at), which changes nothing and gives something plain."""
        value = look(at)
        self._results[id(look), id(at)] = look, at, value
        self._flat = None
        return value

    def same(self) -> bool:
        """Whether all that was read is there still. Without a loop of Python's own: a third of the time of one."""
        if self._flat is None:
            self._flat = self._flattened()
        dicts, classes, attributes, contents, (looks, places, values) = self._flat
        return (
            _same(dict.get, *dicts)
            and _same(MappingProxyType.get, *classes)
            and _same(getattr, *attributes)
            and _same_contents(*contents)
            and tuple(map(call, looks, places)) == values
        )

    def _flattened(self) -> tuple[Columns, Columns, Columns, Contents, Columns]:
        """(Owners, names, values) of the reads of dicts, of classes and of attributes; containers; and results."""
        items = self._items.values()
        return (
            _columns([each for each in items if isinstance(each[0], dict)]),
            _columns([each for each in items if not isinstance(each[0], dict)]),
            _columns(list(self._attributes.values())),
            _contents(list(self._contents.values())),
            _columns(list(self._results.values())),
        )


def _columns(rows: list[tuple[Any, Any, Any]]) -> Columns:
    return tuple(zip(*rows, strict=True)) if rows else ((), (), ())


def _same(read: Any, owners: Any, names: Any, values: Any) -> bool:
    return all(map(is_, map(read, owners, names, repeat(MISSING)), values))


def _contents(rows: list[tuple[Any, list[Any], list[Any]]]) -> Contents:
    """The values of a dict by a view of it, which follows its changes; all others are read as they are."""
    views, parts = [], []
    for container, keys, values in rows:
        views += [container, container.values()] if isinstance(container, dict) else [container]
        parts += [keys, values] if isinstance(container, dict) else [values]
    containers = [container for container, _, _ in rows]
    return containers, list(map(len, containers)), views, list(chain.from_iterable(parts))


def _same_contents(containers: list[Any], lengths: list[int], views: list[Any], values: list[Any]) -> bool:
    return list(map(len, containers)) == lengths and all(map(is_, chain.from_iterable(views), values))
