"""What of a script's own `common` is the book's, read from its source: none of it runs for that.

A definition is the book's where its normal form is a known one (`known.py`) and every name that it takes from its
module means what it means in the book: NumPy, or another definition that is the book's. What else is there was changed
or added by its owner, and runs as it stands; so does whatever of the book's uses it.
"""

import ast
import builtins
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder, SourceFileLoader
from typing import Any

from fastbp.book.known import MODULES, forms
from fastbp.book.syntax import digest, names_in

# What the names of other packages mean in the book's modules.
OUTSIDE = {
    "np": "numpy",
    "os": "os",
    "sys": "sys",
    "gzip": "gzip",
    "pickle": "pickle",
    "urllib": "urllib",
    "OrderedDict": "collections.OrderedDict",
    "pairwise": "itertools.pairwise",
}


@dataclass
class Source:
    """The top level of a module: what each name is bound to, and which of them something else happens to."""

    name: str  # layers
    package: str  # common
    file: str
    tree: ast.Module  # of the text that was read, which is the one that runs
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)  # the full name of what a name was imported from
    touched: set[str] = field(default_factory=set)  # bound again, changed, or handed to a function
    opaque: bool = False  # a star import from elsewhere may bind anything


class Owner:
    """An owner's package, `common` or `dataset`, found in the folders `path`. `name` is how it is imported."""

    def __init__(self, name: str, path: Iterable[str]) -> None:
        self.name, self.path = name, list(path)
        self._files: dict[str, tuple[str, str] | None] = {}  # of each module its path and its text
        self._sources: dict[str, Source | None] = {}
        self._verdicts: dict[tuple[str, str], str] = {}

    def source(self, module: str) -> Source | None:
        """The module as it is read; None where there is none, or none that is Python's source."""
        if module not in self._sources:
            self._sources[module] = None  # modules that import each other
            self._sources[module] = self._read(module)
        return self._sources[module]

    def read_again(self, module: str) -> bool:
        """Reads the file of a module that is about to run; whether it holds another text than when it was read."""
        now = self._file(module)
        if self._files.setdefault(module, now) == now:
            return False
        self._files[module] = now
        self._sources.clear()
        self._verdicts.clear()
        return True

    @property
    def is_the_books(self) -> bool:
        """Whether at least half of what is named as in the book is as in the book, and nothing happens beside."""
        named = [(m, n) for m in MODULES[self.name] if (s := self.source(m)) for n in s.definitions if n in forms(m)]
        known = [(module, name) for module, name in named if not self.difference(module, name)]
        return bool(named) and 2 * len(known) >= len(named) and self._init_is_plain()

    def difference(self, module: str, name: str) -> str:
        """Why a definition is not the book's, "changed", "added" or "uses" and what; "" where it is."""
        key = (module, name)
        if key not in self._verdicts:
            self._verdicts[key] = ""  # a definition that uses itself
            self._verdicts[key] = self._difference(module, name)
        return self._verdicts[key]

    def uses(self, module: str, name: str) -> list[tuple[str, str]]:
        """The (module, name) of each of the package's definitions that this one uses."""
        source = self.source(module)
        found = [] if source is None else [self.home(source, used) for used in names_in(source.definitions[name])]
        return sorted(home for home in found if home is not None)

    def _difference(self, module: str, name: str) -> str:
        source = self.source(module)
        known = forms(module)
        if source is None or source.opaque or name in source.touched or name not in source.definitions:
            return "changed" if name in known else "added"
        if digest(source.definitions[name]) not in known.get(name, {}):
            return "changed" if name in known else "added"
        for used in sorted(names_in(source.definitions[name])):
            if not self._means_the_same(source, used):
                return f"uses {used}"
        return ""

    def _means_the_same(self, source: Source, name: str) -> bool:
        """Whether a name means in this module what it means in the book's."""
        if name in source.touched or source.opaque:
            return False
        home = self.home(source, name)
        if home is not None:
            return not self.difference(*home)
        if name in source.imports:
            return source.imports[name] == OUTSIDE.get(name)
        return hasattr(builtins, name) or name in ("__file__", "__name__")

    def home(self, source: Source, name: str) -> tuple[str, str] | None:
        """The (module, name) of a definition of the package that a name stands for; None for one from outside."""
        if name in source.definitions:
            return source.name, name
        parts = source.imports.get(name, "").split(".")
        if parts[0] != self.name or len(parts) < 3:
            return None
        other = self.source(parts[1])
        if other is None or parts[2] not in {*other.definitions, *other.imports}:
            return parts[1], parts[2]
        return self.home(other, parts[2])

    def _init_is_plain(self) -> bool:
        """Whether the package's `__init__` does nothing but import."""
        spec = PathFinder.find_spec("__init__", self.path)
        text = spec.loader.get_source("__init__") if spec and isinstance(spec.loader, SourceFileLoader) else ""
        plain = (ast.Import, ast.ImportFrom, ast.Pass)
        return all(isinstance(s, plain) or _is_text(s) or _is_dunder(s) for s in ast.parse(text or "").body)

    def _file(self, module: str) -> tuple[str, str] | None:
        """The path and the text of a module; None where there is none, or a package: `.` means another one in there."""
        spec = PathFinder.find_spec(f"{self.name}.{module}", self.path)
        if spec is None or not isinstance(spec.loader, SourceFileLoader) or spec.submodule_search_locations is not None:
            return None
        try:
            return spec.loader.path, spec.loader.get_source(spec.name) or ""
        except (SyntaxError, ImportError, ValueError):  # Python says so itself when the module is imported
            return None

    def _read(self, module: str) -> Source | None:
        if module not in self._files:
            self._files[module] = self._file(module)
        found = self._files[module]
        try:
            source = None if found is None else Source(module, self.name, found[0], ast.parse(found[1]))
        except (SyntaxError, ValueError):
            return None
        if source is not None:
            self._read_body(source, source.tree.body)
            _read_rebinding(source)
        return source

    def _read_body(self, source: Source, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            match statement:
                case ast.Import(names=names):
                    for alias in names:
                        top = alias.name.split(".")[0]
                        _bind_import(source, alias.asname or top, alias.name if alias.asname else top)
                case ast.ImportFrom():
                    self._read_import(source, statement)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    _bind_definition(source, name, statement)
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    _bind_definition(source, name, statement)
                case ast.Try(body=inner, handlers=handlers, orelse=[], finalbody=[]) if _only_raise(handlers):
                    self._read_body(source, inner)
                case ast.If(test=test, orelse=[]) if ast.unparse(test) in ("__name__ == '__main__'",):
                    pass
                case ast.Expr(value=ast.Call(func=function, args=args, keywords=keywords)):
                    if not (isinstance(function, ast.Attribute) and _root(function) in source.imports):
                        source.touched |= _names(function)
                    for argument in (*args, *(keyword.value for keyword in keywords)):
                        source.touched |= _names(argument) - {"os"}  # sys.path.append(os.pardir)
                case ast.Expr(value=ast.Constant()) | ast.Pass():
                    pass
                case _:
                    source.touched |= _names(statement)

    def _read_import(self, source: Source, statement: ast.ImportFrom) -> None:
        origin = statement.module or ""
        if statement.level:
            origin = f"{source.package}.{origin}".strip(".") if statement.level == 1 else "elsewhere"
        if [alias.name for alias in statement.names] != ["*"]:
            for alias in statement.names:
                _bind_import(source, alias.asname or alias.name, f"{origin}.{alias.name}")
            return
        package, _, module = origin.partition(".")
        other = self.source(module) if package == self.name and module in MODULES[self.name] else None
        if other is None or other.opaque or "__all__" in other.definitions:
            source.opaque = True
            return
        for name in {*other.definitions, *other.imports}:
            if not name.startswith("_"):
                _bind_import(source, name, other.imports.get(name, f"{origin}.{name}"))


def _read_rebinding(source: Source) -> None:
    """Notes what functions bind in their module, whenever they run, and what expressions bind beside their value."""
    read_only = {id(name) for node in ast.walk(source.tree) if (name := _looked_up_in(node)) is not None}
    for each in ast.walk(source.tree):
        match each:
            case ast.Global(names=names):
                source.touched |= set(names)
            case ast.NamedExpr(target=target):
                source.touched.add(target.id)
            case ast.Name(id="globals" | "exec") if id(each) not in read_only:
                source.opaque = True


def _looked_up_in(node: ast.AST) -> ast.Name | None:
    """The `globals` of globals()[name] and globals().get(name), which bind nothing."""
    match node:
        case ast.Subscript(value=ast.Call(func=ast.Name(id="globals") as name), ctx=ast.Load()):
            return name
        case ast.Attribute(value=ast.Call(func=ast.Name(id="globals") as name), attr="get"):
            return name
    return None


def _bind_import(source: Source, name: str, target: str) -> None:
    if name in source.definitions or source.imports.get(name, target) != target:
        source.touched.add(name)
    source.imports[name] = target


def _bind_definition(source: Source, name: str, statement: ast.stmt) -> None:
    if name in source.definitions or name in source.imports:
        source.touched.add(name)
    source.definitions[name] = statement


def _names(node: ast.AST) -> set[str]:
    """Every name in a statement or an expression, and those that it would define or import."""
    names = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            names.add(each.id)
        elif isinstance(each, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(each.name)
        elif isinstance(each, ast.alias):
            names.add(each.asname or each.name.split(".")[0])
    return names


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _only_raise(handlers: Iterable[ast.ExceptHandler]) -> bool:
    return all(isinstance(statement, ast.Raise) for handler in handlers for statement in handler.body)


def _is_text(statement: Any) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_dunder(statement: Any) -> bool:
    return isinstance(statement, ast.Assign) and all(_root(target).startswith("__") for target in statement.targets)
