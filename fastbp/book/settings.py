"""What the import hook is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastbp.book.known import MODULES
from fastbp.boundary.arguments import whole_number

DIALECTS = ("auto", "ko", "ja")


@dataclass(frozen=True)
class Settings:
    """What is replaced, and how. `only` names modules such as "layers"; () means all."""

    dialect: str = "auto"
    only: tuple[str, ...] = ()
    compare: int = 0
    dtype: str = ""

    def __post_init__(self) -> None:
        if self.dialect not in DIALECTS:
            raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}, got {self.dialect!r}")
        known = [module for modules in MODULES.values() for module in modules]
        for module in self.only:
            if module not in known:
                raise ValueError(f"only must name modules of {', '.join(known)}, got {module!r}")
        if self.dtype not in ("", "float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype!r}")
        whole_number(self.compare, "compare", 0)


def modules_of(only: str | Sequence[str]) -> tuple[str, ...]:
    """The names of modules in a sequence, or between the commas of a string; with or without their package.

    TypeError where one isn't a string.
    """
    names = only.split(",") if isinstance(only, str) else only
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"only must hold names of modules, got {wrong[0]!r}")
    return tuple(_without_package(name.strip()) for name in names if name.strip())


def _without_package(name: str) -> str:
    package, _, module = name.rpartition(".")
    return module if package in MODULES else name
