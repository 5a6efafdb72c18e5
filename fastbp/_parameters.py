"""Which layer holds which parameter: in the book's networks `params["W1"] is layers["Affine1"].W`."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np


def layers_of(network: Any) -> list[Any]:
    """What has `forward` in `network.layers`, a dict (the book's chapter 5) or a list (its chapter 8)."""
    layers = getattr(network, "layers", ())
    layers = layers.values() if isinstance(layers, Mapping) else layers
    return [layer for layer in layers if hasattr(layer, "forward")] if isinstance(layers, Iterable) else []


def holders(network: Any) -> list[tuple[str, Any, str]]:
    """(name, layer, attribute) for each place where a layer holds a parameter. ValueError when none does."""
    attributes = [(layer, key, getattr(layer, key, None)) for layer in layers_of(network) for key in _keys(layer)]
    found = []
    for name, parameter in network.params.items():
        places = [(name, layer, key) for layer, key, value in attributes if value is parameter]
        if not places:
            raise not_held(name)
        found += places
    return found


def not_held(name: str) -> ValueError:
    return ValueError(
        f"no layer holds params[{name!r}]: an attribute (W, b) of one must be that very array, so change parameters "
        f"in place (params[{name!r}][...] = value)"
    )


def share_memory(arrays: Iterable[Any]) -> bool:
    """Whether some of these contiguous arrays, views or the same array twice, overlap in memory."""
    places = sorted((int(a.ctypes.data), a.nbytes) for a in arrays if isinstance(a, np.ndarray) and a.nbytes)
    return any(start + size > after for (start, size), (after, _) in pairwise(places))


def _keys(layer: Any) -> set[str]:
    slots = [getattr(cls, "__slots__", ()) for cls in type(layer).__mro__]
    return {*getattr(layer, "__dict__", ())}.union(*((keys,) if isinstance(keys, str) else keys for keys in slots))
