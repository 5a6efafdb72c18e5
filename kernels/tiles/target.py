"""The processor that Numba compiles for: its vectors, how many registers hold them, its cache lines."""

import re
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
from numba.core.registry import cpu_target


class Target(NamedTuple):
    """What the compiler may use: bytes of a vector register, how many there are, and which instructions."""

    vector_bytes: int
    registers: int
    fma: bool  # fused multiply-add
    compresses_bytes: bool = False  # AVX-512 VBMI2: moves the bytes of a mask to the front
    avx2: bool = False  # or more: integers in whole vectors, permuted by others. Some with AVX and FMA lack it (bdver2)


def find_target() -> Target:
    """Ask the code generator itself: compile an fma, a double shift and a sum of integers; read what registers it took.

    Names and feature strings (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) add up in LLVM in ways not worth repeating here.
    """
    codegen = cpu_target.target_context.codegen()
    module = llvm.parse_assembly("""
        declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
        define void @probe(ptr %p) {
            %x = load <16 x float>, ptr %p
            %y = call <16 x float> @llvm.fma.v16f32(<16 x float> %x, <16 x float> %x, <16 x float> %x)
            store <16 x float> %y, ptr %p
            ret void
        }
        declare <32 x i16> @llvm.fshl.v32i16(<32 x i16>, <32 x i16>, <32 x i16>)
        define void @shift(ptr %p) {
            %x = load <32 x i16>, ptr %p
            %y = call <32 x i16> @llvm.fshl.v32i16(<32 x i16> %x, <32 x i16> %x, <32 x i16> %x)
            store <32 x i16> %y, ptr %p
            ret void
        }
        define void @sum(ptr %p) {
            %x = load <8 x i32>, ptr %p
            %y = add <8 x i32> %x, %x
            store <8 x i32> %y, ptr %p
            ret void
        }""")
    module.triple = codegen._tm.triple
    assembly = codegen._tm.emit_assembly(module)
    fma = "fmaf" not in assembly  # without the instruction LLVM calls the C library
    if "zmm" in assembly:
        return Target(64, 32, fma, "vpshldvw" in assembly, True)
    if "ymm" in assembly:
        return Target(32, 16, fma, False, re.search(r"vpaddd\s.*ymm", assembly) is not None)
    return Target(16, 32 if module.triple.startswith(("aarch64", "arm64")) else 16, fma)


TARGET = find_target()
CACHE_LINE = 64


def lanes(dtype) -> int:
    """Elements of a dtype in one vector register of the target."""
    return TARGET.vector_bytes // np.dtype(dtype).itemsize
