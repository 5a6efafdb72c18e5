"""Prints the machine code of all inner loops of products and convolutions, as JSON.

Run in a process that compiles for a target, with the names of processors that have the same tiles: Numba's code is made
once for all of them. With --arm they are ARM's, and the tiles those that fit their registers.
"""

import json
import sys
from unittest import mock

import llvmlite.binding as llvm
from numba import types
from numba.core import config

from fastbp.kernels import tiles  # all of it
from fastbp.kernels.build import machine
from fastbp.kernels.tiles import target

ARM = "--arm" in sys.argv
if ARM:
    here, target.TARGET = target.TARGET, target.Target(vector_bytes=16, registers=32, fma=True)
    for module in list(sys.modules.values()):
        if module.__name__.startswith(tiles.__name__) and getattr(module, "TARGET", None) is here:
            module.TARGET = target.TARGET

from fastbp.kernels.images.products import SEEING_KERNELS, TILE_ROWS  # noqa: E402 - what it compiles is the target's
from fastbp.kernels.matmul.panels import TILES  # noqa: E402
from fastbp.kernels.matmul.product import FEW_ROWS  # noqa: E402
from fastbp.kernels.matmul.sample_loops import (  # noqa: E402
    FEATURES_KERNELS,
    ROWS_OF_FEATURES,
    ROWS_OF_SAMPLES,
    SAMPLES_KERNELS,
)

TRIPLE = "aarch64-unknown-linux-gnu"
INT, BOOL, BYTES = types.int64, types.boolean, types.CPointer(types.uint8)


def signatures(element):
    """The arguments of each kind of inner loop."""
    A = C = types.CPointer(element)
    read = (INT, A, INT, INT, A, C, INT, BOOL)
    return {
        "read": read,
        "read_few": (INT, INT, A, INT, INT, A, C, INT),
        "fill": (INT, A, INT, INT, A, INT, A, C, INT, BOOL),
        "prefetch": (*read, BYTES, INT),
    }


def machine_of(processor):
    """What emits code for a processor: the one of this process, or another one's in its place."""
    if not ARM:
        with mock.patch.object(config, "CPU_NAME", processor):
            return machine.target_machine()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=processor, opt=3)


def code_of(function, module, to):
    """The machine code of a C function as text; for ARM from LLVM's code for the processor below."""
    module = module.clone()
    if ARM:
        lines = [
            line for line in str(module).splitlines() if not line.startswith(("target triple", "target datalayout"))
        ]
        module = llvm.parse_assembly("\n".join(lines))
        module.triple, module.data_layout = TRIPLE, str(to.target_data)
    return to.emit_assembly(machine.optimized(module, function.symbol, to))


def inner_loops(element):
    """Each inner loop compiled for an element type: its name, the rows and vectors of its tile, the C function."""
    for tile in TILES:
        for kind, signature in signatures(element).items():
            rows = tile.few if kind == "read_few" else tile.rows
            yield kind, rows, tile.vectors, getattr(tile, kind).of(*signature)
    a, places = types.CPointer(element), types.CPointer(types.int64)
    of_samples = INT, a, places, a, INT, a, a, INT, BOOL
    of_features = INT, INT, a, places, a, INT, a, a, INT, a, BOOL, BYTES, INT
    for kernels, heights, signature in (
        (SAMPLES_KERNELS, ROWS_OF_SAMPLES, of_samples),
        (FEATURES_KERNELS, ROWS_OF_FEATURES, of_features),
    ):
        for vectors, rows in heights.items():
            for kernel, height in zip(kernels[vectors], (rows, rows, FEW_ROWS), strict=True):
                yield kernel.name, height, vectors, kernel.of(*signature)
    for vectors, rows in TILE_ROWS.items():
        see = SEEING_KERNELS[vectors].of(INT, a, places, places, a, a, places, BOOL)
        yield "see", rows, vectors, see


def main(processors):
    machines = {name: machine_of(name) for name in processors}
    found = {name: [] for name in processors}
    for element in (types.float32, types.float64):
        for kind, rows, vectors, function in inner_loops(element):
            what = {"what": f"{kind} {element} {rows}x{vectors}", "products": rows * vectors, "symbol": function.symbol}
            module, _ = function.module()
            for name, to in machines.items():
                found[name].append(what | {"code": code_of(function, module, to)})
    print(json.dumps({"target": list(target.TARGET), "functions": found}))


main([name for name in sys.argv[1:] if name != "--arm"])
