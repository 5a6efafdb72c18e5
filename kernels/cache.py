"""The disk cache of compiled kernels: one file for each kernel, signature, processor and state of the sources.

Numba's own cache is not used, for three faults (read in `numba/core/caching.py`): it looks at the kernel's own file
only, so that a kernel stays stale when a kernel that it calls has changed; its index has no lock, so that two processes
can mix signatures up; and where nothing can be written it raises at import. Here the file's name is a hash of all that
the machine code depends on, and each file is moved into place whole: there is no index, and nothing to lock. A file
begins with the hash of its content, so that damaged machine code is never run.
"""

import hashlib
import os
import pickle
import re
import shutil
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

DIGEST = hashlib.sha256().digest_size
DAY = 24 * 3600
UNUSED = 30 * DAY  # after which the kernels of other sources and versions are removed


def cache_folder():
    """Where compiled kernels are kept: `FASTBP_CACHE_DIR`, else `NUMBA_CACHE_DIR`, else the user's cache folder."""
    root = os.environ.get("FASTBP_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    return Path(os.path.expanduser(root or AppDirs("fastbp", appauthor=False).user_cache_dir)) / "kernels"


def cached_kernels():
    """(How many kernels are kept of these sources and versions, and how many bytes they take.)"""
    sizes = [file.stat().st_size for file in (cache_folder() / STAMP).glob("*.nbc")]
    return len(sizes), sum(sizes)


def source_stamp():
    """A hash of every kernel's source, the compiler's versions and its options: what stales all kernels at once."""
    stamp = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        stamp.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    stamp.update(repr((sys.version, np.__version__, numba.__version__, llvmlite.__version__)).encode())
    options = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE")
    stamp.update(repr([getattr(config, option) for option in options]).encode())
    return stamp.hexdigest()[:16]


STAMP = source_stamp()  # of what is being imported: the files may change later, the kernels in memory don't


class KernelCache:
    """The cache of one kernel, in the form that a Numba dispatcher asks for (`numba.core.caching._Cache`)."""

    def __init__(self, function):
        self._name = f"{function.__module__.removeprefix('fastbp.kernels.')}.{function.__qualname__}"
        self._enabled = True

    @property
    def cache_path(self):
        return str(cache_folder())

    def enable(self):
        self._enabled = True

    def disable(self):
        self._enabled = False

    def flush(self):
        for file in (cache_folder() / STAMP).glob(f"{self._name}-*.nbc"):
            file.unlink(missing_ok=True)

    def load_overload(self, sig, target_context):
        """The compiled kernel for this signature and processor, or None; a damaged file is None, and replaced later."""
        target_context.refresh()
        if not self._enabled:
            return None
        file = self._file(sig, target_context.codegen())
        data = _read(file)
        if data is None:
            for tell in tuple(_watchers):  # who is told may stop watching
                tell(self._name)
            return None
        _mark_used(file.parent)
        return CompileResult._rebuild(target_context, *pickle.loads(data))

    def save_overload(self, sig, result):
        """Keeps a compiled kernel; where that is impossible, warns once in the life of the process."""
        if not self._enabled or result.library.has_dynamic_globals:
            return  # an address of this process has no meaning in another
        if source_stamp() != STAMP:
            return  # edited since the import: what was compiled is neither the old source nor the new
        file = self._file(sig, result.codegen)
        data = dumps(result._reduce())
        try:
            _write(file, hashlib.sha256(data).digest() + data)
        except OSError as error:
            _warn_once(error.strerror)
        else:
            _remove_unused(cache_folder())

    def _file(self, sig, codegen):
        key = hashlib.sha256(repr((sig, codegen.magic_tuple())).encode()).hexdigest()[:24]
        return cache_folder() / STAMP / f"{self._name}-{key}.nbc"


@contextmanager
def watching(tell):
    """Within the block, `tell` is called with the name of each kernel that is about to be compiled."""
    _watchers.append(tell)
    try:
        yield
    finally:
        _watchers.remove(tell)


_watchers = []


def _read(file):
    """What was written without its hash; None when there is nothing, or something else."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, data = content[:DIGEST], content[DIGEST:]
    return data if hashlib.sha256(data).digest() == digest else None


def _write(file, content):
    """The file whole or not at all, as readable to others as the umask says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.write(content)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@lru_cache(maxsize=1)
def _mark_used(folder):
    with suppress(OSError):
        os.utime(folder)


@lru_cache(maxsize=1)
def _remove_unused(root):
    """Other stamps' folders that nobody has used for long, and what a process left that was killed while it wrote."""
    now = time.time()
    with suppress(OSError):
        for folder in root.iterdir():
            if re.fullmatch("[0-9a-f]{16}", folder.name) and now - folder.stat().st_mtime > UNUSED:
                shutil.rmtree(folder, ignore_errors=True)
        for file in (root / STAMP).glob("*.tmp"):
            if now - file.stat().st_mtime > DAY:
                file.unlink(missing_ok=True)


_warned = []


def _warn_once(reason):
    if not _warned:
        _warned.append(reason)
        warnings.warn(
            f"compiled kernels can't be kept in {cache_folder()} ({reason}), so each process compiles them anew; "
            "set FASTBP_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
