"""The import hook: `common.layers` and its like are made of what fastbp has and of what a script's owner changed."""

import ast
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location, spec_from_loader
from types import ModuleType
from typing import Any

from fastbp.book import adoption, bindings, comparison
from fastbp.book.known import MODULES, OF_DIALECT, forms
from fastbp.book.mnist import or_the_owners
from fastbp.book.owner import Owner, Source
from fastbp.book.settings import Settings
from fastbp.book.syntax import digest

# Names that only the Korean edition has.
KOREAN = {"mean_squared_error", "numerical_gradient_2d"}
_STAND_INS = "__fastbp_stand_ins__"


@dataclass
class Replaced:
    """What was found and done so far, for the last line."""

    dialect: str = ""
    stand_ins: dict[str, list[str]] = field(default_factory=dict)  # common.layers -> the names that are ours
    left: dict[str, dict[str, str]] = field(default_factory=dict)  # common.layers -> Relu -> "changed"
    foreign: list[str] = field(default_factory=list)  # packages that are not the book's


class BookFinder(MetaPathFinder):
    """Finds the book's modules before Python does, and leaves every other to it."""

    def __init__(self, settings: Settings, names: Iterable[str] = ()) -> None:
        self.settings = settings
        self.replaced = Replaced()
        self._names = set(names)  # what the script imports, for a dialect where there is no `common`
        self._owners: dict[tuple[str, ...], Owner] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = fullname.partition(".")
        if package not in MODULES or (module and module not in MODULES[package]):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if not module:
            return None if spec is not None else self._empty_package(package)
        if spec is None:
            return self._whole_module(fullname, module, path)
        return self._own_module(spec, package, module, path or ())

    def stand_in(self, owner: Owner, module: str, name: str) -> tuple[Any, str]:
        """What runs instead of an owner's definition, and why nothing does: (object, "") or (None, reason)."""
        reason = owner.difference(module, name)
        if reason:
            return None, reason
        if not self._wanted(module):
            return None, "--only"
        for used in owner.uses(module, name):
            if self._is_class(owner, *used) and used[0] != module and self.stand_in(owner, *used)[0] is None:
                return None, f"uses {used[1]}"
        source = owner.source(module)
        assert source is not None
        found = lookup(self._spelling(module, name, source))
        if isinstance(found, type) and found in bindings.gave_way:
            return None, f"uses {bindings.gave_way[found]}"
        return found, "" if found is not None else "not in fastbp"

    def _spelling(self, module: str, name: str, source: Source) -> str:
        known = forms(module)[name][digest(source.definitions[name])]
        return OF_DIALECT.get(self.settings.dialect, {}).get(f"{module}.{name}", known) if known else ""

    def _wanted(self, module: str) -> bool:
        return not self.settings.only or module in self.settings.only

    def _is_class(self, owner: Owner, module: str, name: str) -> bool:
        source = owner.source(module)
        return source is not None and isinstance(source.definitions.get(name), ast.ClassDef)

    def _own_module(self, spec: ModuleSpec, package: str, module: str, path: Sequence[str]) -> ModuleSpec | None:
        """A module of the owner's, with what is the book's replaced; None where nothing of it is."""
        owner = self._owners.setdefault((package, *path), Owner(package, path))
        if owner.read_again(module):
            comparison.forget(package)
        source = owner.source(module)
        if source is None or not isinstance(spec.loader, SourceFileLoader):
            if spec.submodule_search_locations is not None:
                self.replaced.left[spec.name] = {"all": "a package"}
            return None
        if not owner.is_the_books:
            if package not in self.replaced.foreign:
                self.replaced.foreign.append(package)
            return None
        if not self.replaced.dialect and package == "common":
            self.replaced.dialect = self._dialect_of(owner)
        ours, left = {}, {}
        for name, statement in source.definitions.items():
            known = forms(module).get(name)
            if isinstance(statement, ast.Assign | ast.AnnAssign) or (known and "" in known.values()):
                continue
            found, reason = self.stand_in(owner, module, name)
            if found is not None:
                ours[name] = found
            elif known or reason == "added":
                left[name] = reason
        self._note(spec.name, ours, left)
        if not ours:
            return None
        if package == "dataset":
            ours = {name: self._or_the_owners(spec.name, name, found) for name, found in ours.items()}

        def note(name: str, reason: str) -> None:
            self.replaced.stand_ins[spec.name] = [each for each in self.replaced.stand_ins[spec.name] if each != name]
            self.replaced.left.setdefault(spec.name, {})[name] = reason

        loader = _MixedLoader(spec.name, owner, source, ours, self.settings, note)
        return spec_from_file_location(spec.name, source.file, loader=loader)

    def _whole_module(self, fullname: str, module: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """A module that the script lacks, whole from fastbp, where the package is ours as well."""
        if not any(entry == _PLACE for entry in path or ()) or not self._wanted(module):
            return None
        self.replaced.dialect = self.replaced.dialect or self._dialect_of(None)
        ours = contents(module, self.replaced.dialect)
        self._note(fullname, {name: ours[name] for name in ours if name in forms(module)}, {})
        return spec_from_loader(fullname, _WholeLoader(ours, self.settings), origin="fastbp")

    def _or_the_owners(self, fullname: str, name: str, load: Any) -> Any:
        """What loads MNIST, from the owner's own files where fastbp can't get it; the last line says so."""

        def own() -> Any:
            return getattr(comparison.owner_module(fullname), name)

        def note() -> None:
            self.replaced.left.setdefault(fullname, {})[name] = "MNIST could not be downloaded"

        return or_the_owners(load, own, note)

    def _empty_package(self, package: str) -> ModuleSpec:
        spec = ModuleSpec(package, _WholeLoader({}, self.settings), origin="fastbp", is_package=True)
        spec.submodule_search_locations = [_PLACE]
        return spec

    def _dialect_of(self, owner: Owner | None) -> str:
        if self.settings.dialect != "auto":
            return self.settings.dialect
        source = owner.source("functions") if owner is not None else None
        names = self._names if source is None else set(source.definitions)
        return "ko" if names & KOREAN and "sum_squared_error" not in names else "ja"

    def _note(self, fullname: str, ours: dict[str, Any], left: dict[str, str]) -> None:
        self.replaced.stand_ins[fullname] = sorted(ours)
        if left:
            self.replaced.left[fullname] = left


_PLACE = "(fastbp)"  # the search path of a package that only fastbp has


class _MixedLoader(SourceFileLoader):
    """Runs an owner's module with some of its definitions taken from fastbp, each in its place."""

    def __init__(
        self,
        fullname: str,
        owner: Owner,
        source: Source,
        ours: dict[str, Any],
        settings: Settings,
        note: Callable[[str, str], None],
    ) -> None:
        super().__init__(fullname, source.file)
        self._owner, self._source, self._ours = owner, source, ours
        self._settings, self._note = settings, note

    def exec_module(self, module: ModuleType) -> None:
        body = [self._replaced(statement) for statement in self._source.tree.body]
        tree = ast.fix_missing_locations(ast.Module(body, type_ignores=[]))
        code = compile(tree, self.path, "exec", dont_inherit=True)
        ours = adoption.adopt(self._ours, module.__name__, self._settings, self._own)
        ours = bindings.stand_ins(self._owner, self._source, ours, module.__dict__, self._note)
        setattr(module, _STAND_INS, ours)
        exec(code, module.__dict__)
        delattr(module, _STAND_INS)
        bindings.follow(self._owner, module)

    def _replaced(self, statement: ast.stmt) -> ast.stmt:
        name = getattr(statement, "name", "")
        if name not in self._ours:
            return statement
        taken = ast.parse(f"{name} = {_STAND_INS}[{name!r}]").body[0]
        for each in ast.walk(taken):
            ast.copy_location(each, statement)
        return taken

    def _own(self, name: str) -> Any:
        """The owner's own definition, from the module run as it stands."""
        return getattr(comparison.owner_module(self.name), name)


class _WholeLoader(Loader):
    """Makes a module of what fastbp has."""

    def __init__(self, ours: dict[str, Any], settings: Settings) -> None:
        self._ours, self._settings = ours, settings

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(adoption.adopt(self._ours, module.__name__, self._settings, None))
        bindings.follow_whole(module)


def lookup(spelling: str) -> Any:
    """What `layers.Relu` names in fastbp.book; None where fastbp has no such thing."""
    module, _, name = spelling.partition(".")
    return getattr(import_module(f"fastbp.book.{module}"), name, None) if module else None


def contents(module: str, dialect: str) -> dict[str, Any]:
    """All names of one of the book's modules in a dialect."""
    whole = vars(import_module(f"fastbp.book.{module}"))
    found = {name: value for name, value in whole.items() if not name.startswith("__")}
    for name in forms(module):
        if spelling := OF_DIALECT[dialect].get(f"{module}.{name}"):
            found[name] = lookup(spelling)
    return found


def install(settings: Settings, names: Iterable[str] = ()) -> BookFinder:
    """Puts the hook in place, once: a finder that is there already gets the new settings for what is imported next."""
    comparison.batches[0] = settings.compare
    found = installed()
    if found is not None:
        found.settings = settings
        return found
    finder = BookFinder(settings, names)
    sys.meta_path.insert(0, finder)
    return finder


def installed() -> BookFinder | None:
    """The hook of this process, if it has one."""
    return next((finder for finder in sys.meta_path if isinstance(finder, BookFinder)), None)
