"""Files that are written whole or not at all."""

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from fastbp.system.interrupts import interrupts_raised


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A stream whose bytes become the file at the end of the block; an exception leaves what was there before.

    A symbolic link stays one: the file that it points to is written. A file that was there keeps its permissions.
    OSError naming the path when no file can be written there.
    """
    target = Path(os.path.realpath(path))
    temporary = target.parent / f".fastbp-{secrets.token_hex(8)}"  # short: the file's own name may be a long one
    with interrupts_raised():
        with _errors_name(path):
            stream = open(temporary, "xb")
        try:
            with stream:
                with suppress(FileNotFoundError):
                    shutil.copymode(target, temporary)
                yield stream
            with _errors_name(path):
                os.replace(temporary, target)
        except BaseException as error:
            temporary.unlink(missing_ok=True)  # it may be in its place already when Ctrl-C comes
            if isinstance(error, OSError) and error.errno and error.filename is None:  # a full disk names no file
                raise _naming(path, error) from None
            raise


def check_writable(path: Path) -> None:
    """OSError naming the path when no file can be written there, ValueError when something else is there already."""
    with _errors_name(path):
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):  # /dev/null would be replaced, by a user who may do so
                kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
                raise ValueError(f"{path} is {kind}: expected the name of a file")
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
            pass


def why_not_writable(folder: Path) -> str:
    """What the system says against files in a folder, which need not be there yet: a full disk too; "" for nothing."""
    try:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=existing) as stream:
            stream.write(bytes(1 << 16))
    except OSError as error:
        return error.strerror or str(error)
    return ""


@contextmanager
def _errors_name(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError of the block names the path that the user gave, instead of a temporary file's."""
    try:
        yield
    except OSError as error:
        raise _naming(path, error) from None


def _naming(path: str | os.PathLike[str], error: OSError) -> OSError:
    return OSError(error.errno, f"can't write there ({error.strerror})", os.fspath(path))
