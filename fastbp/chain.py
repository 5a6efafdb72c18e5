"""What a network is: its layers in order, its loss, and which layer holds which parameter.

A network, as the book writes one, has `params`, a dict of arrays; `layers`, a dict (chapter 5) or a list (chapter 8),
through which samples pass in order; and `last_layer` (chapters 7 and 8) or `lastLayer` (chapter 5), the loss. A layer
holds a parameter by having the very array (`layer.W is params["W1"]`) or a view of it (`params["W1"].T`), itself or
in a block, list or dict of its own.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.reads import Reads

LOSS_NAMES = ("last_layer", "lastLayer")

# What layers keep for their backward pass and what that computes, in the book's names: arrays that are no parameters,
# though their shape may be that of one.
_NO_PARAMETERS = {
    *("x", "out", "y", "t", "mask", "col", "col_W", "xc", "xn", "std", "arg_max", "loss"),
    *("running_mean", "running_var", "_mean", "_std", "_x", "_t", "_given", "_forward", "grads", "grad"),
}
# What a search for arrays doesn't enter.
_CLOSED = (str, bytes, int, float, complex, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, np.generic)
MOST_OBJECTS = 10_000  # that a search looks at in a layer, which may hold a whole data set in lists


class NotCompilable(ValueError):
    """Why a network or an optimizer can't run in the compiled loop."""


@dataclass(frozen=True)
class Place:
    """Where a layer holds an array: `owner`, the layer or something in it, has it as attribute or item `key`."""

    layer: Any
    owner: Any
    key: Any
    array: NDArray[Any]
    place: str  # the layer, from the network: .layers['Affine1']
    within: str  # the array, from the layer: .W

    @property
    def path(self) -> str:
        """How one writes the array."""
        return f"network{self.place}{self.within}"

    def read(self, reads: Reads) -> None:
        """Notes that the array stands here."""
        if isinstance(self.owner, dict | list | tuple):
            reads.contents(self.owner)
        elif isinstance(self.key, str):
            reads.attribute(self.owner, self.key)


class Chain:
    """One reading of a network. `layers` in order, `loss` (None where there is none), `params` as the network has it.

    It may lack any of its parts; who needs one asks for it.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.params: Any = getattr(network, "params", None)
        self.container: Any = getattr(network, "layers", None)
        self.loss: Any = next((getattr(network, name) for name in LOSS_NAMES if hasattr(network, name)), None)
        self.layers: list[Any] = [layer for _, layer in _entries(self.container)]

    def note(self, reads: Reads) -> None:
        """Notes what makes the network one of these layers, this loss, and this dict of parameters."""
        for name in ("layers", "params", *LOSS_NAMES):
            reads.attribute(self.network, name)
        if isinstance(self.container, dict | list | tuple):
            reads.contents(self.container)
        else:
            reads.result(_entries, self.container)

    @property
    def name(self) -> str:
        """The name of the network's class."""
        return type(self.network).__name__

    def forward(self, x: Any, *, trains: bool = True) -> Any:
        """The scores: x through all layers, those that differ between training and prediction told which it is."""
        for layer in self.layers:
            x = layer.forward(x, False) if not trains and has_flag(layer) else layer.forward(x)
        return x

    def backward(self, dout: Any) -> Any:
        """The gradient of x, from that of the scores: through all layers, the last one first."""
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    @cached_property
    def places(self) -> list[Place]:
        """Where the layers hold arrays: every array that is found in them, once in each object that has it."""
        found = []
        seen = {id(self.network)}
        for where, layer in _entries(self.container):
            for owner, key, array, within in _arrays_in(layer, seen):
                found.append(Place(layer, owner, key, array, f".layers[{where!r}]", within))
        return found

    @cached_property
    def loss_places(self) -> list[Place]:
        """Where the loss holds arrays, beside those that the layers hold."""
        found = {id(place.owner) for place in self.places}
        seen = {id(self.network), id(self.params), id(self.container), *map(id, self.layers), *found}
        where = next((name for name in LOSS_NAMES if hasattr(self.network, name)), "")
        arrays = _arrays_in(self.loss, seen) if where else ()
        return [Place(self.loss, owner, key, array, f".{where}", within) for owner, key, array, within in arrays]

    def holders(self, name: str) -> list[Place]:
        """Where layers hold `params[name]`, or memory of it."""
        array = self.params[name]
        return [place for place in self.places if place.array is array or overlap(place.array, array)]

    def check_held(self, reads: Reads | None = None) -> None:
        """ValueError naming the parameters that came apart from their layers: they would not be trained, or checked.

        That is one of which no layer holds any memory while a layer has an array of its shape that is no parameter's.
        What can't be found is not judged: a network may use a parameter without a layer. While what goes to `reads` is
        the same, the verdict is.
        """
        strays: list[Place] | None = None
        apart = []
        for name, array in self.params.items():
            holders = self.holders(name)
            if not holders:
                strays = [place for place in self.places if self._is_stray(place)] if strays is None else strays
                apart += [(name, array, place) for place in strays if place.array.shape == np.shape(array)][:1]
            if reads is not None:
                for place in holders:
                    place.read(reads)
        if reads is not None:
            reads.contents(self.params)
        if apart:
            raise came_apart(apart)

    def _is_stray(self, place: Place) -> bool:
        """Whether this may once have been a parameter, and shares memory with none."""
        names = re.findall(r"\.(\w+)", place.within)  # without the keys of dicts
        if not names or names[-1] in _NO_PARAMETERS or _is_gradient(place.owner, names[-1]):
            return False
        return place.array.dtype.kind == "f" and not any(overlap(place.array, each) for each in self.params.values())


def _is_gradient(owner: Any, name: str) -> bool:
    """Whether an attribute is that of another one's gradient, as dW is W's."""
    return name.startswith("d") and hasattr(owner, name[1:])


def has_flag(layer: Any) -> bool:
    """Whether a layer's `forward` takes `train_flg`, as Dropout's does."""
    try:
        return "train_flg" in inspect.signature(layer.forward).parameters
    except (TypeError, ValueError):
        return False


def overlap(some: Any, other: Any) -> bool:
    """Whether two arrays share an element's memory."""
    if not (isinstance(some, np.ndarray) and isinstance(other, np.ndarray) and np.may_share_memory(some, other)):
        return False
    try:
        return np.shares_memory(some, other, 10_000)  # type: ignore[arg-type]  # any number of steps, not two
    except np.exceptions.TooHardError:
        return True


def came_apart(apart: list[tuple[str, Any, Place]]) -> ValueError:
    """What to say of parameters whose layers have other arrays in their place."""
    name, array, place = apart[0]
    equal = isinstance(array, np.ndarray) and np.array_equal(array, place.array)
    after = ", as after a copy or joblib.load," if equal else ","
    ties = "; ".join(f"{place.path} = network.params[{name!r}]" for name, _, place in apart)
    return ValueError(
        f"no layer holds params[{name!r}]: {place.path} is another array of its shape{after} and training one would "
        f"not change the other. Tie them again ({ties}), and change parameters in place (params[{name!r}][...] = value)"
    )


def share_memory(arrays: Iterable[Any]) -> bool:
    """Whether some of these contiguous arrays, views or the same array twice, overlap in memory."""
    places = sorted((int(a.ctypes.data), a.nbytes) for a in arrays if isinstance(a, np.ndarray) and a.nbytes)
    return any(start + size > after for (start, size), (after, _) in pairwise(places))


def _entries(container: Any) -> list[tuple[Any, Any]]:
    """(Key or index, layer) of what has `forward` in a dict or list."""
    if isinstance(container, Mapping):
        items: Iterable[tuple[Any, Any]] = container.items()
    elif isinstance(container, Iterable) and not isinstance(container, str | np.ndarray):
        items = enumerate(container)
    else:
        return []
    return [(key, layer) for key, layer in items if hasattr(layer, "forward")]


def _arrays_in(root: Any, seen: set[int]) -> Iterator[tuple[Any, Any, Any, str]]:
    """(Owner, key, array, path) for each array that can be reached from an object through attributes and containers."""
    waiting, looked_at = [(root, "")], 0
    while waiting and looked_at < MOST_OBJECTS:
        owner, path = waiting.pop()
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        looked_at += 1
        for key, value, way in _parts(owner):
            if isinstance(value, np.ndarray):
                yield owner, key, value, path + way
            elif not isinstance(value, _CLOSED) and value is not None:
                waiting.append((value, path + way))


def _parts(owner: Any) -> Iterable[tuple[Any, Any, str]]:
    """(Key, value, how one writes it) of an object's attributes, or of a container's items."""
    if isinstance(owner, Mapping):
        return [(key, value, f"[{key!r}]") for key, value in owner.items()]
    if isinstance(owner, list | tuple):
        return [(index, value, f"[{index}]") for index, value in enumerate(owner)]
    if isinstance(owner, set | frozenset):
        return [(None, value, "") for value in owner]
    return [(key, value, f".{key}") for key, value in _attributes_of(owner).items()]


def _attributes_of(value: Any) -> dict[str, Any]:
    """The attributes that an object itself has, in its __dict__ and its slots."""
    found = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found.setdefault(name, getattr(value, name))
    return found
