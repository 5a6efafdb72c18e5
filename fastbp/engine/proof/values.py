"""What a network's methods get instead of arrays when `proving.py` calls them: values that tell nothing.

All of them refuse every operation but the few that their class defines: those that hand a value on, and those of weight
decay, ½·λ·ΣW² in the loss and λ·W in a gradient, as readers write it: `np.sum(W**2)`, `(W * W).sum()`,
`np.sum(np.square(W))`, times and divided by numbers, added up in any order.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


class NotProved(Exception):
    """Why a method can't be proved to do what the layers do, and where it stands: (file, line), where that is known."""

    place: tuple[str, int] | None = None


def run_of(value: Any) -> Any:
    """The run that a stand-in belongs to."""
    return object.__getattribute__(value, "_run")


_DOES = {
    "bool": "asks for the truth of",
    "len": "asks for the length of",
    "iter": "goes through",
    "getitem": "takes a part of",
    "setitem": "changes a part of",
    "contains": "looks into",
    "hash": "takes as a key",
    "call": "calls",
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), "compares"),
    **dict.fromkeys(("float", "int", "index"), "takes as a number"),
    **dict.fromkeys(("str", "repr", "format"), "prints"),
}
# What every object needs to be one, or what these classes define themselves.
_KEPT = {
    *("__class__", "__new__", "__init__", "__init_subclass__", "__subclasshook__", "__class_getitem__", "__doc__"),
    *("__getattribute__", "__getattr__", "__slots__", "__dict__", "__weakref__", "__del__", "__module__"),
    *("__array_ufunc__", "__array_priority__", "__array_namespace_info__"),
}
# All special methods there are: those of the types that a method might take a stand-in for, and a few of no type here.
_SPECIAL = {
    *(
        name
        for kind in (int, float, complex, str, list, dict, set, tuple, np.ndarray, np.float64)
        for name in dir(kind)
    ),
    *(
        f"__{name}__"
        for name in ("call", "enter", "exit", "await", "aiter", "anext", "aenter", "aexit", "next", "fspath")
    ),
    *(f"__{name}__" for name in ("get", "set", "delete", "buffer", "missing", "length_hint", "bytes", "rmatmul")),
    *("__matmul__", "__imatmul__", "__instancecheck__", "__subclasscheck__", "__set_name__"),
}


def _refusing(name: str) -> Any:
    does = _DOES.get(name.strip("_"), "computes with")

    def refusing(self: Any, *_: Any, **__: Any) -> Any:
        raise run_of(self).refuse(f"it {does} {object.__getattribute__(self, '_what')}")

    return refusing


class StandIn:
    """An object of which nothing may be asked. Subclasses allow what is known to be harmless."""

    __slots__ = ("_run", "_what")
    __array_ufunc__ = None  # NumPy's numbers leave operators to this side

    def __init__(self, run: Any, what: str = "a layer or a method") -> None:
        object.__setattr__(self, "_run", run)
        object.__setattr__(self, "_what", what)

    def __getattribute__(self, name: str) -> Any:
        raise run_of(self).refuse(f"it reads {name} of {object.__getattribute__(self, '_what')}")


for _name in _SPECIAL - _KEPT:
    if _name.startswith("__"):
        setattr(StandIn, _name, _refusing(_name))


class Call(StandIn):
    """What can be called and nothing else: a layer's forward, a method of the network, np.sum."""

    __slots__ = ("_function",)

    def __init__(self, run: Any, what: str, function: Callable[..., Any]) -> None:
        super().__init__(run, what)
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        try:
            return object.__getattribute__(self, "_function")(*arguments, **named)
        except TypeError as error:
            traceback = error.__traceback__
            if traceback is not None and traceback.tb_next is not None:
                raise
            what = object.__getattribute__(self, "_what")  # the arguments are other ones
            raise run_of(self).refuse(f"it calls {what} with other arguments than are known") from None


class Opaque(StandIn):
    """An array or number of which only the origin is known."""

    __slots__ = ("_origin",)

    def __init__(self, run: Any, what: str, origin: Any = None) -> None:
        super().__init__(run, what)
        object.__setattr__(self, "_origin", origin)


def hidden(value: Any) -> Any:
    """The origin of an opaque value; None of anything else."""
    return object.__getattribute__(value, "_origin") if type(value) is Opaque else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or is_numpy_number(value)


def is_numpy_number(value: Any) -> bool:
    """Whether this is one of NumPy's own scalars, of no subclass that might do more."""
    cls = type(value)
    return cls.__module__ == "numpy" and issubclass(cls, np.integer | np.floating | np.bool_)


_CALLED = {"Loss": "the loss", "Gradient": "a gradient"}


class _Linear(StandIn):
    """A sum of one thing that was computed, times a factor, and of parameters or their squares, times theirs."""

    __slots__ = ("_decays", "_factor", "_origin")

    def __init__(self, run: Any, factor: float, origin: Any, decays: dict[str, float]) -> None:
        super().__init__(run, _CALLED.get(type(self).__name__, "a parameter"))
        object.__setattr__(self, "_factor", factor)
        object.__setattr__(self, "_origin", origin)
        object.__setattr__(self, "_decays", decays)

    def __mul__(self, number: Any) -> Any:
        return _scaled(self, number, lambda factor: factor * float(number))

    def __truediv__(self, number: Any) -> Any:
        if _is_number(number) and number == 0:
            raise run_of(self).refuse("it divides by 0")
        return _scaled(self, number, lambda factor: factor / float(number))

    def __add__(self, other: Any) -> Any:
        return _sum(self, other)

    __rmul__, __radd__ = __mul__, __add__


def parts_of(value: Any) -> tuple[float, Any, dict[str, float]]:
    get = object.__getattribute__
    return get(value, "_factor"), get(value, "_origin"), get(value, "_decays")


def _scaled(value: Any, number: Any, scale: Any) -> Any:
    run, cls = run_of(value), type(value)
    if not _is_number(number):
        raise run.refuse(f"it multiplies {object.__getattribute__(value, '_what')} by something else than a number")
    factor, origin, decays = parts_of(value)
    if origin is not None and (type(number) not in (int, float) or number != 1):
        raise run.refuse(f"it multiplies {object.__getattribute__(value, '_what')}")
    return made(cls, run, factor, origin, {name: scale(each) for name, each in decays.items()})


def _sum(value: Any, other: Any) -> Any:
    run, cls = run_of(value), type(value)
    if _is_number(other) and other == 0 and cls is Loss:  # where sums begin; a new object, as a sum is
        return made(cls, run, *parts_of(value))
    kinds = {cls, type(other)}
    arrays = kinds <= {Gradient, Parameter} or kinds <= {Squares}
    if not (kinds <= {Loss} or (arrays and len(_names(value, other)) == 1)):
        raise run.refuse(f"it adds something to {object.__getattribute__(value, '_what')}")
    (factor, origin, decays), (more, other_origin, others) = parts_of(value), parts_of(other)
    if origin is not None and other_origin is not None:
        raise run.refuse(f"it adds up two of {object.__getattribute__(value, '_what')}")
    summed = {name: decays.get(name, 0.0) + others.get(name, 0.0) for name in {**decays, **others}}
    result = Gradient if kinds == {Gradient, Parameter} else cls
    return made(result, run, factor + more, origin if origin is not None else other_origin, summed)


def _names(*some: Any) -> set[str]:
    """The parameters whose arrays come together; those of two may have other shapes."""
    names = {name for value in some for name in decays_of(value)}
    return names | {parts_of(value)[1] for value in some if type(value) is Gradient}


def made(cls: type, run: Any, factor: float, origin: Any, decays: dict[str, float]) -> Any:
    made: Any = object.__new__(cls)
    _Linear.__init__(made, run, factor, origin, decays)
    return made


class Loss(_Linear):
    """A number: the loss of a pass, plus factors times the sums of the squares of parameters."""

    __slots__ = ()
    __iadd__ = _Linear.__add__  # numbers aren't changed in place


class Gradient(_Linear):
    """An array: the gradient of a parameter, plus factors times parameters."""

    __slots__ = ()

    def __iadd__(self, other: Any) -> Any:
        object.__setattr__(self, "_decays", decays_of(_sum(self, other)))  # the layer's own array changes
        return self

    def __init__(self, run: Any, parameter: "Parameter") -> None:
        (name,) = decays_of(parameter)
        super().__init__(run, 1.0, name, {})


class Parameter(_Linear):
    """An array: a parameter, times a factor."""

    __slots__ = ()

    def __init__(self, run: Any, name: str) -> None:
        super().__init__(run, 0.0, None, {name: 1.0})

    def __pow__(self, exponent: Any) -> Any:
        if not _is_number(exponent) or exponent != 2:
            raise run_of(self).refuse("it takes another power of a parameter than its square")
        return squared(self)

    def __mul__(self, other: Any) -> Any:
        if type(other) is Parameter:
            if decays_of(self) != decays_of(other):
                raise run_of(self).refuse("it multiplies two parameters")
            return squared(self)
        return super().__mul__(other)

    def __rmul__(self, number: Any) -> Any:
        return super().__mul__(number)


class Squares(_Linear):
    """An array: the squares of a parameter's elements, times a factor."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name != "sum":
            return super().__getattribute__(name)
        return Call(run_of(self), "sum", lambda: summed(self))


def squared(value: Parameter) -> Squares:
    """np.square of a parameter."""
    if len(_names(value)) != 1:
        raise run_of(value).refuse("it squares a sum of parameters")
    ((name, factor),) = decays_of(value).items()
    result: Squares = made(Squares, run_of(value), 0.0, None, {name: factor * factor})
    return result


def summed(value: Squares) -> Loss:
    """np.sum of squares."""
    result: Loss = made(Loss, run_of(value), 0.0, None, dict(decays_of(value)))
    return result


def loss_of(value: Loss) -> tuple[float, Any]:
    """(The factor of the loss, the pass it is of)."""
    factor, origin, _ = parts_of(value)
    return factor, origin


def decays_of(value: Any) -> dict[str, float]:
    """By the names of parameters: the factors of the sums of their squares, or of themselves."""
    decays: dict[str, float] = object.__getattribute__(value, "_decays")
    return decays


def is_gradient(value: Any, name: str) -> bool:
    """Whether this is the gradient of that parameter, perhaps with weight decay."""
    return type(value) is Gradient and parts_of(value)[:2] == (1.0, name)
