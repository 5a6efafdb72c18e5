"""A script as `python SCRIPT` runs it, with the book's modules from fastbp."""

import ast
import atexit
import builtins
import gc
import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from fastbp.book import children, hook, report, shadows
from fastbp.book.settings import Settings


def check_script(script: Path) -> None:
    """OSError when there is no file to run, ValueError when it is none of Python's source."""
    if script.is_dir():
        raise ValueError(f"{script} is a folder: expected a Python script")
    if b"\0" in script.read_bytes()[:1024]:
        raise ValueError(f"{script} is no Python source: expected a Python script")


def run_script(script: str, arguments: Sequence[str], settings: Settings) -> int:
    """Runs a script to its end and returns its exit status; one line on stderr tells what was done.

    The script's folder is the first place for imports, `sys.argv` and `__main__` are its own, an exception prints the
    traceback that Python prints, and Ctrl-C ends it as it ends Python.
    """
    path = os.path.realpath(script)
    started = time.perf_counter()
    finder = hook.install(settings, _imported_names(path))
    folder = "" if sys.flags.safe_path else os.path.dirname(path)
    children.follow(settings, folder)
    ending = _Ending()
    atexit.register(ending.last)  # before those of the script, so that it runs after them
    atexit.register(report.print_once, finder, started, os.getpid())
    _take_place(script, folder, arguments)
    if folder:
        shadows.give_way(folder)
    _show_own_warnings_in_one_line()
    gc.freeze()  # fastbp's own objects, and Numba's, which the script's collections would look at again and again
    return ending.status_of(script)


class _Ending:
    """How a script ends: its status, and whether by Ctrl-C."""

    def __init__(self) -> None:
        self.interrupted = False

    def status_of(self, script: str) -> int:
        """Runs the script in `__main__`; its exit status."""
        module = sys.modules["__main__"]
        try:
            code = _compiled(script)
            exec(code, module.__dict__)
        except SystemExit as exit:
            return _status(exit)
        except BaseException as error:
            _show(error)
            self.interrupted = isinstance(error, KeyboardInterrupt)
            return 130 if self.interrupted else 1
        return 0

    def last(self) -> None:
        """Ends the process by the signal, as Python itself does after an interrupt that nobody caught."""
        if self.interrupted and os.name == "posix":
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)


def _show_own_warnings_in_one_line() -> None:
    """Of kernels that can't be kept: without the line of fastbp's that warns. The script's look as Python has them."""
    before = warnings.showwarning

    def show(message: Any, *rest: Any, **named: Any) -> None:
        if str(message).startswith("compiled kernels"):
            print(f"fastbp: warning: {message}", file=sys.stderr)
        else:
            before(message, *rest, **named)

    warnings.showwarning = show


def _take_place(script: str, folder: str, arguments: Sequence[str]) -> None:
    """Everything as Python sets it up for a script."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[:] = [script, *arguments]
    if folder:
        spec = sys.modules["__main__"].__spec__
        # Under `python -m fastbp`, fastbp/__main__.py has moved the working directory to the end of sys.path.
        if getattr(spec, "name", "") == "fastbp.__main__":
            sys.path.insert(0, sys.path.pop())
        sys.path[0] = folder
    module, place = ModuleType("__main__"), os.path.abspath(script)
    module.__dict__.update(
        __file__=place, __cached__=None, __builtins__=builtins, __loader__=SourceFileLoader("__main__", place)
    )
    if sys.version_info < (3, 14):
        module.__dict__.update(__annotations__={})
    sys.modules["__main__"] = module


def _compiled(script: str) -> CodeType:
    place = os.path.abspath(script)
    with io.open_code(place) as stream:
        return compile(stream.read(), place, "exec", dont_inherit=True)


def _status(exit: SystemExit) -> int:
    """The status of sys.exit(code): a number, None for 0, anything else is printed and 1."""
    if exit.code is None:
        return 0
    if isinstance(exit.code, int):
        return exit.code
    print(exit.code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> None:
    """Prints the traceback from the script on, by the script's own sys.excepthook if it has one."""
    shown = error.__traceback__
    while shown is not None and shown.tb_frame.f_code.co_filename == __file__:
        shown = shown.tb_next
    if isinstance(error, KeyboardInterrupt):
        error.__suppress_context__ |= _cut_behind_script(shown)
    error.__traceback__ = shown
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, shown
    sys.excepthook(type(error), error, shown)


def _cut_behind_script(shown: TracebackType | None) -> bool:
    """Ends a traceback at the script's line that called fastbp, which may be compiling: whether there was such a line.

    Plain Python would show a few lines of the book's layers there; Numba's are a hundred.
    """
    last, ours = None, False
    while shown is not None:
        package = str(shown.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package == "fastbp":
            ours = True
        elif not (ours and package in _BEHIND_FASTBP):
            last, ours = shown, False
        shown = shown.tb_next
    if ours and last is not None:
        last.tb_next = None
    return ours


_BEHIND_FASTBP = {*sys.stdlib_module_names, "numpy", "numba", "llvmlite"} - {"__main__"}


def _imported_names(path: str) -> set[str]:
    """The names that a script imports from the book's modules: they tell the edition where there is no `common`."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError):
        return set()
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in froms if (node.module or "").startswith("common") for alias in node.names}
