"""Where kernels and data are kept: one rule, never a place relative to the current directory; without one, no cache."""

import os
import pwd
import sys
from pathlib import Path
from typing import Any

import pytest
from numba import config
from processes import as_user, needs_root, python

from fastbp.datasets import load_mnist
from fastbp.system.info import collect

VARIABLES = ("FASTBP_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the XDG specification's folders")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory, and a home beside it; no variable is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("here", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def set_all(monkeypatch: pytest.MonkeyPatch, place: Path, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("PLACE", str(place)))


def kept(what: str = "cache folder") -> str:
    return collect()[what].removesuffix(" (writable)")


# What is set, and where kernels and data are kept, in words of this place.
FOLDERS: dict[str, tuple[dict[str, str], str, str]] = {
    "nothing": ({}, "home/.cache/fastbp/kernels", "home/.cache/fastbp/mnist"),
    "named": ({"FASTBP_CACHE_DIR": "PLACE/c"}, "c/kernels", "c/mnist"),
    "named with a slash": ({"FASTBP_CACHE_DIR": "PLACE/c/"}, "c/kernels", "c/mnist"),
    "named with a space": ({"FASTBP_CACHE_DIR": "PLACE/c d"}, "c d/kernels", "c d/mnist"),
    "named from home": ({"FASTBP_CACHE_DIR": "~/c"}, "home/c/kernels", "home/c/mnist"),
    "home itself": ({"FASTBP_CACHE_DIR": "~"}, "home/kernels", "home/mnist"),
    "empty": ({"FASTBP_CACHE_DIR": ""}, "home/.cache/fastbp/kernels", "home/.cache/fastbp/mnist"),
    "Numba's": ({"NUMBA_CACHE_DIR": "PLACE/n"}, "n/kernels", "home/.cache/fastbp/mnist"),
    "ours before Numba's": ({"FASTBP_CACHE_DIR": "PLACE/c", "NUMBA_CACHE_DIR": "n"}, "c/kernels", "c/mnist"),
    "both empty": (
        {"FASTBP_CACHE_DIR": "", "NUMBA_CACHE_DIR": ""},
        "home/.cache/fastbp/kernels",
        "home/.cache/fastbp/mnist",
    ),
    "XDG": ({"XDG_CACHE_HOME": "PLACE/x"}, "x/fastbp/kernels", "x/fastbp/mnist"),
    "ours before XDG": ({"FASTBP_CACHE_DIR": "PLACE/c", "XDG_CACHE_HOME": "PLACE/x"}, "c/kernels", "c/mnist"),
    "XDG empty": ({"XDG_CACHE_HOME": ""}, "home/.cache/fastbp/kernels", "home/.cache/fastbp/mnist"),
    "XDG relative": ({"XDG_CACHE_HOME": "caches"}, "home/.cache/fastbp/kernels", "home/.cache/fastbp/mnist"),
    "XDG here": ({"XDG_CACHE_HOME": "."}, "home/.cache/fastbp/kernels", "home/.cache/fastbp/mnist"),
    "XDG from home": ({"XDG_CACHE_HOME": "~/x"}, "home/.cache/fastbp/kernels", "home/.cache/fastbp/mnist"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folder(case: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, kernels, data = FOLDERS[case]
    set_all(monkeypatch, place, variables)
    assert (kept(), kept("data folder")) == (str(place / kernels), str(place / data))
    assert not list((place / "here").iterdir())


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_none_is_looked_up(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    assert kept().startswith(f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache/fastbp/kernels")


MISTAKES: dict[str, dict[str, str]] = {
    "relative": {"FASTBP_CACHE_DIR": "cache"},
    "with a dot": {"FASTBP_CACHE_DIR": "./cache"},
    "above": {"FASTBP_CACHE_DIR": "../cache"},
    "the current directory": {"FASTBP_CACHE_DIR": "."},
    "a space": {"FASTBP_CACHE_DIR": " "},
    "a space before": {"FASTBP_CACHE_DIR": " /cache"},
    "nobody's home": {"FASTBP_CACHE_DIR": "~nobody-has-this-name/cache"},
    "a relative home": {"FASTBP_CACHE_DIR": "~/cache", "HOME": "relative"},
    "a tilde inside": {"FASTBP_CACHE_DIR": "cache/~"},
    "quotes that stayed": {"FASTBP_CACHE_DIR": "'/cache'"},
    "relative, XDG set": {"FASTBP_CACHE_DIR": "cache", "XDG_CACHE_HOME": "PLACE/x"},
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_relative_folder_is_a_mistake(case: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, place, MISTAKES[case])
    for ask in (collect, load_mnist):
        with pytest.raises(ValueError, match=r"FASTBP_CACHE_DIR must be an absolute path, got .*: write the whole"):
            ask()
    assert not list((place / "here").iterdir())


def test_numba_s_folder_is_a_mistake_when_it_is_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "cache")
    with pytest.raises(ValueError, match="NUMBA_CACHE_DIR must be an absolute path, got 'cache'"):
        collect()


# In processes --------------------------------------------------------------------------------------------------------

RELU = """
import numpy as np, fastbp
print(fastbp.Relu().forward(np.array([-1.0, 2.0])).tolist())
"""
compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

# As in a container that is run for a number without an entry: `docker run --user 2000`.
HOMELESS = """
import os, pwd
os.environ.pop("HOME", None)
os.environ.pop("XDG_CACHE_HOME", None)
def getpwuid(uid):
    raise KeyError(uid)
pwd.getpwuid = getpwuid
"""


@compiled
@pytest.mark.command
def test_a_relative_folder_is_a_mistake_at_the_first_kernel(place: Path) -> None:
    code = "try:\n    exec(code)\nexcept ValueError as error:\n    print(error)"
    said = python(f"code = {RELU!r}\n{code}", FASTBP_CACHE_DIR="cache")
    assert said.startswith("FASTBP_CACHE_DIR must be an absolute path, got 'cache'")
    assert not list((place / "here").iterdir())


@pytest.mark.command
@pytest.mark.parametrize("arguments", [("info",), ("evaluate", "--data", "mnist", "--load", "x.npz"), ("warmup",)])
def test_a_relative_folder_is_one_line_of_the_command(arguments: tuple[str, ...], command: Any) -> None:
    if arguments == ("warmup",) and config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    done = command.run(*arguments, FASTBP_CACHE_DIR="cache")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("fastbp: error: FASTBP_CACHE_DIR must be an absolute path, got 'cache'")


@compiled
@pytest.mark.command
def test_without_a_home_kernels_are_compiled_and_not_kept(place: Path) -> None:
    for name in ("~", "fastbp"):  # where others have put something
        (place / "here" / name).mkdir()
    before = sorted(place.rglob("*"))
    code = f"import warnings\nwith warnings.catch_warnings(record=True) as caught:\n    exec({HOMELESS + RELU!r})\n"
    code += "    print(fastbp.Sigmoid().forward(np.zeros(1)).tolist())\nprint(*[w.message for w in caught], sep='\\n')"
    output = python(f"import warnings; warnings.simplefilter('always')\n{code}", FASTBP_CACHE_DIR="").splitlines()
    assert output[:2] == ["[0.0, 2.0]", "[0.5]"]
    assert output[2:] == [
        "compiled kernels can't be kept (there is no home folder), so each process compiles them anew; "
        "set FASTBP_CACHE_DIR to a folder that can be written"
    ]
    assert sorted(place.rglob("*")) == before


@pytest.mark.command
def test_without_a_home_info_says_so() -> None:
    code = (
        "from fastbp.system.info import collect; print(collect()['cache folder'], collect()['data folder'], sep='\\n')"
    )
    said = python(HOMELESS + code, FASTBP_CACHE_DIR="").splitlines()
    assert said == ["nowhere (there is no home folder; set FASTBP_CACHE_DIR)"] * 2


@pytest.mark.command
def test_a_home_that_a_tilde_lacks_is_a_mistake() -> None:
    code = "from fastbp.system.info import collect\ntry:\n    collect()\nexcept ValueError as error:\n    print(error)"
    said = python(HOMELESS + code, FASTBP_CACHE_DIR="~/cache")
    assert said.startswith("FASTBP_CACHE_DIR must be an absolute path, got '~/cache' (there is no such home folder)")


@compiled
@pytest.mark.command
@needs_root
def test_a_user_without_an_entry_in_a_folder_of_root(place: Path, in_the_open: Path) -> None:
    """Nothing is patched here: the user's number has no entry, and HOME isn't set."""
    output, errors = as_user(54321, RELU, in_the_open)
    assert output == "[0.0, 2.0]\n"
    assert errors.count("compiled kernels can't be kept (there is no home folder)") == 1, errors
    assert not list(in_the_open.iterdir())
