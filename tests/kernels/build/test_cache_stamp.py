"""Kernels of one version are never run by another: with sources, without, in a zip; nothing else tells them apart."""

import compileall
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from numba import config
from processes import copy_package, python_from

pytestmark = [
    pytest.mark.command,
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled"),
]

# A kernel in a room of its own, which calls another room's; a version is what it adds, and where that is written.
ROOMS = {
    "first/__init__.py": "ADDED = VALUE_OF_PACKAGE\n",
    "first/part.py": """
from fastbp.kernels.first import ADDED
from fastbp.kernels.first.deeper.part import more
from fastbp.kernels.build.flags import inlined

@inlined
def added(x):
    return more(x) + ADDED + VALUE_OF_PART
""",
    "first/deeper/__init__.py": "",
    "first/deeper/part.py": """
from fastbp.kernels.build.flags import inlined

@inlined
def more(x):
    return x + VALUE_OF_DEEPER
""",
    "second/__init__.py": "",
    "second/outer.py": """
from fastbp.kernels.first.part import added
from fastbp.kernels.build.flags import kernel

@kernel
def add(x):
    x[0] = added(x[0]) + VALUE_OF_OUTER
""",
}
CALL = """
import numpy as np
from fastbp.kernels.second.outer import add
x = np.zeros(1)
add(x)
print(x[0], sum(add.stats.cache_hits.values()))
"""
PLACES = ("PACKAGE", "PART", "DEEPER", "OUTER")
COMPILED = []  # a folder with the package, its sources and its bytecode in both places


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """To compile the package takes a second: once for all versions, to which only the rooms are added."""
    folder = tmp_path_factory.mktemp("compiled")
    copy_package(folder)
    for legacy in (False, True):
        compileall.compile_dir(folder, quiet=1, legacy=legacy)
    COMPILED[:] = [folder]


def write_version(folder: Path, **values: int) -> None:
    """The package in this folder, with these values at these places, 0 at the others."""
    kernels = shutil.copytree(COMPILED[0], folder, copy_function=os.link) / "fastbp" / "kernels"
    for name, text in ROOMS.items():
        for place in PLACES:
            text = text.replace(f"VALUE_OF_{place}", str(values.get(place, 0)))
        file = kernels / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


# How a package comes: each makes of the folder with the sources what is put on the path.


def sources(folder: Path) -> Path:
    return without(folder, "*.pyc")


def compiled_sources(folder: Path) -> Path:
    without(folder, "*.pyc", "__pycache__")
    compileall.compile_dir(folder, quiet=1)
    return folder


def no_sources(folder: Path) -> Path:
    compileall.compile_dir(folder, quiet=1, legacy=True)
    for place in list(folder.rglob("__pycache__")):
        shutil.rmtree(place)
    return without(folder, "*.py")


def without(folder: Path, pattern: str, kept: str = "") -> Path:
    """The folder without these files, but for those in folders of the name that is kept."""
    for file in list(folder.rglob(pattern)):
        if file.parent.name != kept:
            file.unlink()
    return folder


def zipped(folder: Path) -> Path:
    return archived(sources(folder))


def archived(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    shutil.rmtree(folder)
    return archive


def zipped_without_sources(folder: Path) -> Path:
    return archived(no_sources(folder))


FORMS = (sources, compiled_sources, no_sources, zipped, zipped_without_sources)


def call(path: Path, tmp_path: Path, code: str = CALL, **env: str) -> list[str]:
    """[what the kernel gives, how often it was loaded]"""
    return python_from(path, code, FASTBP_CACHE_DIR=str(tmp_path / "cache"), **env).split()


def made(form: Callable[[Path], Path], folder: Path, **values: int) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    write_version(folder, **values)
    return form(folder)


@pytest.mark.parametrize("form", FORMS)
def test_another_version_is_compiled(form: Callable[[Path], Path], tmp_path: Path) -> None:
    """In the same place, as an update puts it; and the old one again is loaded."""
    place = tmp_path / "package"
    assert call(made(form, place, PART=1), tmp_path) == ["1.0", "0"]
    assert call(made(form, place, PART=22), tmp_path) == ["22.0", "0"]
    assert call(made(form, place, PART=22), tmp_path) == ["22.0", "1"]
    assert call(made(form, place, PART=1), tmp_path) == ["1.0", "1"]


@pytest.mark.parametrize("form", [sources, no_sources])
def test_every_module_counts(form: Callable[[Path], Path], tmp_path: Path) -> None:
    """Of each room, and a room's own `__init__`."""
    package = tmp_path / "package"
    assert call(made(form, package), tmp_path) == ["0.0", "0"]
    for place in PLACES:
        assert call(made(form, package, **{place: 3}), tmp_path) == ["3.0", "0"], place


@pytest.mark.parametrize("form", FORMS)
def test_the_same_version_elsewhere_is_loaded(form: Callable[[Path], Path], tmp_path: Path) -> None:
    """Also by a process whose sets have another order, and that imported other modules before."""
    first, second = (made(form, tmp_path / name, PART=4) for name in ("one", "a longer name"))
    assert call(first, tmp_path, PYTHONHASHSEED="1") == ["4.0", "0"]
    code = f"import json, decimal, asyncio, fastbp.command.cli, fastbp.datasets\n{CALL}"
    assert call(second, tmp_path, code, PYTHONHASHSEED="2") == ["4.0", "1"]


def test_sources_are_the_same_in_each_form(tmp_path: Path) -> None:
    """With and without bytecode beside them, in a folder and in a zip, with any ends of lines."""
    assert call(made(sources, tmp_path / "plain", PART=5), tmp_path) == ["5.0", "0"]
    assert call(made(compiled_sources, tmp_path / "compiled", PART=5), tmp_path) == ["5.0", "1"]
    assert call(made(zipped, tmp_path / "zipped", PART=5), tmp_path) == ["5.0", "1"]
    windows = made(sources, tmp_path / "windows", PART=5)
    for file in (windows / "fastbp" / "kernels").rglob("*.py"):
        content = file.read_bytes()
        file.unlink()  # not to be written to: other versions have it too
        file.write_bytes(content.replace(b"\n", b"\r\n"))
    assert call(windows, tmp_path) == ["5.0", "1"]


@pytest.mark.parametrize("form", [no_sources, zipped_without_sources])
def test_constants_of_every_kind_count(form: Callable[[Path], Path], tmp_path: Path) -> None:
    """0.0 and −0.0 are equal, True and 1 too: as code they aren't the same."""
    results = []
    for constant in ("0.0", "-0.0", "1", "True", "1.0", "(1, 2.0)", "(1, 2)"):
        package = tmp_path / "package"
        shutil.rmtree(package, ignore_errors=True)
        write_version(package)
        outer = package / "fastbp" / "kernels" / "second" / "outer.py"
        outer.write_text(outer.read_text() + f"\ndef unused():\n    return {constant}\n")
        results.append(call(form(package), tmp_path))
    assert results == [["0.0", "0"]] * 7


def test_code_that_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    """A loader that gives neither source nor code, as some programs that pack others have it: no cache, one warning."""
    package = made(sources, tmp_path / "package", PART=6)
    code = f"""
import importlib.machinery, sys, warnings
class Silent(importlib.machinery.SourceFileLoader):
    get_source = get_code = lambda self, name: None
    def exec_module(self, module):
        exec(compile(self.get_data(self.path), self.path, "exec"), vars(module))
files = importlib.machinery.FileFinder.path_hook((Silent, [".py"]))
def silent(path):
    if not path.startswith({str(package)!r}):
        raise ImportError
    return files(path)
sys.path_hooks.insert(0, silent)
sys.path_importer_cache.clear()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    exec({CALL!r})
    from fastbp.kernels.relu import relu_forward
    relu_forward(np.zeros(1), np.zeros(1), np.zeros(1, bool))
print(*[warning.message for warning in caught], sep="|")
"""
    output = python_from(package, code, FASTBP_CACHE_DIR=str(tmp_path / "cache")).splitlines()
    assert output[0] == "6.0 0"
    assert output[1:] == [
        "compiled kernels can't be kept, so each process compiles them anew: "
        "the code of fastbp.kernels, which tells one version's from another's, can't be read"
    ]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("form", [sources, no_sources, zipped])
def test_an_update_while_a_process_runs_is_not_mixed_up(form: Callable[[Path], Path], tmp_path: Path) -> None:
    """What the process has in memory isn't kept under the new version's name, nor under the old one's."""
    old, new = made(form, tmp_path / "package", PART=7), made(form, tmp_path / "new", PART=8)
    code = f"""
import os, shutil
import fastbp.kernels.second.outer
{"os.replace" if old.is_file() else "shutil.rmtree(" + repr(str(old)) + "); os.rename"}({str(new)!r}, {str(old)!r})
{CALL}"""
    assert call(old, tmp_path, code) == ["7.0", "0"]
    assert call(old, tmp_path) == ["8.0", "0"]
    assert call(old, tmp_path) == ["8.0", "1"]


# The whole package ---------------------------------------------------------------------------------------------------

EVERYTHING = """
import numpy as np, fastbp, fastbp.system.info
from fastbp.datasets import load_digits
assert "FORM" in fastbp.__file__, fastbp.__file__
(x, t), _ = load_digits()
net = fastbp.TwoLayerNet(64, 20, 10, dtype=np.float32, rng=np.random.default_rng(0))
step = fastbp.compile(net, fastbp.SGD(lr=0.5), strict=True)
order = np.random.default_rng(0).permutation(1400).reshape(14, 100)
losses = [step.run(x, t, order).mean() for _ in range(20)]
print(losses[-1] < 0.5 < 2 < losses[0], fastbp.predict(net, x).shape, len(x))
print(fastbp.Affine(np.eye(2), np.ones(2)).forward(np.ones((1, 2))).tolist())
print(fastbp.system.info.collect()["cached kernels"].split()[0] != "0")
"""


@pytest.mark.parametrize("form", [zipped, pytest.param(no_sources, marks=pytest.mark.full)])
def test_the_whole_package_works(form: Callable[[Path], Path], tmp_path: Path) -> None:
    """The zip takes the kernels that the tests have compiled already: its sources are the same."""
    copy_package(tmp_path / "package")
    path = form(tmp_path / "package")
    env = {} if form is zipped else {"FASTBP_CACHE_DIR": str(tmp_path / "cache")}
    said = python_from(path, EVERYTHING.replace("FORM", path.name), **env)
    assert said == "True (1437, 10) 1437\n[[2.0, 2.0]]\nTrue\n"
