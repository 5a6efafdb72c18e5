"""A command on a terminal of its own."""

import os
import re
import select
from collections.abc import Callable
from typing import Any

import pytest


def on_terminal(
    command: Any, *arguments: object, until: str = "$^", act: Callable[[Any], None] = lambda _: None
) -> Any:
    """(Status, what the terminal got) of a command; `act` is called with the process once `until` is shown."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with command.start(*arguments, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, acted = b"", False
        while select.select([ours], [], [], 60)[0]:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not piece:
                break
            shown += piece
            if not acted and re.search(until.encode(), shown):
                act(process)
                acted = True
    os.close(ours)
    return process.returncode, shown.decode()
