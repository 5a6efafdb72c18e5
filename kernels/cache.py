"""The disk cache of compiled kernels: one file for each kernel, signature, processor and state of the sources.

Numba's own cache is not used, for three faults (read in `numba/core/caching.py`): it looks at the kernel's own file
only, so that a kernel stays stale when a kernel that it calls has changed; its index has no lock, so that two processes
can mix signatures up; and where nothing can be written it raises at import. Here the file's name is a hash of all that
the machine code depends on, and each file is moved into place whole: there is no index, and nothing to lock.
"""

import hashlib
import os
import pickle
import sys
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import llvmlite
import numba
from numba.core import config
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs


def cache_folder():
    """Where compiled kernels are kept: `FASTBP_CACHE_DIR`, else `NUMBA_CACHE_DIR`, else the user's cache folder."""
    root = os.environ.get("FASTBP_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    return Path(root or AppDirs("fastbp", appauthor=False).user_cache_dir).expanduser() / "kernels"


@lru_cache(maxsize=1)
def source_stamp():
    """A hash of every kernel's source, the compiler's versions and its options: what stales all kernels at once."""
    stamp = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        stamp.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    stamp.update(repr((sys.version_info, numba.__version__, llvmlite.__version__)).encode())
    stamp.update(repr((config.BOUNDSCHECK, config.OPT, config.DEBUGINFO_DEFAULT)).encode())
    return stamp.hexdigest()[:16]


@lru_cache(maxsize=1)
def warn_once(folder, reason):
    warnings.warn(
        f"compiled kernels can't be kept in {folder} ({reason}), so each process compiles them anew; "
        "set FASTBP_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


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
        for file in (cache_folder() / source_stamp()).glob(f"{self._name}-*.nbc"):
            file.unlink(missing_ok=True)

    def load_overload(self, sig, target_context):
        """The compiled kernel for this signature and processor, or None."""
        target_context.refresh()
        if not self._enabled:
            return None
        try:
            payload = pickle.loads(self._file(sig, target_context.codegen()).read_bytes())
            return CompileResult._rebuild(target_context, *payload)
        except OSError:
            return None
        except (pickle.UnpicklingError, EOFError, TypeError, ValueError):
            return None  # a damaged file: compiled anew, and replaced

    def save_overload(self, sig, result):
        """Keeps a compiled kernel; where that is impossible, warns once in the life of the process."""
        if not self._enabled:
            return
        file = self._file(sig, result.codegen)
        data = dumps(result._reduce())
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                os.replace(temporary, file)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            warn_once(cache_folder(), error.strerror)

    def _file(self, sig, codegen):
        key = hashlib.sha256(repr((sig, codegen.magic_tuple())).encode()).hexdigest()[:24]
        return cache_folder() / source_stamp() / f"{self._name}-{key}.nbc"
