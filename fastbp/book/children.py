"""Processes that a script starts by `multiprocessing`: they run under the same hook."""

import sys
from typing import Any

from fastbp.book import hook
from fastbp.book.settings import Settings


class _Installer:
    """Installs the hook where it is unpickled: in a new process, before anything of the script is imported."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __reduce__(self) -> tuple[Any, ...]:
        return _install, (self.settings,)


def _install(settings: Settings) -> None:
    hook.install(settings)
    follow(settings)


def follow(settings: Settings) -> None:
    """From now on new processes get the hook too: spawned ones with what tells them of the script, forked ones have it.

    A server that forks them has loaded nothing of the script before.
    """
    from multiprocessing import forkserver, spawn

    if getattr(spawn.get_preparation_data, "__module__", "") == __name__:
        return
    prepared = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        return prepared(name) | {"fastbp": _Installer(settings)}

    spawn.get_preparation_data = get_preparation_data
    if sys.platform != "win32":
        forkserver.set_forkserver_preload([])
