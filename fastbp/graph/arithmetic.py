"""+ − × / ** and the unary minus (the book's section 5.3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.graph.operation import Elementwise
from fastbp.graph.values import Value, number, shape_of, summed_to


class Binary(Elementwise):
    """Two operands with a sign between them, of shapes that fit by NumPy's broadcasting."""

    def value(self, *values: Value) -> Any:
        x, y = values
        try:
            return self.function(x, y)
        except ValueError:
            raise ValueError(
                f"{self.symbol}: shapes {shape_of(x)} and {shape_of(y)} don't fit: from the last axis on, two sizes "
                "must be equal or one of them 1"
            ) from None

    def function(self, x: Value, y: Value) -> Any:
        raise NotImplementedError

    def formula(self, names: Sequence[str]) -> str:
        return f"{names[0]} {self.symbol} {names[1]}"


class Add(Binary):
    symbol = "+"

    def function(self, x: Value, y: Value) -> Any:
        return np.add(x, y)

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        return [summed_to(dout, x) for x in values]

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "passes it on"


class Subtract(Binary):
    symbol = "−"

    def function(self, x: Value, y: Value) -> Any:
        return np.subtract(x, y)

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return -1.0 if i else 1.0

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "passes it on with the sign changed" if i else "passes it on"


class Multiply(Binary):
    symbol = "×"

    def function(self, x: Value, y: Value) -> Any:
        return np.multiply(x, y)

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return values[1 - i]

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "the derivative from above times the other input"


class Divide(Binary):
    symbol = "/"

    def function(self, x: Value, y: Value) -> Any:
        return np.divide(x, y)

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        y = values[1]
        return np.negative(np.divide(out, y)) if i else np.divide(1.0, y)  # y² might overflow, or be 0

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "for the divisor −x/y² times the derivative from above" if i else "the derivative from above times 1/y"


class Power(Binary):
    """x ** y where both are nodes, or x is a number."""

    symbol = "**"

    def function(self, x: Value, y: Value) -> Any:
        return np.power(x, y)

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        x, y = values
        if i == 0:
            return np.where(np.equal(y, 0), 0.0, np.multiply(y, np.power(x, np.subtract(y, 1.0))))
        # 0 ** y stays 0 around a positive y, though log(0) is −inf.
        return np.where(np.equal(x, 0) & np.greater(y, 0), 0.0, np.multiply(out, np.log(x)))

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "times its own output times log x" if i else "times y·x**(y − 1)"


class PowerOf(Elementwise):
    """x ** n for a number n, the book's node `**2` (its section 5.2.3)."""

    def __init__(self, n: float) -> None:
        self.n = n
        self.symbol = f"**{number(n)}"

    def value(self, *values: Value) -> Any:
        return np.asarray(values[0]) ** self.n  # np.power would be a bit apart from NumPy's own x ** 2

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return np.multiply(self.n, np.asarray(values[0]) ** (self.n - 1)) if self.n else 0.0

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        if self.n == 2:
            return "times twice the input, 2x"
        return f"times {number(self.n)}·x**{number(self.n - 1)}"

    def formula(self, names: Sequence[str]) -> str:
        return f"{names[0]} {self.symbol}"


class Reciprocal(Elementwise):
    """1 / y, the node `/` of the book's section 5.5.2."""

    symbol = "/"

    def value(self, *values: Value) -> Any:
        return np.divide(1.0, values[0])

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return np.negative(np.multiply(out, out))

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "for 1/y minus the output squared, times the derivative from above"

    def formula(self, names: Sequence[str]) -> str:
        return f"1 / {names[0]}"


class Negative(Elementwise):
    symbol = "−"

    def value(self, *values: Value) -> Any:
        return np.negative(values[0])

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return -1.0

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "passes it on with the sign changed"

    def formula(self, names: Sequence[str]) -> str:
        return f"−{names[0]}"
