"""Modules of the script's folder that are named as one of Python's, or as another that fastbp has imported.

Under Python the script finds its own `queue.py`, as its folder is the first for imports. So it does here: what fastbp
imported under that name gives way before the script begins, and fastbp, and what compiles its kernels, go on with it.
"""

import builtins
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import FrozenImporter, all_suffixes
from threading import get_ident
from types import ModuleType
from typing import Any

# Python itself has these before it looks for a script, or they are what runs here.
STAY = {"__main__", "encodings", "sitecustomize", "usercustomize", "fastbp", "numba", "llvmlite"}
# Their imports find what they found before, and so do those of what they import: NumPy loads some of its parts late,
# which Numba asks for.
KEEP = ("fastbp", "numba", "llvmlite", "numpy")


def give_way(folder: str) -> None:
    """From now on imports find the folder's modules, but for those of `KEEP`; where all do anyway, nothing is done."""
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    names = {name for name in _found_in(folder, (loaded | sys.stdlib_module_names) - STAY) if _is_found(name, folder)}
    if names:
        vars(builtins)["__import__"] = _Import(folder, names)


class _Import:
    """`__import__` where some names mean one thing to the script and another to fastbp."""

    def __init__(self, folder: str, names: set[str]) -> None:
        self._folder, self._names = folder, names
        self._import = builtins.__import__
        self._keeping: set[int] = set()  # threads in which one of `KEEP` imports something
        self._kept = self._taken()  # what fastbp has under these names

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        thread = get_ident()
        if thread in self._keeping:
            return self._own(name, globals, locals, fromlist, level)
        if not _is_kept((globals or {}).get("__name__")):
            return self._import(name, globals, locals, fromlist, level)
        self._keeping.add(thread)
        try:
            return self._own(name, globals, locals, fromlist, level)
        finally:
            self._keeping.discard(thread)

    def _own(self, name: str, globals: Any, locals: Any, fromlist: Sequence[str], level: int) -> ModuleType:
        """What fastbp finds under a name."""
        top = name.partition(".")[0]
        if level or top not in self._names:
            return self._import(name, globals, locals, fromlist, level)
        if name in self._kept:
            kept = self._kept[name if fromlist else top]
            if all(hasattr(kept, each) for each in fromlist or ()):
                return kept
        path, the_scripts = sys.path[:], self._taken()
        sys.path[:] = [entry for entry in path if os.path.realpath(entry) != self._folder]
        sys.modules.update(self._kept)
        try:
            return self._import(name, globals, locals, fromlist, level)
        finally:
            self._kept = self._taken()
            sys.modules.update(the_scripts)
            sys.path[:] = path

    def _taken(self) -> dict[str, ModuleType]:
        """What has these names now, taken out of `sys.modules`."""
        found = [name for name in list(sys.modules) if name.partition(".")[0] in self._names]
        return {name: sys.modules.pop(name) for name in found}


def _found_in(folder: str, names: set[str]) -> set[str]:
    """Those of the names that an import would find in a folder, which may hold many other files."""
    found, suffixes = set(), all_suffixes()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, dot, rest = entry.name.partition(".")
                if name in names and (
                    dot + rest in suffixes if dot else os.path.isfile(os.path.join(entry.path, "__init__.py"))
                ):
                    found.add(name)
    except OSError:  # a folder that may be entered, but not listed
        return set()
    return found


def _is_found(name: str, folder: str) -> bool:
    """Whether Python looks for it in folders at all, and what is loaded comes from elsewhere."""
    if name in sys.builtin_module_names or FrozenImporter.find_spec(name) is not None:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or not os.path.realpath(file).startswith(os.path.join(folder, ""))


def _is_kept(importer: Any) -> bool:
    return isinstance(importer, str) and importer.partition(".")[0] in KEEP
