"""What a node does: its value from those of its inputs, and the derivatives it hands down from the one it gets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.graph.values import Value, shape_of, shape_text, summed_to

INPUT, BATCH = "the input", "the batch"


class Operation:
    """A kind of node. It knows nothing of the graph around it: values in, a value out; a derivative in, some out.

    `symbol` is written inside the node: in a circle, or in a box where `boxed`. One that `keeps_state`
    gives the gradients of its last `value` only.
    """

    symbol = ""
    boxed = False
    keeps_state = False

    def value(self, *values: Value) -> Any:
        """The output. ValueError when the shapes don't fit."""
        raise NotImplementedError

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        """The derivative for each input, None for an input that has none (labels)."""
        raise NotImplementedError

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        """In words, what becomes of the derivative from above on its way to input i."""
        raise NotImplementedError

    def formula(self, names: Sequence[str]) -> str:
        """The node as one writes it, with the names of its inputs."""
        return f"{self.symbol}({', '.join(names)})"

    def opened(self, *inputs: Any) -> Any:
        """The same value by nodes of simpler operations, None for an operation that has no parts."""
        return None

    def apart(self) -> "Operation":
        """An operation with the same gradients, which may be asked for them and leaves nothing behind."""
        return self


class Elementwise(Operation):
    """An operation on each element by itself, with NumPy's broadcasting, whose backward is a sum."""

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        """The derivative of the output by input i, element by element."""
        raise NotImplementedError

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        return [summed_to(np.multiply(dout, self.local(i, values, out)), x) for i, x in enumerate(values)]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        return self.local_rule(i, values) + broadcast_rule(values[i], out)

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        raise NotImplementedError


def broadcast_rule(x: Value, out: Value) -> str:
    """What is added to a rule where broadcasting has spread the input out."""
    before, after = np.shape(x), np.shape(out)
    if before == after:
        return ""
    extra = len(after) - len(before)
    axes = [*range(extra), *(i for i, size in enumerate(before, extra) if size == 1 and after[i] != 1)]
    if not axes:
        return f"; broadcast to {shape_of(out)}"
    over = (
        BATCH
        if axes == [0] and len(after) == 2
        else f"axes {shape_text(tuple(axes))}"
        if axes[1:]
        else f"axis {axes[0]}"
    )
    return f"; broadcast: summed over {over}, {shape_of(out)} to {shape_of(x)}"
