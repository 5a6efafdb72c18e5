"""The disk cache of compiled kernels: one file for each kernel, signature, processor and state of the sources.

Numba's own cache is not used, for three faults (read in `numba/core/caching.py`): it looks at the kernel's own file
only, so that a kernel stays stale when a kernel that it calls has changed; its index has no lock, so that two processes
can mix signatures up; and where nothing can be written it raises at import. Here the file's name is a hash of all that
the machine code depends on, and each file is moved into place whole: there is no index, and nothing to lock. A file
begins with the hash of its content, so that damaged machine code is never run, and is only read where nobody but the
user and root can have written it (`trusted.py`): unpickling runs code, and so do kernels.
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

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from fastbp.kernels.build import folder, native, trusted
from fastbp.kernels.build.stamp import kernels_hash

DIGEST = hashlib.sha256().digest_size
DAY = 24 * 3600
UNUSED = 30 * DAY  # after which the kernels of other sources and versions are removed


def cache_folder():
    """Where compiled kernels are kept: `FASTBP_CACHE_DIR`, else `NUMBA_CACHE_DIR`, else the user's cache folder."""
    return folder.cache_folder("kernels")


def cached_kernels():
    """(How many kernels are kept of these sources and versions, and how many bytes they take.)"""
    sizes = []
    with suppress(OSError):  # what may not be used is not counted
        sizes = [file.stat().st_size for file in trusted.trusted_folder(_stamp_folder()).glob("*.nbc")]
    return len(sizes), sum(sizes)


def source_stamp():
    """A hash of every kernel's source, the compiler's versions and its options: what stales all kernels at once.

    None where the kernels' sources and code can't be found out.
    """
    kernels = kernels_hash()
    versions = (sys.version, np.__version__, numba.__version__, llvmlite.__version__)
    options = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE")
    stamp = repr((kernels, versions, [getattr(config, option) for option in options]))
    return kernels and hashlib.sha256(stamp.encode()).hexdigest()[:16]


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
        with suppress(OSError):
            for file in trusted.trusted_folder(_stamp_folder()).glob(f"{self._name}-*.nbc"):
                file.unlink(missing_ok=True)

    def load_overload(self, sig, target_context):
        """The compiled kernel for this signature and processor, or None; a damaged file is None, and replaced later.

        The context isn't refreshed, as Numba does here: that imports all that Numba can compile, NumPy's functions and
        SciPy's, in a third of a second, of which machine code needs nothing.
        """
        data = load(self._name, sig) if self._enabled else None
        if data is None:
            return None
        calls, reduced = pickle.loads(data)
        for function in calls:  # its code names them
            function.address()
        return CompileResult._rebuild(target_context, *reduced)

    def save_overload(self, sig, result):
        """Keeps a compiled kernel; where that is impossible, warns once in the life of the process."""
        if self._enabled and not result.library.has_dynamic_globals:  # an address means nothing in another process
            save(self._name, sig, dumps((native.called_by(result.library), result._reduce())))

    def _file(self, sig, codegen):
        return file_of(self._name, sig)


def load(name, key):
    """What was saved under this name and key for this processor, or None: then who watches is told of it."""
    file = file_of(name, key)
    data = _read(file)
    if data is None:
        for tell in tuple(_watchers):  # who is told may stop watching
            tell(name)
        return None
    _mark_used(file.parent)
    return data


def save(name, key, data):
    """Keeps it; where that is impossible, warns once in the life of the process."""
    if STAMP is None:
        _warn_once("the code of fastbp.kernels, which tells one version's from another's, can't be read")
        return
    if source_stamp() != STAMP:
        return  # edited since the import: what was compiled is neither the old source nor the new
    try:
        _write(file_of(name, key), hashlib.sha256(data).digest() + data)
    except OSError as error:
        _warn_once(error)
    else:
        _remove_unused(cache_folder())


def file_of(name, key):
    """Where that is kept."""
    target = cpu_target.target_context.codegen().magic_tuple()
    digest = hashlib.sha256(repr((key, target)).encode()).hexdigest()[:24]
    return _stamp_folder() / f"{name}-{digest}.nbc"


def _stamp_folder():
    return cache_folder() / str(STAMP)


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
    """What was written without its hash; None when there is nothing, something else, or what others can have written.

    The last is told to the user, once in the life of the process.
    """
    if STAMP is None:
        return None
    try:
        content = trusted.read(file)
    except trusted.Untrusted as error:
        _warn_once(error)
        return None
    except OSError:
        return None
    digest, data = content[:DIGEST], content[DIGEST:]
    return data if hashlib.sha256(data).digest() == digest else None


def _write(file, content):
    """The file whole or not at all, where nobody but the user and root can write."""
    trusted.write(file, content, folder.new_folder_mode("kernels"))


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


def _warn_once(error):
    """Says why kernels aren't kept, or not used, and what to do; once in the life of the process."""
    if not _warned:
        _warned.append(error)
        warnings.warn(_said(error, cache_folder()), RuntimeWarning, stacklevel=3)


def _said(error, kept):
    if isinstance(error, trusted.Untrusted):
        return f"compiled kernels in {kept} are not used: {error.strerror}, or set FASTBP_CACHE_DIR to another folder"
    if STAMP is None:
        return f"compiled kernels can't be kept, so each process compiles them anew: {error}"
    where = f"({folder.NO_HOME})" if folder.is_nowhere(kept) else f"in {kept} ({error.strerror})"
    compiled = f"compiled kernels can't be kept {where}, so each process compiles them anew"
    return f"{compiled}; set FASTBP_CACHE_DIR to a folder that can be written"
