"""What the template of `prepared.py` runs: it answers requests, and a fork of it goes on as `python ARGUMENTS` would.

No module: its names would stand in the way of a script's. `channel` is the number of a socket.
"""

import atexit
import importlib
import json
import os
import socket
import sys
import threading
import warnings
from contextlib import contextmanager, suppress

for name in ("numpy", "numba", "llvmlite.binding", "typer", "rich.console", "rich.progress"):
    with suppress(ImportError):
        importlib.import_module(name)
# What Numba does before the first kernel is compiled or loaded takes another 0.25 s: it also imports SciPy.
with suppress(ImportError):
    cpu_target = importlib.import_module("numba.core.registry").cpu_target
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def served(channel):
    """Answers requests; returns in each fork, with its request. The template itself ends with who started it."""
    while True:
        message, streams, _, _ = socket.recv_fds(channel, 1 << 20, 3)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if isinstance(request, int):
            answer = os.waitpid(request, os.WNOHANG)
        else:
            with warnings.catch_warnings(action="ignore"):  # threads of a BLAS, which sees to forks itself
                answer = os.fork()
            if not answer:
                channel.close()
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
            for stream in streams:
                os.close(stream)
            if not answer:
                return request
        channel.send(json.dumps(answer).encode())


def main():
    """The code of what is to run, with `sys` as it would be, and the names that `__main__` would have."""
    arguments, folder, environment = served(socket.socket(fileno=channel))  # noqa: F821 - who runs this gives it
    os.chdir(folder)
    for changed in os.environ.keys() - environment.keys():
        del os.environ[changed]
    os.environ.update(environment)
    sys.modules["numpy"].random.seed()
    sys.orig_argv[sys.orig_argv.index("-c") :] = arguments
    what, place = arguments.pop(0), ""
    if what == "-c":
        code = compile(arguments.pop(0), "<string>", "exec")
    elif what == "-m":
        name, place = arguments.pop(0), folder
        code = compile(f"import runpy; runpy._run_module_as_main({name!r})", "<frozen runpy>", "exec")
    else:
        place = os.path.dirname(os.path.join(folder, what))
        with open(what, "rb") as script:
            code = compile(script.read(), what, "exec")
    sys.argv[:] = [what, *arguments]
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    first = [] if sys.flags.safe_path else [place]
    sys.path[:] = [*first, *dict.fromkeys([*filter(None, paths), *sys.path[len(first) :]])]
    return code


@contextmanager
def ended():
    """The code to run; after it, or `sys.exit`, the process ends at once.

    To take apart what the template has imported, as Python does at its end, takes 0.3 s.
    """
    status = None
    try:
        yield main()
    except SystemExit as error:
        status = error.code
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit((status or 0) & 0xFF)
