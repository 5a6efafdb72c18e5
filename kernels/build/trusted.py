"""Files that nobody but the user and root can have written: what is read from them may be run.

A path is looked at from its root down. What was found in the hands of the user or root, in a folder that only they can
write, can't be changed by others afterwards: so nothing that was checked is another thing when it is used.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH  # of the group also by an access control list, whose mask stands there
MOST_LINKS = 40  # Linux' own limit
# None of them is there on every system. Not blocking: a pipe in a file's place is no reason to wait.
READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Untrusted(PermissionError):
    """A file or folder that somebody else can change; `strerror` says which, and what to do."""


def trusted_folder(path, make=None):
    """The folder without symbolic links. Untrusted where others can change it, or anything on the way to it.

    What is missing is made with this mode (less the umask), or is a FileNotFoundError. On Windows, whose profiles are
    their users' own, nothing is checked.
    """
    if not hasattr(os, "geteuid"):
        if make is not None:
            path.mkdir(mode=make, parents=True, exist_ok=True)
        return path
    here, ahead, links = Path(path.anchor), [*reversed(path.parts[1:])], 0
    _check_folder(here, os.lstat(here), last=not ahead)
    while ahead:
        name = ahead.pop()
        if name == "..":
            here = here.parent  # no link: those are resolved
            continue
        there = here / name
        found = _found(there, make)
        if not stat.S_ISLNK(found.st_mode):
            _check_folder(there, found, last=not ahead)
            here = there
            continue
        _check_owner(there, found)
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = Path(os.readlink(there))
        here = Path(target.anchor) if target.is_absolute() else here
        ahead += reversed(target.parts[target.is_absolute() :])
    return here


def read(path):
    """The file's bytes; Untrusted where others can change them, and OSError where they can't be read."""
    folder = trusted_folder(path.parent)
    with open(os.open(folder / path.name, READ), "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if hasattr(os, "geteuid"):
            _check_owner(path, found)
            _check_mode(path, found)
        return stream.read()


def write(path, content, folder_mode):
    """The file whole or not at all, in a folder that `trusted_folder` makes; as readable as the folder."""
    folder = trusted_folder(path.parent, make=folder_mode)
    temporary = folder / f"{path.name}.{os.urandom(8).hex()}.tmp"
    try:
        with open(os.open(temporary, CREATE, folder_mode & 0o666), "wb") as stream:
            stream.write(content)
        os.replace(temporary, folder / path.name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _found(path, make):
    try:
        return os.lstat(path)
    except FileNotFoundError:
        if make is None:
            raise
        with suppress(FileExistsError):  # another process made it meanwhile
            os.mkdir(path, make)
        return os.lstat(path)


def _check_folder(path, found, last):
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    _check_owner(path, found)
    if last or not found.st_mode & stat.S_ISVTX:  # as in /tmp: others make files there, but rename only their own
        _check_mode(path, found)


def _check_owner(path, found):
    if found.st_uid not in (0, os.geteuid()):
        raise _untrusted(path, f"{path} belongs to another user (number {found.st_uid})", f"chown root {_quoted(path)}")


def _check_mode(path, found):
    if found.st_mode & OTHERS_WRITE:
        raise _untrusted(path, f"others can write {path}", f"chmod go-w {_quoted(path)}")


def _untrusted(path, reason, fix):
    return Untrusted(errno.EPERM, f"{reason}; `{fix}`", str(path))


def _quoted(path):
    import shlex  # half a millisecond, for what is never said

    return shlex.quote(str(path))
