"""The table of what runs where."""

from typing import Any

import numpy as np
from numba import config

from fastbp.engine.operations import Operation


def report(
    operations: list[Operation], loss: str, optimizer: str, states: int, dtype: np.dtype[Any], batch: int
) -> str:
    """A line for each operation of the compiled loop, with its floating-point operations and bytes in one step.

    `loss` and `optimizer` are names, `states` how many arrays of state a parameter has.
    """
    lines: list[tuple[str, ...]] = [("layer", "runs as", "inputs", "outputs", "kflop", "kB")]
    for n, operation in enumerate(operations):
        lines.append(
            (
                operation.names,
                "compiled" + (", one kernel" if "+" in operation.names else ""),
                str(operation.inputs),
                str(operation.outputs),
                f"{operation.flops(batch, n == 0) / 1e3:.0f}",
                f"{operation.bytes(batch, dtype.itemsize) / 1e3:.0f}",
            )
        )
    classes = operations[-1].outputs
    size = f"{3 * batch * classes * dtype.itemsize / 1e3:.0f}"
    lines.append((loss, "compiled", str(classes), "1", "", size))
    parameters = sum(o.inputs * o.outputs + o.outputs for o in operations if o.affine is not None)
    state = states * parameters * dtype.itemsize
    lines.append((optimizer, "compiled", str(parameters), "", "", f"{state / 1e3:.0f}"))
    how = ", as Python: NUMBA_DISABLE_JIT is set" if config.DISABLE_JIT else ""
    return _aligned(lines, f"one step of {batch} samples in {dtype}{how}")


def layers_report(names: list[str], reason: str, batch: int) -> str:
    """A line for each layer, where none of it is compiled."""
    lines: list[tuple[str, ...]] = [("layer", "runs as"), *((name, "layer by layer") for name in names)]
    return _aligned(lines, f"not compiled: {reason}")


def _aligned(lines: list[tuple[str, ...]], title: str) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, *rows])
