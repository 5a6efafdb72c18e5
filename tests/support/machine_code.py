"""Prints the machine code of all inner loops of products and convolutions, as JSON.

Run in a process that compiles for a target. With the name of an ARM processor it emits code for that, from the tiles
that fit its registers.
"""

import json
import sys

import llvmlite.binding as llvm
from numba import types

from fastbp.kernels import tiles  # all of it
from fastbp.kernels.build import machine
from fastbp.kernels.tiles import target

ARM = sys.argv[1] if len(sys.argv) > 1 else None
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


def code_of(function):
    """The machine code of a C function as text; for ARM from LLVM's code for the processor below."""
    module, _ = function.module()
    to = machine.target_machine()
    if ARM:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        triple = "aarch64-unknown-linux-gnu"
        to = llvm.Target.from_triple(triple).create_target_machine(cpu=ARM, opt=3)
        lines = [
            line for line in str(module).splitlines() if not line.startswith(("target triple", "target datalayout"))
        ]
        module = llvm.parse_assembly("\n".join(lines))
        module.triple, module.data_layout = triple, str(to.target_data)
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


def main():
    found = [
        {
            "what": f"{kind} {element} {rows}x{vectors}",
            "products": rows * vectors,
            "symbol": function.symbol,
            "code": code_of(function),
        }
        for element in (types.float32, types.float64)
        for kind, rows, vectors, function in inner_loops(element)
    ]
    print(json.dumps({"target": list(target.TARGET), "functions": found}))


main()
