"""The instruction sets that a report has columns for: the machine's own, and AVX2 where it has more.

A column is measured in processes whose libraries are told, by environment variables, what they may use. Whether they
obey is not left to them: Linux notes for every thread when AVX-512 registers were last in use (`AVX512_elapsed_ms` in
/proc/PID/task/TID/arch_status), and what used them in the column of AVX2 is refused. (A product that stays in the first
16 registers and clears them would not be noted; none of the libraries has one.)
"""

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()
TICKS = 0.02  # seconds: the kernel counts in ticks of up to 10 ms
TOLD = "FASTBP_BENCHMARK_INSTRUCTIONS"  # the restriction that a process is to obey

FULL, AVX2, AVX512 = "full", "AVX2", "AVX-512"
HASWELL = (
    "64bit avx avx2 bmi bmi2 cmov cx16 cx8 f16c fma fsgsbase fxsr invpcid lzcnt mmx movbe pclmul popcnt rdrnd sahf "
    "sse sse2 sse3 sse4.1 sse4.2 ssse3 xsave xsaveopt"
)
# Of ours, OpenBLAS, PyTorch's own kernels and what `torch.compile` compiles, MKL and oneDNN in PyTorch, XLA, and the C
# library's memcpy. YNNPACK, which multiplies for XLA, asks the processor alone; it is left out, which makes a product
# of 100×784×50 no slower.
RESTRICTIONS = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in HASWELL.split()),
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "TORCHINDUCTOR_CPP_MARCH": "haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_cpu_experimental_ynn_fusion_type=",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(f"-AVX512{part}" for part in ("F", "VL", "BW", "DQ", "CD")),
}
NUMPY, CACHE = "NPY_DISABLE_CPU_FEATURES", "FASTBP_CACHE_DIR"  # their values depend on the machine


@dataclass(frozen=True)
class InstructionSet:
    """A column: what it is called, and what its processes have in their environment besides this one's."""

    name: str
    environment: Mapping[str, str]


def offered(wanted: tuple[str, ...] = ()) -> list[InstructionSet]:
    """The columns that this machine has, or those wanted of "full" and "avx2". ValueError for one that it hasn't.

    What restricts libraries already is taken out of this process's environment.
    """
    for name in (*RESTRICTIONS, NUMPY, "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    from fastbp.system.info import collect

    own = collect()["instruction set"]
    sets = {FULL: InstructionSet(own, {})}
    if own == AVX512:
        sets[AVX2.lower()] = InstructionSet(AVX2, _restricted())
    if unknown := set(wanted) - set(sets):
        raise ValueError(f"no column {', '.join(sorted(unknown))}: this machine, with {own}, has {', '.join(sets)}")
    return [each for name, each in sets.items() if name in (wanted or sets)]


def _restricted() -> dict[str, str]:
    import numpy as np

    from fastbp.kernels.build.folder import cache_folder

    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    more = [feature for feature in found if "512" in feature or feature == "X86_V4"]
    cache = Path(cache_folder("kernels")) / "avx2"
    return RESTRICTIONS | {NUMPY: " ".join(more), CACHE: str(cache), TOLD: AVX2}


# In a process that measures ------------------------------------------------------------------------------------------


def reported() -> dict[str, str]:
    """What the libraries say of themselves, by name."""
    from numba.core.registry import cpu_target

    facts = {"kernels compiled for": cpu_target.target_context.codegen().magic_tuple()[1]}
    if find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_info

        kinds = [str(pool["architecture"]) for pool in threadpool_info() if pool["internal_api"] == "openblas"]
        facts["OpenBLAS runs"] = ", ".join(dict.fromkeys(kinds)) or "not loaded"
    if find_spec("torch"):
        import torch

        facts["PyTorch runs"] = torch.backends.cpu.get_cpu_capability()
    return facts


def checked() -> dict[str, str]:
    """What `used_avx512` says, as a fact. ValueError where this process was told to do without and didn't."""
    if reason := disobeyed():
        raise ValueError(f"the column of {os.environ[TOLD]} is refused: the process that measures {reason}")
    said = {True: "used", False: "not used", None: "not known: the system doesn't tell"}[used_avx512()]
    return {"AVX-512 registers": said}


def disobeyed() -> str:
    """Why this process is not what its column asks for; nothing when it is."""
    if TOLD not in os.environ or (used := used_avx512()) is False:
        return ""
    return "used AVX-512 registers, which it was told not to" if used else "can't be checked: no /proc/PID/arch_status"


def used_avx512() -> bool | None:
    """Whether a thread of this process had AVX-512 registers in use when it last made way; None where nobody knows."""
    time.sleep(TICKS)  # makes way
    ages = []
    for task in Path("/proc/self/task").glob("*/arch_status"):
        with suppress(OSError):  # the thread has ended
            ages += [int(age) for age in re.findall(r"AVX512_elapsed_ms:\s*(-?\d+)", task.read_text())]
    since = 1000 * (time.monotonic() - BEGAN - TICKS)  # older is what the process before had, whose number it keeps
    return any(0 <= age < since for age in ages) if ages else None


def columns_option(parser: Any) -> None:
    """Adds --isa to the options of a command."""
    parser.add_argument(
        "--isa",
        type=lambda value: tuple(value.lower().split(",")),
        default=(),
        metavar="full,avx2",
        help="the columns to measure: all instructions of this machine, AVX2 alone; by default both, where they differ",
    )
