"""What ours stand on while a script runs: names of the owner's modules, which may be bound to something else.

`common.layers.softmax = mine` makes the owner's `SoftmaxWithLoss` another one, and so it must ours. So each of ours
knows the owner's definition that it stands in for, and gives way to it, where it stands, as soon as a name that this
uses means something else: a class takes over the owner's methods, a function calls the owner's.
"""

import __future__

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from types import FunctionType, ModuleType
from typing import Any

from fastbp.book.owner import Owner, Source
from fastbp.book.syntax import names_in

_NOTHING = object()  # where a name isn't bound
_OF_PYTHON = {"__file__", "__name__"}


@dataclass(eq=False)
class StandIn:
    """One of ours, in the owner's module `space`, for the owner's definition `statement`."""

    name: str
    ours: Any
    statement: ast.stmt
    source: Source
    space: dict[str, Any]
    note: Callable[[str, str], None]  # takes its name and why the owner's own runs, for the last line
    uses: dict[str, Any] = field(default_factory=dict)  # what each name meant when the module had been run
    own: Any = None  # the owner's, once ours gave way

    def look_at(self, name: str) -> None:
        """Gives way where a name that the owner's definition uses isn't bound any longer as it was."""
        if self.own is None and name in self.uses and self.space.get(name, _NOTHING) is not self.uses[name]:
            self.give_way(name)

    def give_way(self, name: str) -> None:
        """From now on this is the owner's own, wherever it was imported: `name` means something else."""
        space: dict[str, Any] = {}
        ahead = [each for each in self.source.tree.body if isinstance(each, ast.ImportFrom) and _is_future(each)]
        tree = ast.Module([*ahead, self.statement], type_ignores=[])
        # Its annotations were read when the module ran: now the names in them may have nothing of what they had.
        flags = __future__.annotations.compiler_flag
        exec(compile(tree, self.source.file, "exec", flags, dont_inherit=True), self.space, space)
        self.own = space[self.name]
        self.note(self.name, f"uses {name}")
        if isinstance(self.ours, type):
            gave_way[self.ours] = name
            for attribute, value in vars(self.own).items():
                if isinstance(value, FunctionType) or not attribute.startswith("__"):
                    setattr(self.ours, attribute, value)
            return
        for other in _all:  # in which this function stands for what they compute with
            for used in [used for used, value in other.uses.items() if value is self.ours and other.own is None]:
                other.give_way(used)


gave_way: dict[type, str] = {}  # classes of ours that are the owner's now, and the name that was bound anew
_all: list[StandIn] = []
_whole: list[tuple[ModuleType, dict[str, Any]]] = []
_of: dict[tuple[str, str, str], StandIn] = {}  # by package, module and name


def stand_ins(
    owner: Owner, source: Source, ours: dict[str, Any], space: dict[str, Any], note: Callable[[str, str], None]
) -> dict[str, Any]:
    """What is to be bound in the owner's module instead of its own definitions, before it runs."""
    for name, value in ours.items():
        stand_in = StandIn(name, value, source.definitions[name], source, space, note)
        if not isinstance(value, type):
            stand_in.ours = _changeable(stand_in, value, space["__name__"])
        _all.append(stand_in)
        _of[owner.name, source.name, name] = stand_in
    return {name: _of[owner.name, source.name, name].ours for name in ours}


def follow(owner: Owner, module: ModuleType) -> None:
    """Looks at what the owner's module bound, now that it has run, and from now on at what is bound in it."""
    here = [each for each in _all if each.space is module.__dict__]
    for each in here:
        for name in names_in(each.statement) - _OF_PYTHON:
            each.uses[name] = module.__dict__.get(name, _NOTHING)
    for each in here:
        for name, value in each.uses.items():
            if each.own is None and not _is_meant(owner, each.source, name, value):
                each.give_way(name)
    if type(module) is ModuleType:
        module.__class__ = _Followed


def follow_whole(module: ModuleType) -> None:
    """Looks at what is bound in a module that only fastbp has: there is no owner's code that could use it."""
    kept = {name: value for name, value in module.__dict__.items() if isinstance(value, FunctionType)}
    _whole.append((module, kept))


def unseen() -> dict[str, str]:
    """By the full name of what was bound anew and ours did without, whatever could use it."""
    found: dict[str, list[str]] = {}
    for each in _all:
        for name, value in each.uses.items():
            if each.own is None and each.space.get(name, _NOTHING) is not value:
                found.setdefault(f"{each.space['__name__']}.{name}", []).append(each.name)
    for module, kept in _whole:
        for name, value in kept.items():
            if module.__dict__.get(name) is not value:
                found[f"{module.__name__}.{name}"] = ["fastbp's own"]
    return {name: " and ".join(users) for name, users in found.items()}


class _Followed(ModuleType):
    """An owner's module that tells what is bound in it from outside."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._bound(name)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._bound(name)

    def _bound(self, name: str) -> None:
        for each in [each for each in _all if each.space is self.__dict__]:
            each.look_at(name)


def _changeable(stand_in: StandIn, function: Callable[..., Any], module: str) -> Callable[..., Any]:
    """A function of ours that calls the owner's once it gave way; to pickle it is the owner's."""

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return (function if stand_in.own is None else stand_in.own)(*arguments, **named)

    call.__module__, call.__qualname__ = module, stand_in.name
    return call


def _is_meant(owner: Owner, source: Source, name: str, value: Any) -> bool:
    """Whether what a name is bound to is what the source says."""
    home = owner.home(source, name)
    if home is None:
        return value is (_outside(source.imports[name]) if name in source.imports else _NOTHING)
    stand_in = _of.get((owner.name, *home))
    if stand_in is not None:
        return value is stand_in.ours and (stand_in.own is None or isinstance(value, type))
    if isinstance(value, FunctionType):
        there = owner.source(home[0])
        return there is not None and (value.__code__.co_filename, value.__code__.co_name) == (there.file, home[1])
    if isinstance(value, type):
        return (value.__module__, value.__qualname__) == (f"{owner.name}.{home[0]}", home[1])
    return True


def _outside(name: str) -> Any:
    """What `numpy` or `collections.OrderedDict` names."""
    module, _, attribute = name.partition(".")
    found = sys.modules.get(module)
    return getattr(found, attribute, None) if attribute else found


def _is_future(statement: ast.ImportFrom) -> bool:
    return statement.module == "__future__"
