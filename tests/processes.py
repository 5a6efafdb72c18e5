"""Python code in a process of its own, which finds fastbp and its compiled kernels where this process does."""

import os
import subprocess
import sys
from textwrap import dedent

from fastbp._cache import cache_folder


def python(code: str, *, stderr: str = "", **env: str) -> str:
    """What the code prints; it must end well and leave exactly this on stderr."""
    with start(code, **env) as process:
        output, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, stderr), errors
    return output


def start(code: str, **env: str) -> "subprocess.Popen[str]":
    """A process that still runs."""
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "FASTBP_CACHE_DIR": str(cache_folder())}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.Popen([sys.executable, "-P", "-c", dedent(code)], env=os.environ | ours | env, **pipes)
