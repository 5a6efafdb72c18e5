"""What a bug report needs to know of this installation and this machine."""

import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from numba.core.registry import cpu_target

from fastbp import __file__ as init_file
from fastbp import __version__
from fastbp.kernels.build.cache import cached_kernels
from fastbp.kernels.build.folder import NO_HOME, cache_folder, is_nowhere
from fastbp.kernels.build.trusted import Untrusted, trusted_folder
from fastbp.system.files import why_not_writable
from fastbp.system.threads import get_num_threads, launched, threading_layer

PACKAGES = ("numpy", "numba", "llvmlite", "typer", "rich", "platformdirs", "pooch")

# The widest vectors that the target has: (feature of LLVM, what to call it).
INSTRUCTION_SETS = (
    ("+avx512vl", "AVX-512"),
    ("+avx2", "AVX2"),
    ("+sse2", "SSE2"),
    ("+neon", "NEON"),
)


def collect() -> dict[str, str]:
    """Facts by name, in the order to print them."""
    facts = {"fastbp": f"{__version__} ({Path(init_file).parent})", "python": _python()}
    facts |= {package: version(package) for package in PACKAGES}
    cpu, features = _target()
    facts |= {
        "system": platform.platform(),
        "processor": f"{_processor()} ({cpu}), {os.cpu_count()} cores",
        "instruction set": next((name for feature, name in INSTRUCTION_SETS if feature in features), "generic"),
        "threads": _threads(),
        "threading layer": _layer(),
        "cache folder": _kept(cache_folder("kernels")),
        "cached kernels": _cached_kernels(),
        "data folder": _data(),
    }
    return facts


def _python() -> str:
    return f"{platform.python_version()} {platform.python_implementation()}"


def _target() -> tuple[str, str]:
    """Name and features that kernels are compiled for (NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are honoured)."""
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    return name, features


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _threads() -> str:
    source = "FASTBP_NUM_THREADS" if os.environ.get("FASTBP_NUM_THREADS") else "one for each core that we may use"
    most = launched()
    lowered = f"; Numba has {most} at most" if most < get_num_threads() else ""
    return f"{get_num_threads()} ({source}{lowered})"


def _layer() -> str:
    name, reason = threading_layer()
    return f"{name or 'none, kernels run serially'} ({reason})"


def _cached_kernels() -> str:
    count, size = cached_kernels()
    return f"{count} ({size / 1e6:.1f} MB)"


def _data() -> str:
    """Where MNIST is read: FASTBP_DATA comes before the cache."""
    named = os.environ.get("FASTBP_DATA")
    if named:
        return f"{named} (FASTBP_DATA{'' if Path(named).expanduser().exists() else ', which is not there'})"
    return _kept(cache_folder("mnist"))


def _kept(folder: Path) -> str:
    """Where something is kept, or why nowhere."""
    if is_nowhere(folder):
        return f"nowhere ({NO_HOME}; set FASTBP_CACHE_DIR)"
    return f"{folder} ({_writable(folder)})"


def _writable(folder: Path) -> str:
    try:
        with suppress(FileNotFoundError):
            trusted_folder(folder)
    except Untrusted as error:
        return f"not used: {error.strerror}, or set FASTBP_CACHE_DIR{_ANOTHER}"
    except OSError as error:
        return f"not writable: {error.strerror}; set FASTBP_CACHE_DIR{_ANOTHER}"
    reason = why_not_writable(folder)
    return f"not writable: {reason}; set FASTBP_CACHE_DIR{_ANOTHER}" if reason else "writable"


_ANOTHER = " to another folder"  # it may be set already
