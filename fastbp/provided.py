"""What upper floors put in for lower ones to use: networks and the nodes of graphs don't know who gave it.

`fastbp/__init__.py` and `fastbp/graph/__init__.py` say what there is. It is loaded at its first use, and not here.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

_PLACES: dict[str, tuple[str, str]] = {}


def provide(what: str, module: str, name: str) -> None:
    """From now on `module.name` does this."""
    _PLACES[what] = module, name


def provided(what: str) -> Callable[..., Any] | None:
    """Who does this; None where nobody was put in."""
    if what not in _PLACES:
        return None
    module, name = _PLACES[what]
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
