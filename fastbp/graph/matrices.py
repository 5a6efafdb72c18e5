"""Operations on whole arrays: the matrix product, sums, means, and other shapes (the book's section 5.6)."""

import math
import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np

from fastbp.graph.operation import Operation
from fastbp.graph.values import Value, computed, shape_of, shape_text, summed_to


class Dot(Operation):
    """np.dot, or with `stacks` np.matmul, which takes stacks of matrices; vectors (D,) on either side."""

    symbol = "dot"

    def __init__(self, stacks: bool = False) -> None:
        self.stacks = stacks

    def value(self, *values: Value) -> Any:
        x, W = values
        if np.ndim(x) == 0 or np.ndim(W) == 0:
            raise ValueError(f"dot takes vectors and matrices, got shapes {shape_of(x)} and {shape_of(W)}: write x * W")
        try:
            return np.matmul(x, W) if self.stacks else np.dot(x, W)
        except ValueError:
            raise ValueError(
                f"dot: shapes {shape_of(x)} and {shape_of(W)} don't fit: the last axis of the left one must be as long "
                f"as the {'only' if np.ndim(W) == 1 else 'second to last'} one of the right"
            ) from None

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        x, W = values
        if self.stacks or np.ndim(W) <= 2:
            return self._of_stacks(dout, x, W)
        # out[i.., j.., m] = Σ_d x[i.., d] · W[j.., d, m]
        left, right = x.ndim - 1, W.ndim - 2
        dx = np.tensordot(dout, np.moveaxis(W, -2, -1), axes=(range(left, left + right + 1), range(right + 1)))
        dW = np.tensordot(x, dout, axes=(range(left), range(left)))
        return dx, np.moveaxis(dW, 0, -2)

    @staticmethod
    def _of_stacks(dout: Value, x: Value, W: Value) -> Sequence[Any]:
        rows, weights, d = _as_matrices(x, W, dout)
        dx = summed_to(np.matmul(d, np.swapaxes(weights, -1, -2)), rows)
        dW = summed_to(np.matmul(np.swapaxes(rows, -1, -2), d), weights)
        return np.reshape(dx, x.shape), np.reshape(dW, W.shape)

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        x, W = values
        if self.stacks or np.ndim(W) <= 2:
            return product_rule(i, x, W, out)
        shares, name = (f"dY {shape_of(out)} and W {shape_of(W)}", "dX = dY · Wᵀ")
        if i:
            shares, name = (f"X {shape_of(x)} and dY {shape_of(out)}", "dW = Xᵀ · dY")
        return f"{name}, summed over the axes that {shares} share, to {shape_of(values[i])}"

    def formula(self, names: Sequence[str]) -> str:
        return f"{names[0]} @ {names[1]}" if self.stacks else f"dot({names[0]}, {names[1]})"


def _as_matrices(x: Value, W: Value, dout: Value) -> tuple[Any, Any, Any]:
    """The operands of a product and the derivative from above as matrices: of vectors the left a row, the right not."""
    shape = list(np.shape(dout))
    if W.ndim == 1:
        shape.append(1)
    if x.ndim == 1:
        shape.insert(len(shape) - 1, 1)
    return (x[None] if x.ndim == 1 else x), (W[:, None] if W.ndim == 1 else W), np.reshape(dout, shape)


def product_rule(i: int, x: Value, W: Value, out: Value) -> str:
    """The rule of x · W, with the shapes that are multiplied."""
    rows, weights, d = _as_matrices(x, W, out)
    if i and weights.ndim == 2:  # all rows of a stack at once
        rows, d = rows.reshape(-1, rows.shape[-1]), d.reshape(-1, d.shape[-1])
    left, right = (np.swapaxes(rows, -1, -2), d) if i else (d, np.swapaxes(weights, -1, -2))
    name, own = ("dW = Xᵀ · dY", W) if i else ("dX = dY · Wᵀ", x)
    product = (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    to = ""
    if product != own.shape:
        to = f", {'as' if math.prod(product) == own.size else 'summed to'} {shape_of(own)}"
    return f"{name}, shapes {shape_of(left)} · {shape_of(right)}{to}"


class Sum(Operation):
    """np.sum over all axes, or some."""

    symbol = "sum"

    def __init__(self, axis: Any = None, keepdims: bool = False) -> None:
        self.axis, self.keepdims = axis, keepdims

    def value(self, *values: Value) -> Any:
        return np.sum(values[0], axis=self.axis, keepdims=self.keepdims)

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        x = values[0]
        if np.ndim(x) and not self.keepdims and self.axis is not None:  # NumPy has an axis 0 of a number, too
            dout = np.expand_dims(dout, self.axis)
        return [np.broadcast_to(dout, np.shape(x))]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        return f"passes it on to every element, {shape_of(out)} to {shape_of(values[0])}"

    def formula(self, names: Sequence[str]) -> str:
        axis = "" if self.axis is None else f", axis={self.axis}"
        return f"{self.symbol}({names[0]}{axis})"


class Mean(Sum):
    """np.mean over all axes, or some."""

    symbol = "mean"

    def value(self, *values: Value) -> Any:
        return np.divide(super().value(*values), float(self.count(values[0])))

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        return super().gradients(computed(np.divide(dout, float(self.count(values[0])))), values, out)

    def count(self, x: Value) -> int:
        """How many numbers each mean is of."""
        return int(np.size(x) // math.prod(np.shape(np.sum(x, axis=self.axis))))

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        count = self.count(values[0])
        return (
            f"passes it on to every element, divided by their number, {count}: {shape_of(out)} to {shape_of(values[0])}"
        )

    def opened(self, *inputs: Any) -> Any:
        return inputs[0].sum(self.axis, self.keepdims) / self.count(inputs[0].value)


class Reshape(Operation):
    symbol = "reshape"
    boxed = True

    def __init__(self, shape: SupportsIndex | Sequence[SupportsIndex]) -> None:
        sizes = shape if isinstance(shape, Sequence | np.ndarray) else (shape,)
        self.shape = tuple(operator.index(size) for size in sizes)

    def value(self, *values: Value) -> Any:
        try:
            return np.reshape(values[0], self.shape)
        except ValueError:
            raise ValueError(
                f"reshape: an array of shape {shape_of(values[0])} has {np.size(values[0])} elements, which don't make "
                f"one of shape {shape_text(self.shape)}"
            ) from None

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        return [np.reshape(dout, np.shape(values[0]))]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        return f"gives it the input's shape back, {shape_of(out)} to {shape_of(values[0])}"

    def formula(self, names: Sequence[str]) -> str:
        return f"{names[0]}.reshape({', '.join(map(str, self.shape))})"


class Transpose(Operation):
    symbol = "T"

    def value(self, *values: Value) -> Any:
        return np.transpose(values[0])

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        return [np.transpose(dout)]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        return f"transposes it back, {shape_of(out)} to {shape_of(values[0])}"

    def formula(self, names: Sequence[str]) -> str:
        return f"{names[0]}.T"
