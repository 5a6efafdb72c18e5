"""Operations that have parts: sigmoid, softmax, cross-entropy, their loss, and affine (the book's 5.5.2 and 5.6)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.boundary.labels import targets
from fastbp.graph.engine import in_order
from fastbp.graph.functions import Exp, Log
from fastbp.graph.matrices import product_rule
from fastbp.graph.node import Node, apply, constant
from fastbp.graph.operation import Elementwise, Operation
from fastbp.graph.values import Value, as_it_is, shape_of


class Sigmoid(Elementwise):
    """1 / (1 + exp(−x)), with y(1 − y) for its derivative (the book's section 5.5.2)."""

    symbol = "sigmoid"
    boxed = True

    def value(self, *values: Value) -> Any:
        return np.divide(1.0, np.add(np.exp(np.multiply(-1.0, values[0])), 1.0))

    def local(self, i: int, values: Sequence[Value], out: Value) -> Any:
        return np.multiply(out, np.subtract(1.0, out))

    def local_rule(self, i: int, values: Sequence[Value]) -> str:
        return "times y(1 − y), y its own output"

    def opened(self, *inputs: Any) -> Any:
        return 1 / (apply(Exp(), -1 * inputs[0]) + 1)


class Softmax(Operation):
    """exp(x) / Σ exp(x) along the last axis; the row's maximum is subtracted first, so that nothing overflows."""

    symbol = "softmax"
    boxed = True

    def value(self, *values: Value) -> Any:
        if np.ndim(values[0]) == 0:
            raise ValueError("softmax takes scores of shape (classes,) or (batch, classes), got a number")
        exp = np.exp(np.subtract(values[0], _maximum(values[0])))
        return np.divide(exp, np.sum(exp, axis=-1, keepdims=True))

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        products = np.multiply(dout, out)
        return [np.subtract(products, np.multiply(out, np.sum(products, axis=-1, keepdims=True)))]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        return "y times (the derivative from above − Σ of it times y), y its own output"

    def opened(self, *inputs: Any) -> Any:
        exp = apply(Exp(), inputs[0] - constant(_maximum(inputs[0].value), "max x"))
        return exp / exp.sum(-1, keepdims=True)


class CrossEntropy(Operation):
    """−Σ t·log(y) / N for probabilities y (N, C) or (C,) and labels t (the book's section 4.2), without its 1e-7."""

    symbol = "cross entropy"
    boxed = True

    def value(self, *values: Value) -> Any:
        y, t = values[0], _targets(*values)
        return _mean_cost(np.where(np.equal(t, 0), 0.0, np.multiply(t, np.log(y))), y)

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        y, t = values[0], _targets(*values)
        cost = np.where(np.equal(t, 0), 0.0, np.negative(np.divide(t, y)))
        return [np.multiply(dout, np.divide(cost, float(_rows(y)))), None]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        return f"times −t/y{_over_the_batch(values[0])}"

    def opened(self, *inputs: Any) -> Any:
        y, t = inputs
        cost = (_one_hot(y, t) * apply(Log(), y)).sum() * -1
        return cost / _rows(y.value) if y.value.ndim == 2 else cost


class SoftmaxLoss(Operation):
    """Softmax and cross-entropy in one, the mean over the batch: their derivative is y − t (section 5.6.3)."""

    symbol = "softmax with loss"
    boxed = True

    def value(self, *values: Value) -> Any:
        x, t = values[0], _targets(*values)
        shifted = np.subtract(x, _maximum(x))
        log_y = np.subtract(shifted, np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)))
        return _mean_cost(np.where(np.equal(t, 0), 0.0, np.multiply(t, log_y)), x)

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        x, t = values[0], _targets(*values)
        y = Softmax().value(x)
        difference = np.subtract(np.multiply(y, np.sum(t, axis=-1, keepdims=True)), t)
        return [np.multiply(dout, np.divide(difference, float(_rows(x)))), None]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        return f"times y − t, y the softmax{_over_the_batch(values[0])}"

    def opened(self, *inputs: Any) -> Any:
        x, t = inputs
        return CrossEntropy().opened(Softmax().opened(x), t)


class Affine(Operation):
    """x · W + b for x (D,), (N, D), or (N, ...) with D numbers a sample; b is (M,) or a number (section 5.6)."""

    symbol = "affine"
    boxed = True

    def value(self, *values: Value) -> Any:
        x, W, b = values
        if np.ndim(W) != 2 or np.ndim(b) > 1 or (np.ndim(b) == 1 and np.shape(b)[0] != np.shape(W)[1]):
            raise ValueError(
                f"affine: W must have shape (inputs, outputs) and b (outputs,), got {shape_of(W)} and {shape_of(b)}"
            )
        if np.ndim(x) == 0 or _features(x) != W.shape[0]:
            raise ValueError(
                f"affine: x of shape {shape_of(x)} doesn't have the {W.shape[0]} features a sample that W of shape "
                f"{shape_of(W)} takes"
            )
        return np.add(np.dot(_flat(x), W), b)

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        x, W, b = values
        rows, d = np.reshape(_flat(x), (-1, W.shape[0])), np.reshape(dout, (-1, W.shape[1]))
        dx = np.reshape(np.dot(d, W.T), x.shape)
        db = np.sum(d, axis=0)
        return [dx, np.dot(rows.T, d), db if np.ndim(b) else np.sum(db)]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        x, W, b = values
        if i < 2:
            reshaped = f", reshaped to {shape_of(x)}" if i == 0 and np.ndim(x) > 2 else ""
            return product_rule(i, _flat(x), W, out) + reshaped
        if np.ndim(out) == 1 and np.ndim(b):
            return f"dB = dY, shape {shape_of(out)}"
        return f"dB = dY summed over {'the batch' if np.ndim(b) else 'all elements'}, {shape_of(out)} to {shape_of(b)}"

    def opened(self, *inputs: Any) -> Any:
        x, W, b = inputs
        flat = _flat(x.value)
        return (x if flat.shape == x.shape else x.reshape(flat.shape)).dot(W) + b


def labels_as_node(t: Any) -> Node:
    """Labels as a constant named t; a node of constants stays what it is. TypeError for one that has variables."""
    if not isinstance(t, Node):
        return Node(as_it_is(t), name="t")
    if any(each.op == "variable" for each in in_order(t)):
        raise TypeError("labels get no derivative, so they can't be a variable or come from one: give t.value")
    return t


def _targets(x: Value, t: Value) -> Any:
    """Labels as probabilities in the shape of x. Errors as for SoftmaxWithLoss."""
    if np.ndim(x) not in (1, 2):
        raise ValueError(f"scores must have shape (batch, classes) or (classes,), got {shape_of(x)}")
    if np.shape(t) != x.shape and np.asarray(t).dtype.kind == "f":
        raise TypeError(
            f"labels of shape {shape_of(t)} are class indices, for scores of shape {shape_of(x)}: give an array "
            "of integers"
        )
    found = targets(t, x.shape, x.dtype)
    if found.ndim == 1:
        found = np.eye(x.shape[-1], dtype=x.dtype)[found]
    return found.reshape(x.shape)


def _mean_cost(products: Any, x: Value) -> Any:
    """−Σ / N, which is 0 and not −0 where nothing is lost."""
    return np.divide(np.subtract(0.0, np.sum(products)), float(_rows(x)))


def _one_hot(y: Node, t: Node) -> Node:
    """The labels as the opened graph multiplies with them."""
    fits = t.shape == y.shape and t.value.dtype.kind == "f"
    return t if fits else constant(_targets(y.value, t.value), t.name)


def _maximum(x: Value) -> Any:
    return np.max(x, axis=-1, keepdims=True)


def _rows(x: Value) -> int:
    return 1 if np.ndim(x) == 1 else len(x)


def _over_the_batch(x: Value) -> str:
    return f", over the batch of {len(x)}" if np.ndim(x) == 2 else ""


def _features(x: Value) -> int:
    return int(x.size if x.ndim == 1 else x.size // len(x))


def _flat(x: Value) -> Any:
    return x if x.ndim <= 2 else x.reshape(len(x), -1)
