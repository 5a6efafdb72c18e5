"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fastbp._interrupt import interrupts_raised


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A stream whose bytes become the file at the end of the block; an exception leaves what was there before.

    A symbolic link stays one: the file that it points to is written.
    """
    path = Path(os.path.realpath(path))
    with interrupts_raised():
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's file is for its owner alone
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)  # it may be in its place already when Ctrl-C comes
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(path: Path) -> None:
    """OSError naming the path when no file can be written there, ValueError when something else is there already."""
    if path.exists() and not path.is_file():  # /dev/null would be replaced, by a user who may do so
        kind = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"{path} is {kind}: expected the name of a file")
    try:
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
            pass
    except OSError as error:
        raise OSError(error.errno, f"can't write there ({error.strerror})", str(path)) from None
