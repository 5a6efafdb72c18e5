"""Layers as nodes: anything with `forward` and `backward`, fastbp's or the reader's own (the book's section 5.4)."""

import copy
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.graph import arithmetic, composites, functions
from fastbp.graph.engine import in_order
from fastbp.graph.node import Node, apply, constant
from fastbp.graph.operation import Operation
from fastbp.graph.values import Value, as_it_is, computed, given, quiet, shape_of

# What layers of these names compute, in their own words. Whether one really does is found out when it is opened.
KNOWN: dict[str, type[Operation]] = {
    "MulLayer": arithmetic.Multiply,
    "AddLayer": arithmetic.Add,
    "Relu": functions.Relu,
    "Sigmoid": composites.Sigmoid,
    "Affine": composites.Affine,
    "SoftmaxWithLoss": composites.SoftmaxLoss,
}

# The node that used a layer last, by the layer's id: a layer keeps what the backward of its last forward needs.
_node_of: "weakref.WeakValueDictionary[int, Node]" = weakref.WeakValueDictionary()


class LayerOperation(Operation):
    """A layer with forward(*inputs) and backward(dout), which returns a gradient for each input."""

    boxed = True
    keeps_state = True

    def __init__(self, layer: Any, symbol: str = "") -> None:
        self.layer = layer
        self.symbol = symbol or type(layer).__name__
        known = KNOWN.get(type(layer).__name__)
        self.twin = known() if known else None
        self.used_again = False  # the layer, by another node: then it has forgotten what this one needs

    def value(self, *values: Value) -> Any:
        return _result(self.layer.forward(*map(_handed, values)), f"{self.symbol}.forward")

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        if self.used_again:
            raise RuntimeError(
                f"the layer {self.symbol} has been used by another node since, and keeps only what the backward of its "
                "last forward needs: give each node a layer of its own"
            )
        found = self.layer.backward(_handed(dout))
        gradients = list(found) if isinstance(found, tuple | list) else [found]
        if len(gradients) > len(values):
            raise ValueError(f"{self.symbol}.backward returned {len(gradients)} gradients for {len(values)} inputs")
        results = [None if g is None else _result(g, f"{self.symbol}.backward") for g in gradients]
        for i, (gradient, value) in enumerate(zip(results, values, strict=False)):
            if gradient is not None and np.shape(gradient) != np.shape(value):
                raise ValueError(
                    f"{self.symbol}.backward returned a gradient of shape {shape_of(gradient)} for input {i}, which "
                    f"has shape {shape_of(value)}"
                )
        return [*results, *[None] * (len(values) - len(results))]

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        twins = self.twin_values(values)
        return "by its own backward" if self.twin is None or twins is None else self.twin.rule(i, twins, out)

    def twin_values(self, values: Sequence[Value]) -> Sequence[Value] | None:
        """The inputs of the known operation: an Affine holds W and b itself."""
        if type(self.layer).__name__ != "Affine" or len(values) == 3:
            return values
        try:
            return [*values, given(self.layer.W), given(self.layer.b)]
        except (AttributeError, TypeError, ValueError):
            return None

    def opened(self, *inputs: Any) -> Any:
        """By the known operation, where it takes these inputs."""
        values = self.twin_values([each.value for each in inputs])
        if self.twin is None or values is None:
            return None
        held = [constant(value, name) for value, name in zip(values[len(inputs) :], "Wb", strict=False)]
        try:
            parts = self.twin.opened(*inputs, *held)
            return apply(self.twin, *inputs, *held) if parts is None else parts
        except (TypeError, ValueError):
            return None  # another layer of that name

    def apart(self) -> Operation:
        other = copy.copy(self)
        other.layer = copied(self.layer, self.symbol)
        return other


class _Checked(LayerOperation):
    """A layer that the user hands in: each input that may have a derivative must get one."""

    def __init__(self, layer: Any, needed: Sequence[bool]) -> None:
        super().__init__(layer)
        self.needed = needed

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        found = super().gradients(dout, values, out)
        got = sum(each is not None for each in found)
        missing = [
            i
            for i, (gradient, needed) in enumerate(zip(found, self.needed, strict=True))
            if needed and gradient is None
        ]
        if missing:
            raise ValueError(
                f"{self.symbol}.backward returned {got} gradient{'' if got == 1 else 's'} for {len(values)} inputs, "
                f"none for input {missing[0]}: return one for each, or give labels and the like as arrays, not as nodes"
            )
        return found


def node(layer: Any, *inputs: Any) -> Node:
    """A layer as a node: `layer.forward(*inputs)` now, `layer.backward(dout)` when the derivative comes.

    Inputs are nodes, or numbers and arrays that need no derivative, such as labels, which reach the layer as they are.
    The layer gets copies, may keep them and may write into them; leave it alone until backward, for which it keeps its
    state. backward returns a gradient, or a tuple with one for each input. TypeError for what is no layer; ValueError
    when the layer is in this graph already, or when a node gets no gradient. RuntimeError in the backward of a node
    whose layer another node has used since.
    """
    if isinstance(layer, type):
        raise TypeError(f"{layer.__name__} is a class: give a layer of it, {layer.__name__}(...)")
    if not callable(getattr(layer, "forward", None)) or not callable(getattr(layer, "backward", None)):
        raise TypeError(f"a layer must have forward and backward, got {type(layer).__name__}")
    if not inputs:
        raise TypeError(f"{type(layer).__name__}: expected its inputs after the layer")
    nodes = tuple(each if isinstance(each, Node) else Node(as_it_is(each)) for each in inputs)
    before = _node_of.get(id(layer))
    if before is not None and any(before in in_order(each) for each in nodes):
        raise ValueError(
            f"this {type(layer).__name__} is a node of the graph already, and a layer keeps only what the backward of "
            "its last forward needs: give each node a layer of its own"
        )
    needed = [each.op != "constant" for each in nodes]
    return layer_node(_Checked(layer, needed), nodes)


def layer_node(operation: LayerOperation, inputs: tuple[Node, ...]) -> Node:
    """The node of an operation that holds a layer."""
    with quiet():
        made = Node(operation.value(*(each.value for each in inputs)), operation, inputs)
    before = _node_of.get(id(operation.layer))
    if before is not None and isinstance(before.operation, LayerOperation):
        before.operation.used_again = True
    _node_of[id(operation.layer)] = made
    return made


def copied(layer: Any, name: str) -> Any:
    """A deep copy of a layer. ValueError naming it when it can't be copied."""
    try:
        return copy.deepcopy(layer)
    except Exception as error:  # whatever the layer holds has its own way to refuse
        raise ValueError(f"{name} can't be copied, which is needed to leave the layer itself alone: {error}") from error


def _handed(value: Value) -> Any:
    """A value as a layer gets it: an array of its own, which it may keep and write into."""
    return value.copy() if isinstance(value, np.ndarray) else value


def _result(x: Any, name: str) -> Value:
    """What a layer returned, as a value that nobody else holds."""
    if x is None:
        raise TypeError(f"{name} returned None: expected a number or an array")
    return computed(np.array(given(x, f"the result of {name}")))
