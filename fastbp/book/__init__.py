"""The book's modules from fastbp: `common.layers` and its like, and `dataset.mnist`, for code that imports those.

`fastbp run SCRIPT` puts them in the place of a script's own `common`; `install()` does so in a notebook, before its
first import from there. `from fastbp.book.layers import *` takes one of them by its name here.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastbp.book.hook import BookFinder

__all__ = ["install"]


def install(dialect: str = "auto", *, only: str | Sequence[str] = (), compare: int = 0, dtype: str = "") -> "Installed":
    """From now on this process imports the book's modules from fastbp; the arguments are the options of `fastbp run`.

    `dialect` is "ko", "ja", or "auto": as the `common` at hand; `only` names the modules that are replaced, such as
    "layers,optimizer" or ["layers"]; the first `compare` calls of each layer are compared with the `common` at hand;
    kernels compute in `dtype`, "float32" or "float64", whatever the arrays. What is returned shows, whenever it is
    looked at, what `fastbp run` says in its last line. RuntimeError when a module was imported already, but by
    `install` with the same arguments; ValueError and TypeError for arguments that are none of these.
    """
    from fastbp.book import children, hook, known
    from fastbp.book.settings import Settings, modules_of

    settings = Settings(dialect, modules_of(only), compare, dtype)
    modules = [f"{package}.{module}" for package, names in known.MODULES.items() for module in names]
    early, before = [name for name in modules if name in sys.modules], hook.installed()
    if early and before is None:
        raise RuntimeError(f"{early[0]} was imported before: call fastbp.book.install() first, in a new session")
    if early and before is not None and before.settings != settings:
        raise RuntimeError(
            f"{early[0]} was imported by {before.settings}: for other arguments call fastbp.book.install() before "
            "the first import, in a new session"
        )
    finder = hook.install(settings)
    children.follow(settings)
    return Installed(finder)


class Installed:
    """What `install` has done so far, as text."""

    def __init__(self, finder: "BookFinder") -> None:
        self._finder = finder

    def __repr__(self) -> str:
        from fastbp.book import report

        return f"fastbp: {report.text(self._finder)}"
