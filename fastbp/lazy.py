"""Public names, loaded at their first use. A package's `__init__.pyi` is the one list of them, type checkers' too."""

import builtins
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package: they know the names that its `__init__.pyi` imports, and `__all__`.

    `__all__` has no submodule, and no name that would hide one of Python's own.
    """

    def find(name: str) -> Any:
        if name == "__all__":
            found = [each for each, module in names(package).items() if module != package and not is_builtin(each)]
            return [*found, *({"__version__"} & vars(sys.modules[package]).keys())]
        module = None if name.startswith("__") else names(package).get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home: Any = import_module(f"{package}.{name}" if module == package else module)
        # A module that can be called stands for what it calls: an import of it would bind it to the name anyway.
        is_itself = home.__name__ == f"{package}.{name}" and (module == package or callable(home))
        value = home if is_itself else getattr(home, name)
        setattr(sys.modules[package], name, value)
        return value

    def all_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names(package)})

    return find, all_names


@cache
def names(package: str) -> dict[str, str]:
    """The module of each public name, in the order of the list; a submodule's is the package itself."""
    found: dict[str, str] = {}
    for line in _stub(package).splitlines():
        match line.split():
            case ["from", module, "import", "*"]:
                found |= {name: home for name, home in names(module).items() if home != module}
            case ["from", module, "import", name, "as", _]:
                found[name] = module
    return found


def classes(package: str) -> list[type]:
    """The public classes of a package, in the order of its list."""
    values = (getattr(import_module(package), name) for name in names(package))
    return [value for value in values if isinstance(value, type)]


def is_builtin(name: str) -> bool:
    """Whether Python has something of this name: `from fastbp import *` leaves it alone."""
    return hasattr(builtins, name)


def _stub(package: str) -> str:
    """The text of `__init__.pyi`, out of a folder or a zip. ImportError where it wasn't packed with the code."""
    root, *rooms = package.split(".")
    spec: Any = sys.modules[root].__spec__
    separator = "/" if "/" in spec.origin else "\\"
    path = separator.join([spec.origin.rpartition(separator)[0], *rooms, "__init__.pyi"])
    try:
        content: bytes = spec.loader.get_data(path)
    except OSError:
        raise ImportError(f"{package} lacks its __init__.pyi, which lists its names: pack it with the code") from None
    return content.decode()
