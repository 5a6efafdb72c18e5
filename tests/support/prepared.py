"""Processes that begin where Python has imported NumPy, Numba and what the command line needs, but nothing of fastbp.

These imports are most of what a process of a test does: `fastbp train --epochs 1` takes 0.68 s of processor, without
them 0.16 (AMD EPYC). So a template does them once, and each process is a fork of it that goes on as `python ARGUMENTS`
would: with the folder, the environment, the streams and the path that were asked for. What is about imports, start-up,
or another process of Python's takes a real one.
"""

import atexit
import json
import os
import re
import select
import socket
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("template.py")
# In the fork it goes on with what it is to run, at the outermost level, where an error is told as it always is.
CODE = """
template = {{"channel": {channel}}}
exec(compile(__import__("pathlib").Path({file!r}).read_text("utf-8"), {file!r}, "exec"), template)
with globals().pop("template")["ended"]() as code:
    exec(code)
"""
READ_BY_IMPORTS = re.compile("(NUMBA|G?OMP|KMP|OPENBLAS|MKL|NPY|LD|MALLOC|LC|GLIBC)_.*|LANG|PYTHON(?!PATH$).*")


def popen(command: list[str], **options: Any) -> "subprocess.Popen[str]":
    """As `subprocess.Popen`, of `[sys.executable, *arguments]`; a real process where there can be no templates."""
    return (Prepared if _possible() else subprocess.Popen)(command, **options)


def run(command: list[str], timeout: float = 300, **options: Any) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` with what it prints."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with popen(command, **pipes, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


class Prepared(subprocess.Popen):
    """Of `subprocess.Popen` all but how the process begins and how its end is learned: its parent is the template."""

    def _execute_child(
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *_,
    ):  # fmt: skip
        assert args[0] == sys.executable
        assert (preexec_fn, pass_fds) == (None, ()), "a prepared process can't be started so"
        environment = dict(os.environ if env is None else env)
        arguments = list(map(str, args[1:]))
        options = ("-P",) if arguments[0] == "-P" else ()
        read = tuple(sorted(each for each in environment.items() if READ_BY_IMPORTS.fullmatch(each[0])))
        self._template = _template(options, read)
        streams = [own if own != -1 else default for own, default in ((p2cread, 0), (c2pwrite, 1), (errwrite, 2))]
        request = [arguments[len(options) :], os.path.abspath(cwd or "."), environment]
        self.pid = self._template.ask(request, streams)
        self._child_created = True
        self._ends = os.pidfd_open(self.pid)
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def _try_wait(self, wait_flags):
        """(Its number, its status), or (0, 0) while it runs."""
        if not wait_flags & os.WNOHANG:
            select.select([self._ends], [], [])
        pid, status = self._template.ask(self.pid)
        if pid:
            os.close(self._ends)
        return pid, status

    def _internal_poll(self, *_, **__):
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode


class Template:
    """A process that forks when it is asked to; it ends when this one does."""

    def __init__(self, options: tuple[str, ...], environment: dict[str, str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *options, "-c", CODE.format(file=str(TEMPLATE), channel=theirs.fileno())],
                cwd="/",
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # its forks find no file there, in which one could seek
                stderr=subprocess.PIPE,
            )
        atexit.register(self._process.__exit__, None, None, None)
        atexit.register(self._channel.close)

    def ask(self, request: Any, streams: list[int] | None = None) -> Any:
        """The answer to a request: to begin a process, or about the end of one."""
        socket.send_fds(self._channel, [json.dumps(request).encode()], streams or [])
        answer = self._channel.recv(1 << 10)
        assert answer, self._process.stderr and self._process.stderr.read()
        return json.loads(answer)


@lru_cache
def _possible() -> bool:
    """On Linux, of a version that tells the end of another's child."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


@lru_cache
def _template(options: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> Template:
    others = {name: value for name, value in os.environ.items() if not READ_BY_IMPORTS.fullmatch(name)}
    others.pop("PYTHONPATH", None)  # each fork has its own
    return Template(options, others | dict(environment))
