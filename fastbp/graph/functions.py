"""exp, log and relu: functions of each element by itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.graph.operation import Elementwise
from fastbp.graph.values import Value


class Exp(Elementwise):
    symbol = "exp"

    def value(self, *values: Value) -> Any:
        return np.exp(values[0])

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return out

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "times its own output"


class Log(Elementwise):
    symbol = "log"

    def value(self, *values: Value) -> Any:
        return np.log(values[0])

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return np.divide(1.0, values[0])

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "times 1/x"


class Relu(Elementwise):
    """max(x, 0); NaN passes (the book's section 5.5.1)."""

    symbol = "relu"
    boxed = True

    def value(self, *values: Value) -> Any:
        return np.where(np.less_equal(values[0], 0), np.zeros_like(values[0]), values[0])

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        return [np.where(np.less_equal(values[0], 0), np.zeros_like(dout), dout)]  # 0 · inf would be NaN

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "passes it on where the input is above 0, else 0"
