"""The table of what runs where."""

from typing import Any, NamedTuple

import numpy as np
from numba import config

from fastbp.engine.operations import Operation


class Row(NamedTuple):
    """What a report says of an operation, once the operation itself may have changed."""

    names: str
    inputs: int  # 0 until samples are seen
    outputs: int
    flops: int  # of a sample
    flops_of_the_first: int
    elements: int  # of its parameters
    buffers: int  # elements of a sample


def table(operations: list[Operation]) -> list[Row]:
    """Those of a network."""
    return [
        Row(each.names, each.D, each.M, each.flops(1, False), each.flops(1, True), each.elements(), each.D + each.M)
        if each.inputs is not None
        else Row(each.names, 0, 0, 0, 0, each.elements(), 0)
        for each in operations
    ]


def report(operations: list[Row], loss: str, optimizer: str, states: int, dtype: np.dtype[Any], batch: int) -> str:
    """A line for each operation of the compiled loop, with its floating-point operations and bytes in one step.

    `loss` and `optimizer` are names, `states` how many arrays of state a parameter has.
    """
    lines: list[tuple[str, ...]] = [("layer", "runs as", "inputs", "outputs", "kflop", "kB")]
    for n, operation in enumerate(operations):
        flops = batch * (operation.flops_of_the_first if n == 0 else operation.flops)
        size = dtype.itemsize * (operation.elements + batch * operation.buffers)
        figures = (str(operation.inputs), str(operation.outputs), f"{flops / 1e3:.0f}", f"{size / 1e3:.0f}")
        how = "compiled" + (", one kernel" if "+" in operation.names else "")
        lines.append((operation.names, how, *(figures if operation.inputs else "????")))
    classes = operations[-1].outputs
    size_of_loss = f"{3 * batch * classes * dtype.itemsize / 1e3:.0f}"
    lines.append((loss, "compiled", str(classes or "?"), "1", "", size_of_loss if classes else "?"))
    parameters = sum(operation.elements for operation in operations)
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
