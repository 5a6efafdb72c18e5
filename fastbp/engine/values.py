"""What a network's methods get instead of arrays when `engine/proof.py` calls them: values that tell nothing.

All of them refuse every operation but the few that their class defines: those that hand a value on, and those of weight
decay, ½·λ·ΣW² in the loss and λ·W in a gradient, as readers write it: `np.sum(W**2)`, `(W * W).sum()`,
`np.sum(np.square(W))`, times and divided by numbers, added up in any order.
"""

from typing import Any

import numpy as np


class NotProved(Exception):
    """Why a method can't be proved to do what the layers do."""


def run_of(value: Any) -> Any:
    """The run that a stand-in belongs to."""
    return object.__getattribute__(value, "_run")


_NAMES = {
    "bool": "asks for the truth of",
    "len": "asks for the length of",
    "iter": "goes through",
    "getitem": "takes a part of",
    "setitem": "changes a part of",
    "contains": "looks into",
    "eq": "compares",
    "ne": "compares",
    "lt": "compares",
    "le": "compares",
    "gt": "compares",
    "ge": "compares",
    "hash": "takes as a key",
    "call": "calls",
    "float": "takes as a number",
    "int": "takes as a number",
    "index": "takes as a number",
    "str": "prints",
    "repr": "prints",
    "format": "prints",
}
_ARITHMETIC = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()
_OTHERS = (
    "neg pos abs invert complex bytes delitem reversed next enter exit round trunc floor ceil array array_function "
    "array_wrap array_interface array_struct buffer await aiter anext dir sizeof reduce reduce_ex copy deepcopy fspath "
    "length_hint missing setattr delattr get set"
).split()


def _refusing(name: str) -> Any:
    does = _NAMES.get(name, "computes with")

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


for _name in [*_NAMES, *_OTHERS, *_ARITHMETIC, *(f"{side}{name}" for side in "ri" for name in _ARITHMETIC)]:
    setattr(StandIn, f"__{_name}__", _refusing(_name))


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
    return type(value) in (int, float) or issubclass(type(value), np.integer | np.floating)


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
    if origin is not None and number != 1:
        raise run.refuse(f"it multiplies {object.__getattribute__(value, '_what')}")
    return _made(cls, run, factor, origin, {name: scale(each) for name, each in decays.items()})


def _sum(value: Any, other: Any) -> Any:
    run, cls = run_of(value), type(value)
    if _is_number(other) and other == 0 and cls is Loss:  # where sums begin
        return value
    kinds = {cls, type(other)}
    if not (kinds <= {Loss} or kinds <= {Gradient, Parameter} or (kinds <= {Squares} and _one_name(value, other))):
        raise run.refuse(f"it adds something to {object.__getattribute__(value, '_what')}")
    (factor, origin, decays), (more, other_origin, others) = _parts(value), _parts(other)
    if origin is not None and other_origin is not None:
        raise run.refuse(f"it adds up two of {object.__getattribute__(value, '_what')}")
    summed = {name: decays.get(name, 0.0) + others.get(name, 0.0) for name in {**decays, **others}}
    result = Gradient if kinds == {Gradient, Parameter} else cls
    return _made(result, run, factor + more, origin if origin is not None else other_origin, summed)


def _one_name(*some: Any) -> bool:
    """Whether arrays of different shapes can't come together."""
    return len({name for value in some for name in decays_of(value)}) == 1


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
        return _Sum(run_of(self), self) if name == "sum" else super().__getattribute__(name)


class _Sum(StandIn):
    """For `.sum` of squares."""

    __slots__ = ("_squares",)

    def __init__(self, run: Any, squares: Squares) -> None:
        super().__init__(run)
        object.__setattr__(self, "_squares", squares)

    def __call__(self) -> Loss:
        return summed(object.__getattribute__(self, "_squares"))


def squared(value: Parameter) -> Squares:
    """np.square of a parameter."""
    if not _one_name(value):
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


class Functions(StandIn):
    """For the module numpy: `sum` and `square` of what stands in a weight decay, and the names of two dtypes."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name in ("sum", "square"):
            return _Function(run_of(self), name)
        if name in ("float32", "float64"):
            return getattr(np, name)
        raise run_of(self).refuse(f"it names np.{name}")


class _Function(StandIn):
    """For np.sum or np.square, of one argument; the squares may be asked for in float64, in which the loop sums."""

    __slots__ = ("_name",)

    def __init__(self, run: Any, name: str) -> None:
        super().__init__(run)
        object.__setattr__(self, "_name", name)

    def __call__(self, value: Any, *, dtype: Any = np.float64) -> Any:
        name = object.__getattribute__(self, "_name")
        if dtype is not np.float64 or type(value) is not (Squares if name == "sum" else Parameter):
            raise run_of(self).refuse(f"it calls np.{name}")
        result: Any = value
        return summed(result) if name == "sum" else squared(result)


class Float(StandIn):
    """For Python's float, of which a loss or a sum of squares is one already."""

    __slots__ = ()

    def __call__(self, value: Any = 0.0) -> Any:
        return value if type(value) is Loss else float(value)


class IsInstance(StandIn):
    """For isinstance, of what is no stand-in: a number, a string, a dict or a list."""

    __slots__ = ()

    def __call__(self, value: Any, kinds: Any) -> bool:
        if issubclass(type(value), StandIn):
            raise run_of(self).refuse(f"it asks for the class of {object.__getattribute__(value, '_what')}")
        return isinstance(value, kinds)
