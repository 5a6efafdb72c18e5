"""Python code in a process of its own, which finds fastbp and its compiled kernels where this process does."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import prepared
import pytest

import fastbp
import fastbp.kernels
from fastbp.kernels.build.folder import cache_folder


def python(code: str, *, stderr: str = "", how: Callable[..., Any] = prepared.popen, **env: str) -> str:
    """What the code prints; it must end well and leave exactly this on stderr."""
    with start(code, how=how, **env) as process:
        output, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, stderr), errors
    return output


# An editable install finds its own sources, whatever stands on the path.
FROM_THE_PATH = """import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_editable_")]
"""


def python_from(place: object, code: str, **env: str) -> str:
    """What the code prints with the package that lies there, in a folder or a zip."""
    paths = os.pathsep.join((str(place), *filter(None, sys.path)))
    return python(FROM_THE_PATH + dedent(code), PYTHONPATH=paths, **env)


def copy_package(folder: Path) -> Path:
    """A copy of the package, kernels inside, in this folder; the folder of its kernels."""
    ignored = shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(Path(fastbp.__file__).parent, folder / "fastbp", ignore=ignored)
    kernels = package / "kernels"
    if not kernels.is_dir():
        shutil.copytree(Path(fastbp.kernels.__file__).parent, kernels, ignore=ignored)
    return kernels


def start(
    code: str, *, folder: Path | None = None, how: Callable[..., Any] = prepared.popen, **env: str
) -> "subprocess.Popen[str]":
    """A process that still runs; `how` is `subprocess.Popen` where Python's own start or imports matter."""
    ours = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "FASTBP_CACHE_DIR": str(cache_folder("kernels").parent),
    }
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return how([sys.executable, "-P", "-c", dedent(code)], env=os.environ | ours | env, cwd=folder, **pipes)


needs_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: -1)() != 0, reason="only root can become another user")

# Python itself may lie where only root can read: what it needs is imported before.
BECOME = """
import os, pwd, shlex, tempfile, warnings
import numpy as np
import fastbp
from fastbp.system.info import collect
with tempfile.TemporaryDirectory() as folder:
    os.environ["FASTBP_CACHE_DIR"] = folder
    collect()
    fastbp.Sigmoid().forward(np.zeros(1))
    del os.environ["FASTBP_CACHE_DIR"]
    collect()
for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
    os.environ.pop(name, None)
os.environ.update({env!r})
os.setgroups([])
os.setgid({user})
os.setuid({user})
"""


def as_user(user: int, code: str, folder: Path, **env: str) -> tuple[str, str]:
    """What the code prints and what it says on stderr, as the user of this number, without a home, in this folder."""
    with start(BECOME.format(user=user, env=env) + dedent(code), folder=folder) as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output, errors
