"""A look at the code of a method before it is called on stand-ins: what it names, and what it does beside computing."""

import builtins
import dis
import inspect
import linecache
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import CellType, CodeType, FunctionType, TracebackType
from typing import Any

import numpy as np

from fastbp.engine.proof import stand_ins, values
from fastbp.layers.without_dx import backward_without_dx
from fastbp.reads import MISSING, Reads

# What a method may do without being looked at by value: none of these reads or changes anything but its arguments.
BUILTINS: dict[str, Any] = {
    each.__name__: each
    for each in (
        *(abs, all, any, bool, dict, divmod, enumerate, filter, int, iter, len, list, map, max, min, next, pow, range),
        *(reversed, round, sorted, str, sum, tuple, zip),
    )
}

# By the names of CPython's opcodes: what changes something, or behaves otherwise with a stand-in than with an array.
_REFUSED = {
    "STORE_ATTR": "it stores to an attribute",
    "DELETE_ATTR": "it deletes an attribute",
    "STORE_GLOBAL": "it stores to a global variable",
    "DELETE_GLOBAL": "it deletes a global variable",
    "IMPORT_NAME": "it imports",
    "LOAD_BUILD_CLASS": "it defines a class",
    "PUSH_EXC_INFO": "it handles exceptions",
    "IS_OP": "it asks for an identity",
    "MATCH_CLASS": "it matches patterns",
    "MATCH_KEYS": "it matches patterns",
    "MATCH_MAPPING": "it matches patterns",
    "MATCH_SEQUENCE": "it matches patterns",
    "GET_LEN": "it matches patterns",
    "LOAD_NAME": "it names what only a class body sees",
    "SETUP_ANNOTATIONS": "it annotates",
    "GET_AWAITABLE": "it waits",
    "GET_AITER": "it waits",
}
# Attributes that lead out of what is looked at: templates that read attributes, the frames of generators, and what
# NumPy's numbers write to files.
_REFUSED_NAMES = {
    *("format", "format_map", "gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code"),
    *("tofile", "dump"),
}
_READS = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "LOAD_SUPER_METHOD"}


# Values that may be read as they are: they can't be changed in place.
PLAIN = (int, float, complex, bool, str, bytes, type(None), range)


def is_plain(value: Any) -> bool:
    """Whether a value, or each of a tuple, is one of those."""
    return type(value) in PLAIN or (type(value) is tuple and all(map(is_plain, value)))


def on_stand_ins(function: FunctionType, reads: Reads, run: Any) -> Callable[..., Any]:
    """The function with stand-ins for NumPy and the builtins. NotProved, from `run`, where its code isn't known."""
    body = reads.body(function)
    names, refusal = _scan(body)
    if refusal:
        line, why = refusal
        raise _at(run.refuse(why), body, line)
    for defaults in (function.__defaults__, function.__kwdefaults__):
        given = () if defaults is None else tuple(defaults.values()) if isinstance(defaults, dict) else defaults
        if isinstance(defaults, dict):
            reads.contents(defaults)
        if not all(map(is_plain, given)):
            raise _at(run.refuse("a default of its arguments is no number, string or None"), body)
    cells = []
    for variable, cell in zip(body.co_freevars, function.__closure__ or (), strict=True):
        if variable != "__class__":
            raise _at(run.refuse(f"it names {variable}, a variable of the function around it"), body)
        if reads.result(_class_in, cell) is None:
            raise _at(run.refuse("its __class__ is no class"), body)
        cells.append(CellType(stand_ins.Class(run, cell.cell_contents)))
    visible: dict[str, Any] = {"__builtins__": {}, "__name__": function.__module__}
    for name, line in names:
        visible[name] = _named(name, function, reads, run, (body, line))
    found = FunctionType(body, visible, function.__name__, function.__defaults__, tuple(cells))
    found.__kwdefaults__ = function.__kwdefaults__
    return found


def _class_in(cell: CellType) -> Any:
    """The class that __class__ names, by its id; None in a cell that is empty or holds something else."""
    try:
        return id(cell.cell_contents) if isinstance(cell.cell_contents, type) else None
    except ValueError:
        return None


def _named(name: str, function: FunctionType, reads: Reads, run: Any, where: tuple[CodeType, int]) -> Any:
    """What a global name means to the method: NumPy, a class, a number or string, or one of the builtins."""
    value = reads.item(function.__globals__, name)
    known: Any = function
    if value is np:
        return stand_ins.Numpy(run, "numpy")
    if value is backward_without_dx:
        return stand_ins.without_dx(run)
    if value is OrderedDict or is_plain(value):
        return value
    if type(value) is type:
        return stand_ins.Class(run, value)
    if value is MISSING and reads.item(known.__builtins__, name) is vars(builtins).get(name, MISSING):
        if name in _STAND_INS:
            return _STAND_INS[name](run)
        if name in BUILTINS:
            return BUILTINS[name]
    raise _at(run.refuse(f"it names {name}"), *where)


def _super(run: Any) -> values.Call:
    """For the name super."""

    def super_(*given: Any) -> "_Super":
        """What super() is in a method, which its frame tells: the class that it stands in, and its first argument."""
        frame = sys._getframe(2)
        cls, first = (
            stand_ins.class_of(frame.f_locals.get("__class__")),
            frame.f_locals.get((*frame.f_code.co_varnames, "")[0]),
        )
        if len(given) == 2:
            cls, first = stand_ins.class_of(given[0]), given[1]
        if not isinstance(cls, type) or first is not run.self or len(given) not in (0, 2):
            raise run.refuse("it calls super() outside of a method")
        return _Super(run, cls)

    return values.Call(run, "super", super_)


_STAND_INS = {
    "super": _super,
    "float": stand_ins.as_float,
    "isinstance": stand_ins.is_instance,
    "hasattr": stand_ins.has_attribute,
    "getattr": stand_ins.get_attribute,
}


class _Super(values.StandIn):
    """For super(): the methods of the classes above."""

    __slots__ = ("_cls",)

    def __init__(self, run: Any, cls: type) -> None:
        super().__init__(run)
        object.__setattr__(self, "_cls", cls)

    def __getattribute__(self, name: str) -> Any:
        run = values.run_of(self)
        return values.Call(run, name, run.method_of(object.__getattribute__(self, "_cls"), name, above=True))


@lru_cache(maxsize=256)
def _scan(body: CodeType) -> tuple[tuple[tuple[str, int], ...], tuple[int, str] | None]:
    """The global names of a code object and of those inside it, with their lines; the line and reason of a refusal."""
    names: dict[str, int] = {}
    line = body.co_firstlineno
    if body.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return (), (line, "it is a coroutine")
    constant: Any = MISSING  # what the instruction before has loaded
    for instruction in dis.get_instructions(body):
        positions = instruction.positions
        line = (positions.lineno if positions else None) or line
        what, name = instruction.opname, instruction.argval
        if instruction.is_jump_target:
            constant = MISSING
        if what in _REFUSED and not (what == "IS_OP" and (constant is None or type(constant) is bool)):
            return (), (line, _REFUSED[what])
        if what == "STORE_DEREF" and name == "__class__":
            return (), (line, "it stores to __class__")
        if what in _READS and (name in _REFUSED_NAMES or (name.startswith("__") and name.endswith("__"))):
            if not (name == "format" and type(constant) is str and not re.search(r"[.\[]", constant)):
                return (), (line, f"it reads {name}")
        if what == "LOAD_GLOBAL":
            names.setdefault(name, line)
        if what not in ("CACHE", "EXTENDED_ARG", "NOP"):
            constant = name if what == "LOAD_CONST" else MISSING
    for inner in body.co_consts:
        if isinstance(inner, CodeType):
            more, refusal = _scan(inner)
            if refusal:
                return (), refusal
            names = dict(more) | names
    return tuple(names.items()), None


# Where it is


def _at(error: values.NotProved, body: CodeType, line: int | None = None) -> values.NotProved:
    error.place = body.co_filename, line or body.co_firstlineno
    return error


def line_of(error: Exception) -> str:
    """Where a method was refused: `line 34 of net.py, "return x.shape[0]": `, or nothing where that can't be told."""
    place = getattr(error, "place", None)
    if place is None:
        place = next(_frames(error.__traceback__), None)
    if place is None:
        return ""
    file, line = place
    text = linecache.getline(file, line).strip()
    said = f', "{text}"' if text else ""
    return f"line {line} of {Path(file).name}{said}: "


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, int]]:
    """(File, line) of the frames outside of this folder, the innermost first."""
    found = []
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if Path(file).parent != Path(__file__).parent:
            found.append((file, traceback.tb_lineno))
        traceback = traceback.tb_next
    return reversed(found)
