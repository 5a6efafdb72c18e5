"""Compiling several C functions at once: here, and in helping processes where there are cores."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

from fastbp.kernels.build.compiling import garbage_collected_rarely

MOST_HELPERS = 3  # each takes 130 MB
_processes = [1]  # that share the cores


@contextmanager
def sharing(processes):
    """In the block so many processes compile side by side, of which this is one: each takes its part of the cores."""
    _processes.append(processes)
    try:
        yield
    finally:
        _processes.pop()


def make(waiting, keep):
    """Compiles the C functions that are waiting, to which `keep(function, calls, content)` may add."""
    work, helpers = _Work(waiting, keep), []
    most = min(_cores() // _processes[-1] - 1, MOST_HELPERS)
    try:
        while (function := work.take()) is not None:
            while len(helpers) < min(most, len(waiting)):  # also later: a function's calls are known at its end
                helpers.append(_Helper(work))
            work.done(function, *function.compiled())
    finally:
        work.close()
        for helper in helpers:
            helper.end()
    if work.error is not None:
        raise work.error


class _Work:
    """What is to be compiled, and how many are being compiled."""

    def __init__(self, waiting, keep):
        self._waiting, self._keep = waiting, keep
        self._busy, self._closed = 0, False
        self._changed = threading.Condition()
        self.error = None

    def take(self):
        """The next one, which may have to be waited for; None when all is done."""
        with self._changed:
            while not self._waiting and self._busy and not self._closed:
                self._changed.wait()
            if self._closed or not self._waiting:
                return None
            self._busy += 1
            return self._waiting.popleft()

    def done(self, function, calls, content):
        with self._changed:
            try:
                self._keep(function, calls, content)
            except BaseException as error:  # a warning that is an error, say, in a helper's thread
                self.error, self._closed = error, True
            self._busy -= 1
            self._changed.notify_all()

    def give_back(self, function):
        """For another one to take."""
        with self._changed:
            self._waiting.appendleft(function)
            self._busy -= 1
            self._changed.notify_all()

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Helper:
    """A process that compiles what is taken for it; where it fails, it is left to others."""

    def __init__(self, work):
        self._work = work
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{PROGRAM}"],
            stdin=subprocess.PIPE,  # which ends when this process does, however that ends
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while (function := self._work.take()) is not None:
            try:
                pickle.dump(function, self._process.stdin)
                self._process.stdin.flush()
                calls, content = pickle.load(self._process.stdout)
            except Exception:
                self._work.give_back(function)
                return
            self._work.done(function, calls, content)

    def end(self):
        with suppress(OSError):
            self._process.stdin.close()
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()
        self._thread.join()


# Numba's compiler imports SciPy where it is installed, which no kernel needs: 17 MB and 0.14 s (EPYC of Zen 5).
PROGRAM = "sys.modules['scipy'] = None; from fastbp.kernels.build import workshop; workshop.help()"


def help():
    """In a helping process: compiles what comes, until nothing does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it: nothing is lost
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else is to be printed among the replies
    todo = queue.SimpleQueue()

    def read():
        try:
            while True:
                todo.put(pickle.load(requests))
        finally:  # who started this process has ended, or can't be understood
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    with garbage_collected_rarely():
        while True:
            pickle.dump(todo.get().compiled(), replies)
            replies.flush()


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
