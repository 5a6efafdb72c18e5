"""What a network's methods get instead of arrays when `engine/proof.py` calls them: values that tell nothing.

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


def _parts(value: Any) -> tuple[float, Any, dict[str, float]]:
    get = object.__getattribute__
    return get(value, "_factor"), get(value, "_origin"), get(value, "_decays")


def _scaled(value: Any, number: Any, scale: Any) -> Any:
    run, cls = run_of(value), type(value)
    if not _is_number(number):
        raise run.refuse(f"it multiplies {object.__getattribute__(value, '_what')} by something else than a number")
    factor, origin, decays = _parts(value)
    if origin is not None and (type(number) not in (int, float) or number != 1):
        raise run.refuse(f"it multiplies {object.__getattribute__(value, '_what')}")
    return _made(cls, run, factor, origin, {name: scale(each) for name, each in decays.items()})


def _sum(value: Any, other: Any) -> Any:
    run, cls = run_of(value), type(value)
    if _is_number(other) and other == 0 and cls is Loss:  # where sums begin; a new object, as a sum is
        return _made(cls, run, *_parts(value))
    kinds = {cls, type(other)}
    arrays = kinds <= {Gradient, Parameter} or kinds <= {Squares}
    if not (kinds <= {Loss} or (arrays and len(_names(value, other)) == 1)):
        raise run.refuse(f"it adds something to {object.__getattribute__(value, '_what')}")
    (factor, origin, decays), (more, other_origin, others) = _parts(value), _parts(other)
    if origin is not None and other_origin is not None:
        raise run.refuse(f"it adds up two of {object.__getattribute__(value, '_what')}")
    summed = {name: decays.get(name, 0.0) + others.get(name, 0.0) for name in {**decays, **others}}
    result = Gradient if kinds == {Gradient, Parameter} else cls
    return _made(result, run, factor + more, origin if origin is not None else other_origin, summed)


def _names(*some: Any) -> set[str]:
    """The parameters whose arrays come together; those of two may have other shapes."""
    names = {name for value in some for name in decays_of(value)}
    return names | {_parts(value)[1] for value in some if type(value) is Gradient}


def _made(cls: type, run: Any, factor: float, origin: Any, decays: dict[str, float]) -> Any:
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
    result: Squares = _made(Squares, run_of(value), 0.0, None, {name: factor * factor})
    return result


def summed(value: Squares) -> Loss:
    """np.sum of squares."""
    result: Loss = _made(Loss, run_of(value), 0.0, None, dict(decays_of(value)))
    return result


def loss_of(value: Loss) -> tuple[float, Any]:
    """(The factor of the loss, the pass it is of)."""
    factor, origin, _ = _parts(value)
    return factor, origin


def decays_of(value: Any) -> dict[str, float]:
    """By the names of parameters: the factors of the sums of their squares, or of themselves."""
    decays: dict[str, float] = object.__getattribute__(value, "_decays")
    return decays


def is_gradient(value: Any, name: str) -> bool:
    """Whether this is the gradient of that parameter, perhaps with weight decay."""
    return type(value) is Gradient and _parts(value)[:2] == (1.0, name)


# NumPy and the builtins, as far as methods may name them


class Numpy(StandIn):
    """For the module: `sum` and `square` of what stands in a weight decay, and the names of two dtypes."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name in ("float32", "float64"):
            return getattr(np, name)
        run = run_of(self)
        if name == "sum":
            return Call(run, "np.sum", lambda a, *, dtype=np.float64: _of_array(run, summed, Squares, a, dtype))
        if name == "power":
            return Call(run, "np.power", lambda a, n: _of_array(run, lambda W: W**n, Parameter, a, np.float64))
        if name == "square":
            return Call(run, "np.square", lambda a, *, dtype=np.float64: _of_array(run, squared, Parameter, a, dtype))
        raise run.refuse(f"it names np.{name}")


def _of_array(run: Any, function: Callable[[Any], Any], kind: type, value: Any, dtype: Any) -> Any:
    """The sum of squares, or the squares of a parameter; in float64 where a dtype is given, as the loop sums."""
    if type(value) is not kind or dtype is not np.float64:
        raise run.refuse(f"it computes with np.{'sum' if kind is Squares else 'square'}")
    return function(value)


def as_float(run: Any) -> Call:
    """For Python's float, of which a loss or a sum of squares is one already."""
    return Call(
        run, "float", lambda value=0.0: _made(Loss, run, *_parts(value)) if type(value) is Loss else float(value)
    )


class Class(StandIn):
    """For a class that a method names: its own methods, called with self, and what isinstance asks for."""

    __slots__ = ("_cls",)

    def __init__(self, run: Any, cls: type) -> None:
        super().__init__(run, cls.__name__)
        object.__setattr__(self, "_cls", cls)

    def __getattribute__(self, name: str) -> Any:
        run, cls = run_of(self), object.__getattribute__(self, "_cls")
        method = run.method_of(cls, name, above=False)

        def with_self(self: Any, *arguments: Any, **named: Any) -> Any:
            if self is not run.self:
                raise run.refuse(f"it calls {name} of {cls.__name__} with something else than self")
            return method(*arguments, **named)

        return Call(run, name, with_self)


def class_of(value: Any) -> Any:
    """The class that a stand-in is for; anything else as it is, and each of a tuple."""
    if type(value) is tuple:
        return tuple(map(class_of, value))
    return object.__getattribute__(value, "_cls") if type(value) is Class else value


def is_instance(run: Any) -> Call:
    """For isinstance, of a layer, or of what is no stand-in: a number, a string, a dict or a list."""

    def isinstance_(value: Any, kinds: Any) -> bool:
        layer = run.layer_of(value)
        if layer is None and issubclass(type(value), StandIn):
            raise run.refuse(f"it asks for the class of {object.__getattribute__(value, '_what')}")
        if layer is not None:
            run.reads.attribute(type(layer), "__mro__")
        return isinstance(value if layer is None else layer, class_of(kinds))

    return Call(run, "isinstance", isinstance_)


def has_attribute(run: Any) -> Call:
    """For hasattr, of a layer."""

    def hasattr_(value: Any, name: Any) -> bool:
        layer = run.layer_of(value)
        if layer is None or type(name) is not str:
            raise run.refuse("it asks whether something has an attribute")
        has = bool(run.reads.result(_has, (layer, name)))
        if not has and name not in ("W", "b"):  # the layer may come to have it
            raise run.refuse(f"it asks whether a layer has {name}")
        return has

    return Call(run, "hasattr", hasattr_)


def _has(of: tuple[Any, str]) -> bool:
    return hasattr(*of)


def get_attribute(run: Any) -> Call:
    """For getattr, of self, a layer or the last layer."""

    def getattr_(value: Any, name: Any) -> Any:
        if not issubclass(type(value), StandIn) or type(name) is not str or name.startswith("__"):
            raise run.refuse("it reads an attribute by a name that isn't known")
        read: Any = type(value).__getattribute__
        return read(value, name)

    return Call(run, "getattr", getattr_)
