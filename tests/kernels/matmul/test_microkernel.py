"""The inner loops of products and convolutions in machine code, for processors that need not be here: nothing spills.

A tile has so many accumulators that, with what is loaded, they just fit the registers. One that doesn't stay there
costs a store and a load in each round: 0.6 of the multiply-add peak instead of 0.9.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numba import config

if config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)

MACHINE_CODE = str(Path(__file__).parents[2] / "support" / "machine_code.py")
# Processors with the same tiles: their code is the same until it becomes machine code.
X86 = (("x86-64-v2",), ("haswell", "znver3"), ("skylake-avx512", "sapphirerapids", "znver4"))
ARM = ("neoverse-n1", "apple-m1")
x86_only = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")


def run(*arguments: str, cache: Path, **settings: str) -> str:
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "FASTBP_CACHE_DIR": str(cache)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=os.environ | environment | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


def body(code: str, symbol: str) -> list[str]:
    """The instructions and labels of one function."""
    lines = code.splitlines()
    start = lines.index(f"{symbol}:")
    end = next(i for i in range(start, len(lines)) if lines[i].startswith(".Lfunc_end"))
    return [line.split("#")[0].split("//")[0].strip() for line in lines[start + 1 : end]]


def innermost_loops(lines: list[str]) -> list[list[str]]:
    """What lies between a label and the jump back to it, where no other label lies between."""
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.fullmatch(r"\.L\w+:", line)}
    spans = []
    for i, line in enumerate(lines):
        jump = re.fullmatch(r"(?:j\w+|b\.?\w*|cbn?z|tbn?z)\s+(?:.*,\s*)?(\.L\w+)", line)
        if jump and labels.get(jump[1], i) < i:
            spans.append((labels[jump[1]], i))
    inner = [(a, b) for a, b in spans if not any(a < other < b for other in labels.values())]
    return [lines[a : b + 1] for a, b in inner]


def count(loop: list[str], mnemonic: str) -> int:
    return sum(re.match(mnemonic, line) is not None for line in loop)


def multiply_adds(loop: list[str], fma: bool) -> int:
    """Of whole vectors; a multiplication and an addition are one where the processor has no other."""
    if fma:
        return count(loop, r"vfn?madd\d+p[sd]\s|fmla\s")
    products, sums = count(loop, r"v?mulp[sd]\s"), count(loop, r"v?addp[sd]\s")
    assert products in (0, sums), (products, sums)  # 0: no loop of a product
    return products


def touches_the_stack(loop: list[str], whole: list[str]) -> list[str]:
    framed = any(re.match(r"mov\w*\s+%rsp,\s*%rbp|mov\s+x29,\s*sp", line) for line in whole)
    places = r"\(%rsp|\[sp" + (r"|\(%rbp|\[x29" if framed else "")
    return [line for line in loop if re.search(places, line) or re.match(r"(push|pop)", line)]


def check(found: dict[str, Any], processor: str) -> None:
    functions = found["functions"][processor]
    assert len(functions) >= 52, "two or three tiles of ten kinds, and of convolutions, for two dtypes"
    for function in functions:
        lines = body(function["code"], function["symbol"])
        loops = [loop for loop in innermost_loops(lines) if multiply_adds(loop, found["target"][2])]
        assert loops, f"{function['what']}: no loop"
        for loop in loops:
            number = multiply_adds(loop, found["target"][2])
            assert number % function["products"] == 0, f"{function['what']}: {number} multiply-adds\n" + "\n".join(loop)
            assert not touches_the_stack(loop, lines), f"{function['what']} spills:\n" + "\n".join(loop)
            calls = count(loop, r"(call|bl)\w*\s")
            assert not calls, f"{function['what']}: {calls} calls in its loop"


@x86_only
@pytest.mark.command
@pytest.mark.parametrize("processors", X86, ids=" ".join)
def test_inner_loops_stay_in_registers(processors: tuple[str, ...], tmp_path: Path) -> None:
    settings = {"NUMBA_CPU_NAME": processors[0], "NUMBA_CPU_FEATURES": ""}
    found = json.loads(run(MACHINE_CODE, *processors, cache=tmp_path, **settings))
    for processor in processors:
        check(found, processor)


@x86_only
@pytest.mark.command
def test_inner_loops_stay_in_registers_on_arm(tmp_path: Path) -> None:
    settings = {"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": ""}
    found = json.loads(run(MACHINE_CODE, "--arm", *ARM, cache=tmp_path, **settings))
    for processor in ARM:
        check(found, processor)


@pytest.mark.parametrize(
    ("line", "found"),
    [("vmovups %ymm1, 32(%rsp)", True), ("vmovaps -64(%rbp), %ymm1", True), ("vmovups (%rax), %ymm1", False)],
)
def test_a_spill_is_seen(line: str, found: bool) -> None:
    whole = ["push %rbp", "movq %rsp, %rbp", ".LBB0_1:", "vfmadd231ps %ymm1, %ymm2, %ymm3", line, "jne .LBB0_1"]
    (loop,) = innermost_loops(whole)
    assert multiply_adds(loop, fma=True) == 1
    assert bool(touches_the_stack(loop, whole)) == found
