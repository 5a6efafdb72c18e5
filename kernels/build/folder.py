"""Where fastbp keeps what it can get again: compiled kernels, and MNIST. Never relative to the current directory.

Kernels are code, and what lies in a folder that happens to be the current one may be anybody's.
"""

import os
from pathlib import Path

# The variables that name another folder than the user's; the first that isn't empty counts. Numba's is for kernels.
VARIABLES = {"kernels": ("FASTBP_CACHE_DIR", "NUMBA_CACHE_DIR"), "mnist": ("FASTBP_CACHE_DIR",)}

# The folder without a home: nothing can be made in it, so that it is a folder that can't be written as any other.
NOWHERE = Path(os.path.abspath(os.devnull))
NO_HOME = "there is no home folder"


def cache_folder(part):
    """The folder of "kernels" or "mnist", which need not exist: an absolute path. ValueError for a relative one."""
    named = _named(part)
    return (_absolute(*named) if named else _users_folder()) / part


def new_folder_mode(part):
    """The mode to make folders with, less the umask: others read what a variable names, nobody the user's own."""
    return 0o755 if _named(part) else 0o700


def is_nowhere(folder):
    """Whether this is a cache folder without a home."""
    return NOWHERE in folder.parents


def _named(part):
    """(variable, what it says) of the first that says something; None when there is none."""
    return next(((name, os.environ[name]) for name in VARIABLES[part] if os.environ.get(name)), None)


def _absolute(variable, said):
    folder = Path(os.path.expanduser(said))
    if folder.is_absolute():
        return folder
    reason = "there is no such home folder" if said.startswith("~") else "it would be another folder in each directory"
    raise ValueError(f"{variable} must be an absolute path, got {said!r} ({reason}): write the whole path, or unset it")


def _users_folder():
    import platformdirs

    try:
        folder = Path(platformdirs.user_cache_dir("fastbp", appauthor=False))
    except (RuntimeError, OSError, ValueError):  # neither HOME nor an entry in the password database, on POSIX
        return NOWHERE
    return folder if folder.is_absolute() else NOWHERE
