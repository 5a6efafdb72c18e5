"""Ctrl-C in the command: the end on the spot, but for blocks that have a file or the terminal to put right."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


def interrupts_end() -> None:
    """From now on Ctrl-C ends the process with status 130. Where it is ignored (nohup), it stays so.

    Not a KeyboardInterrupt: one that arises while LLVM calls back into Python can't be passed on, and LLVM then reads
    what isn't there (1 of 60 interrupts in the first second was a segmentation fault).
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(*_: object) -> None:
    if os.isatty(2):
        os.write(2, b"\n")  # the shell's prompt gets a line of its own
    os._exit(130)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """In this block Ctrl-C is a KeyboardInterrupt again; outside the command, where it always is, nothing changes."""
    ours = signal.getsignal(signal.SIGINT) is _end
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, _end)
