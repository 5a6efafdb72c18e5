"""Layers as nodes: anything with `forward` and `backward`, fastbp's or the reader's own (the book's section 5.4)."""

import copy
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from fastbp.graph import arithmetic, composites, functions
from fastbp.graph.agreement import agrees, stand_ins
from fastbp.graph.node import Node, apply, constant
from fastbp.graph.operation import Operation
from fastbp.graph.values import Value, as_it_is, computed, given, quiet, shape_of

# What layers of these names compute, and the inputs of that: an argument of forward (""), or what the layer holds under
# a name. Whether one really does is found out at its node's values.
KNOWN: dict[str, tuple[type[Operation], tuple[str, ...]]] = {
    "MulLayer": (arithmetic.Multiply, ("", "")),
    "AddLayer": (arithmetic.Add, ("", "")),
    "Relu": (functions.Relu, ("",)),
    "Sigmoid": (composites.Sigmoid, ("",)),
    "Affine": (composites.Affine, ("", "W", "b")),
    "SoftmaxWithLoss": (composites.SoftmaxLoss, ("", "")),
}

# The node that used a layer last, by the layer's id: a layer keeps what the backward of its last forward needs.
_node_of: "weakref.WeakValueDictionary[int, Node]" = weakref.WeakValueDictionary()


class LayerOperation(Operation):
    """A layer with forward(*inputs) and backward(dout), which returns a gradient for each input.

    `places` are those where it holds what the inputs after forward's arguments stand for, as (owner, key).
    """

    boxed = True
    keeps_state = True

    def __init__(self, layer: Any, symbol: str = "", places: Sequence[tuple[Any, Any]] = ()) -> None:
        self.layer, self.places = layer, places
        self.symbol = symbol or type(layer).__name__
        self.used_again = False  # the layer, by another node: then it has forgotten what this one needs
        self.kept: Any = None  # (layer, places) as forward left them, once backward has run
        self.does_as_known: bool | None = None

    def value(self, *values: Value) -> Any:
        return _result(self.layer.forward(*map(_handed, values)), f"{self.symbol}.forward")

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        layer, _ = self.for_backward()
        found = layer.backward(_handed(dout))
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

    def for_backward(self) -> tuple[Any, Sequence[tuple[Any, Any]]]:
        """The layer and its places as forward left them: itself for the first backward, then copies.

        So a layer that adds to its dW, or writes into what it keeps, gives the same gradients each time.
        """
        if self.kept is not None:
            ours: tuple[Any, Sequence[tuple[Any, Any]]] = copied(self.kept, self.symbol)
            return ours
        if self.used_again:
            raise RuntimeError(
                f"the layer {self.symbol} has been used by another node since, and keeps only what the backward of its "
                "last forward needs: give each node a layer of its own"
            )
        with suppress(ValueError):  # one that can't be copied is left to itself
            self.kept = copied((self.layer, self.places), self.symbol)
        return self.layer, self.places

    def rule(self, i: int, values: Sequence[Value], out: Value) -> str:
        known = self._known(values)
        if known is None or i not in known[1]:
            return "by its own backward"
        operation, arguments = known
        if self.does_as_known is None:
            inputs = stand_ins(values)
            as_known = self._applied(inputs, closed=True)
            self.does_as_known = as_known is not None and agrees(as_known, inputs, self, out)
        if not self.does_as_known:
            return "by its own backward"
        held = [values[each] if isinstance(each, int) else given(getattr(self.layer, each)) for each in arguments]
        return operation.rule(arguments.index(i), held, out)

    def _known(self, values: Sequence[Value]) -> tuple[Operation, list[int | str]] | None:
        """What a layer of this name does, and its inputs: which of the node's, or the name of what the layer holds."""
        if type(self.layer).__name__ not in KNOWN:
            return None
        operation, names = KNOWN[type(self.layer).__name__]
        first = len(values) - len(self.places)
        held = {key: first + i for i, (owner, key) in enumerate(self.places) if owner is self.layer}
        if len(held) != len(self.places) or not held.keys() <= set(names) or names.count("") != first:
            return None
        own = iter(range(first))
        arguments: list[int | str] = [held.get(name, name) if name else next(own) for name in names]
        return operation(), arguments

    def _applied(self, inputs: Sequence[Node], closed: bool = False) -> Node | None:
        """The known operation on these inputs, by its parts or as one node; None where it doesn't take them."""
        known = self._known([each.value for each in inputs])
        if known is None:
            return None
        operation, arguments = known
        try:
            nodes = [
                inputs[each] if isinstance(each, int) else constant(getattr(self.layer, each), each)
                for each in arguments
            ]
            parts = None if closed else operation.opened(*nodes)
            return apply(operation, *nodes) if parts is None else parts
        except (AttributeError, TypeError, ValueError):
            return None  # another layer of that name

    def opened(self, *inputs: Any) -> Any:
        """By the known operation, where it takes these inputs."""
        return self._applied(inputs)

    def apart(self) -> Operation:
        other = copy.copy(self)
        other.layer, other.places = copied(self.kept or (self.layer, self.places), self.symbol)
        other.kept = None
        other.used_again = self.used_again and self.kept is None
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
    state. backward returns a gradient, or a tuple with one for each input. TypeError for what is no layer. In the
    node's backward: ValueError when an input that is a node gets no gradient, RuntimeError when another node has used
    the layer since. The node's first backward runs on the layer itself, which then has its dW; later ones on copies of
    what forward left, as a layer may add to its dW.
    """
    if isinstance(layer, type):
        raise TypeError(f"{layer.__name__} is a class: give a layer of it, {layer.__name__}(...)")
    if not callable(getattr(layer, "forward", None)) or not callable(getattr(layer, "backward", None)):
        raise TypeError(f"a layer must have forward and backward, got {type(layer).__name__}")
    if not inputs:
        raise TypeError(f"{type(layer).__name__}: expected its inputs after the layer")
    nodes = tuple(each if isinstance(each, Node) else Node(as_it_is(each)) for each in inputs)
    needed = [each.op != "constant" for each in nodes]
    return layer_node(_Checked(layer, needed), nodes)


def layer_node(operation: LayerOperation, inputs: tuple[Node, ...]) -> Node:
    """The node of an operation that holds a layer."""
    before = _node_of.get(id(operation.layer))
    if before is not None and isinstance(before.operation, LayerOperation):
        before.operation.used_again = True  # even if forward fails: it may have written by then
    with quiet():
        made = Node(operation.value(*(each.value for each in inputs)), operation, inputs)
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
