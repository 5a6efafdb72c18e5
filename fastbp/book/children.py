"""Processes that a script starts by `multiprocessing`: they run under the same hook."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastbp.book.settings import Settings


class _Installer:
    """Installs the hook where it is unpickled: in a new process, before anything of the script is imported."""

    def __init__(self, settings: "Settings", folder: str) -> None:
        self.settings, self.folder = settings, folder

    def __reduce__(self) -> tuple[Any, ...]:
        return _install, (vars(self.settings), self.folder)


def _install(settings: dict[str, Any], folder: str) -> None:
    path = sys.path[:]
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory: what fastbp imports isn't there
    from fastbp.book import hook, shadows
    from fastbp.book.settings import Settings

    sys.path[:] = path
    hook.install(Settings(**settings))
    follow(Settings(**settings), folder)
    if folder:
        shadows.give_way(folder)


def follow(settings: "Settings", folder: str = "") -> None:
    """From now on new processes get the hook too: spawned ones with what tells them of the script, forked ones have it.

    A server that forks them has loaded nothing of the script before. `folder` is the script's, which comes first.
    """
    from multiprocessing import forkserver, spawn

    if getattr(spawn.get_preparation_data, "__module__", "") == __name__:
        return
    prepared = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        return prepared(name) | {"fastbp": _Installer(settings, folder)}

    spawn.get_preparation_data = get_preparation_data
    if sys.platform != "win32":
        forkserver.set_forkserver_preload([])
