"""The rules of the architecture that a machine can check."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from processes import python
from sources import KERNELS, PACKAGE, kernel_functions

import fastbp
from fastbp import layers, lazy, reference
from fastbp.optimizers import Optimizer
from fastbp.when_read import MadeWhenRead

# Nodes of graphs, which no network passes batches through.
WITHOUT_PARTS = {"AddLayer", "MulLayer"}
NO_LAYERS = ("compiled_step", "known_optimizers", "operations", "recognition", "run_functions", "scores", "workspace")
ENGINE_WITHOUT_LAYERS = [PACKAGE / "engine" / f"{name}.py" for name in NO_LAYERS]
LAYERS = tuple(lazy.names("fastbp.layers"))


def imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
    return names


@pytest.mark.parametrize(
    "statement", ["import fastbp", "import fastbp.datasets", "import fastbp, fastbp.command.cli", "import fastbp.graph"]
)
def test_import_is_light(statement: str) -> None:
    heavy = {"numba", "llvmlite", "platformdirs", "pooch", "matplotlib", "fast_sugiyama", "requests", "typer"} - (
        {"typer"} if "cli" in statement else set()
    )
    code = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    assert python(code, how=subprocess.Popen).strip() == "[]"


def test_help_stays_light() -> None:
    code = "import sys; from fastbp.command.cli import run; run(['train', '--help']); print('numba' in sys.modules)"
    assert python(code, how=subprocess.Popen).splitlines()[-1] == "False"


@pytest.mark.parametrize("package", ["fastbp", "fastbp.layers", "fastbp.networks", "fastbp.optimizers"])
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    for name, home in lazy.names(package).items():
        value = getattr(module, name)
        assert name in dir(module)
        assert isinstance(value, ModuleType if home == package else object)
    with pytest.raises(AttributeError, match=f"module {package!r} has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


def test_the_list_is_read_as_type_checkers_read_it() -> None:
    """It is read line by line: each import has to be one, and nothing else to be there."""
    for file in PACKAGE.rglob("__init__.pyi"):
        package = ".".join(("fastbp", *file.parent.relative_to(PACKAGE).parts))
        body = ast.parse(file.read_text()).body
        imported = [node for node in body if isinstance(node, ast.ImportFrom)]
        stars = [node.module for node in imported if node.names[0].name == "*"]
        declared = {node.names[0].asname: node.module for node in imported if node.module not in stars}
        for star in stars:
            declared |= {name: home for name, home in lazy.names(str(star)).items() if home != star}
        assert all(len(node.names) == 1 and node.names[0].asname in (node.names[0].name, None) for node in imported)
        assert declared == lazy.names(package)
        assert [ast.unparse(node) for node in body if node not in imported] == ["__version__: str"] * (
            package == "fastbp"
        )


def test_a_star_import_brings_what_hides_nothing() -> None:
    assert "compile" not in fastbp.__all__
    assert fastbp.compile is fastbp.engine.compile
    public = {"__version__", "Affine", "SGD", "TwoLayerNet", "Trainer", "load_params", "predict", "threads", "warmup"}
    assert public <= set(fastbp.__all__)
    assert not {"layers", "share_right", "attach"} & set(fastbp.__all__)


# The floors, from the top down, by the names of files and folders: each imports what lies below it alone, and what
# stands beside it on its floor where that is no circle. `kernels` is below all but `originals`, `reads`, `lazy` and
# `provided`, which import nothing of the package but each other.
FLOORS = (
    ("__main__",),
    ("command", "graph.command", "graph.figures"),
    ("bench",),
    ("book",),
    ("trainer",),
    ("gradcheck",),
    ("engine",),
    ("networks", "graph", "gradient"),
    ("copies", "chain"),
    ("layers", "optimizers", "functions", "util"),
    ("boundary", "datasets"),
    ("threads",),
    ("system",),
    ("reference", "originals", "reads", "lazy", "provided", "when_read", "kernels"),
    ("",),  # fastbp itself: its version
)


def module_of(file: Path) -> str:
    """What stands behind `fastbp.` in a module's name."""
    names = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def arrows(file: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fastbp":
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if is_module(each) else home(node.module, each) for each in modules}
    return {name.removeprefix("fastbp").removeprefix(".") for name in found if name.split(".")[0] == "fastbp"}


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return name.startswith("fastbp.") and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


def home(package: str, name: str) -> str:
    """Where a public name of a package is defined."""
    if (PACKAGE.joinpath(*package.split(".")[1:]) / "__init__.pyi").is_file():
        return lazy.names(package).get(name.rpartition(".")[2], package)
    return package


def floor_of(module: str) -> int:
    """The number of its floor, 0 at the top: of the longest name in the table that it begins with."""
    found = [(len(each), n) for n, floor in enumerate(FLOORS) for each in floor if f"{module}.".startswith(f"{each}.")]
    return max(found)[1] if found else len(FLOORS) - 1


FILES = [file for file in PACKAGE.rglob("*.py") if "kernels" not in file.relative_to(PACKAGE).parts]


def test_every_file_stands_on_a_floor() -> None:
    """Else it would be taken for the ground."""
    assert {module_of(file) for file in FILES if floor_of(module_of(file)) == len(FLOORS) - 1} == {""}


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_arrows_point_down(file: Path) -> None:
    module = module_of(file)
    if not module:
        assert arrows(file) == {"lazy", "provided"}
        return
    up = {each for each in arrows(file) if floor_of(each) < floor_of(module)}
    assert not up, f"{module} imports {sorted(up)}, which stand above it"


def test_no_circles() -> None:
    """Imports inside of functions count as others do."""
    waiting = {module_of(file): arrows(file) - {""} for file in FILES}
    for package in [module for module in waiting if (PACKAGE.joinpath(*module.split(".")) / "__init__.py").is_file()]:
        waiting[package] = {each for each in waiting[package] if not each.startswith(f"{package}.")}
    while ready := {module for module, needs in waiting.items() if not needs & waiting.keys() - {module}}:
        waiting = {module: needs for module, needs in waiting.items() if module not in ready}
    assert not waiting, f"these import each other: {sorted(waiting)}"


def test_oracle_imports_numpy_alone() -> None:
    assert imports(PACKAGE / "reference.py") == {"numpy", "typing"}
    loaded = python(
        f"import runpy, sys; runpy.run_path({str(PACKAGE / 'reference.py')!r}); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'numba', 'fastbp', 'scipy'}))",
        how=subprocess.Popen,
    )
    assert loaded.strip() == "[]"


def test_oracle_has_the_same_names_and_parameters() -> None:
    assert set(LAYERS) == set(layers.__all__)
    for name in LAYERS:
        ours, oracle = getattr(layers, name), getattr(reference, name)
        for method in ("__init__", "forward", "backward"):
            got, expected = (
                list(inspect.signature(getattr(cls, method)).parameters.values()) for cls in (ours, oracle)
            )
            assert [(p.name, p.default, p.kind) for p in got] == [(p.name, p.default, p.kind) for p in expected], name


@pytest.mark.parametrize("name", LAYERS)
def test_oracle_has_the_same_attributes(name: str) -> None:
    arguments = (1, 2) if name in ("Affine", "BatchNormalization", "Convolution", "Pooling") else ()
    ours, oracle = (getattr(namespace, name)(*arguments) for namespace in (layers, reference))
    made_when_read = {key for key, value in vars(type(ours)).items() if isinstance(value, MadeWhenRead)}
    assert {key for key in vars(ours) if not key.startswith("_")} | made_when_read == set(vars(oracle))


def test_layers_hold_no_loops() -> None:
    for file in (PACKAGE / "layers").glob("*.py"):
        loops = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.For | ast.While)]
        assert not loops, f"{file.name}:{loops[0].lineno} has a loop: that is a kernel's work"


@pytest.mark.parametrize(("file", "function"), kernel_functions(), ids=lambda v: v if isinstance(v, str) else v.name)
def test_kernels_keep_the_contract(file: str, function: ast.FunctionDef) -> None:
    assert ast.get_docstring(function), f"{file}: {function.name} has no line of shapes"
    forbidden = (ast.Raise, ast.Try, ast.Assert, ast.With, ast.ListComp)
    for node in ast.walk(function):
        assert not isinstance(node, forbidden), f"{file}:{node.lineno} {ast.unparse(node)}"
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"print", "np.empty", "np.zeros", "np.dot"}, f"{file}:{node.lineno}"
    names = [argument.arg for argument in function.args.args]
    if names[0] == "dout":
        saved = ("dout", "x", "out", "mask", "places", "mean", "std", "y", "t", "N", "alpha", "gamma", "W", "b")
        saved += (
            "pool_h",
            "pool_w",
            "stride",
            "pad",
            "dx",
            "dgamma",
            "dbeta",
            "dW",
            "db",
            "sums",
            "scratch",
            "values",
            "columns",
            "marks",
            "threads",
            "launcher",
        )
        assert names == [name for name in saved if name in names], function.name


def test_kernels_import_only_what_they_may() -> None:
    """One of them asks platformdirs where a user's caches lie: this rule is written once, below all who ask."""
    allowed = {"numpy", "numba", "llvmlite"} | set(sys.stdlib_module_names)
    for file in KERNELS.rglob("*.py"):
        more = {"platformdirs"} if file.name == "folder.py" else set()
        others = {name for name in imports(file) if name.split(".")[0] not in allowed | more}
        assert all(f"{name}.".startswith("fastbp.kernels.") for name in others), (file.name, others)


def test_kernels_have_one_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import kernels"], capture_output=True, text=True, cwd=KERNELS.parent, check=False
    )
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr or "write `import fastbp.kernels`" in done.stderr


def test_rooms_of_the_kernels_are_packages() -> None:
    """A folder without `__init__.py` can be imported too, but isn't seen by who hashes the kernels."""
    for file in KERNELS.rglob("*.py"):
        assert (file.parent / "__init__.py").is_file(), file


# The compiled loop ----------------------------------------------------------------------------------------------------


def test_a_layer_says_of_itself_what_the_loop_calls() -> None:
    """What it inherits may not hold for it: each has its own, or none and runs by its methods."""
    told = {cls.__name__: vars(cls).get("compiled") for cls in lazy.classes("fastbp.layers")}
    assert {name for name, each in told.items() if each is None} == WITHOUT_PARTS
    for cls in lazy.classes("fastbp.optimizers"):
        assert cls is Optimizer or vars(cls)["part"] is not None


def test_the_loop_and_its_tables_know_no_layer() -> None:
    """They know functions, rows and columns: what a layer is stands in its own file alone. Nor does the engine."""
    names = {cls.__name__.lower() for room in ("layers", "optimizers") for cls in lazy.classes(f"fastbp.{room}")}
    for file in (KERNELS / "loop" / "training.py", *ENGINE_WITHOUT_LAYERS):
        for node in ast.walk(ast.parse(file.read_text())):
            said = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None) or ""
            assert str(said).lower() not in names - {"optimizer"}, f"{file.name}:{node.lineno}: {said}"


def test_the_engine_compiles_nothing_of_its_own() -> None:
    """Kernels stand in kernels/, where the disk cache looks at their sources."""
    for file in (PACKAGE / "engine").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"numba", "llvmlite"}:
                assert [alias.name for alias in node.names] == ["config"], f"{file.name}:{node.lineno}"
            assert not (isinstance(node, ast.Import) and any("numba" in a.name for a in node.names)), file.name
