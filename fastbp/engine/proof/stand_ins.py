"""What stands in for NumPy, classes and a few builtins in a network's methods when `proving.py` calls them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine.proof.values import Call, Loss, Parameter, Squares, StandIn, made, parts_of, run_of, squared, summed


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
        run, "float", lambda value=0.0: made(Loss, run, *parts_of(value)) if type(value) is Loss else float(value)
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


def without_dx(run: Any) -> Call:
    """For `backward_without_dx`: the backward pass of a layer, of which nothing is returned."""

    def backward_without_dx(layer: Any, dout: Any) -> None:
        if run.layer_of(layer) is None:
            raise run.refuse("it passes a gradient back through what is no layer of the chain")
        layer.backward(dout)

    return Call(run, "backward_without_dx", backward_without_dx)


_NEVER_MADE = ("W", "b", "dropout_ratio")  # by a method of a layer: only a constructor sets them


def has_attribute(run: Any) -> Call:
    """For hasattr, of a layer."""

    def hasattr_(value: Any, name: Any) -> bool:
        layer = run.layer_of(value)
        if layer is None or type(name) is not str:
            raise run.refuse("it asks whether something has an attribute")
        has = bool(run.reads.result(_has, (layer, name)))
        if not has and name not in _NEVER_MADE:  # the layer may come to have it
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
