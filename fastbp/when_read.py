"""What the book's layers keep and ours don't: made when it is read, of what forward kept, and free to be assigned."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")


class MadeWhenRead(Generic[Value]):
    """Decorates a method that makes an attribute each time that it is read, until one is assigned: that is read then.

    What is assigned stands in the object's own dict, as in the book, where Python looks before it asks this class,
    which has no `__set__`. A forward pass of ours takes it away again, see `forget`. A change in place of what was made
    would be lost, and so is an error; but of what lies in an array of the layer's own, as `col_W` does in W.
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, layer: None, cls: type) -> Self: ...
    @overload
    def __get__(self, layer: object, cls: type | None = None) -> Value: ...
    def __get__(self, layer: object, cls: type | None = None) -> Self | Value:
        if layer is None:
            return self
        value = self._make(layer)
        if isinstance(value, np.ndarray) and not _lies_in(value, vars(layer).values()):
            value.flags.writeable = False
        return value

    if TYPE_CHECKING:

        def __set__(self, layer: object, value: Any) -> None: ...


def _lies_in(value: NDArray[Any], others: Iterable[Any]) -> bool:
    return any(isinstance(other, np.ndarray) and np.may_share_memory(value, other) for other in others)


def assigned(layer: object, *names: str) -> bool:
    """Whether one of these was assigned since our last forward: by a subclass's own, or by a pickle of the book's."""
    own = vars(layer)
    for name in names:
        if own.get(name) is not None:
            return True
    return False


def forget(layer: object, *names: str) -> None:
    """From now on these are made anew when they are read."""
    own = vars(layer)
    for name in names:
        own.pop(name, None)
