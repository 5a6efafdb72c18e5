"""An operation of the compiled loop, what it is made of, and the shapes of several in a row."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.layers.compiled import Compiled, CompiledLoss, Shape, same_shape


@dataclass
class Operation:
    """One row of the plan: a layer, or a layer and the one on top of it, whose work it does on its way."""

    names: str  # of its layers, for people
    compiled: Compiled
    layer: Any
    above: Compiled | None = None  # of the layer on top, where it is part of this
    parameters: tuple[str, ...] = ()  # their names, in the order of `compiled.parameters`
    constant: float | None = None  # what the last of them is where it isn't trained
    sizes_of: tuple[Shape, ...] = ()  # their shapes
    numbers: tuple[float, ...] = ()
    inputs: Shape | None = None  # of a sample; None until samples are seen
    outputs: Shape | None = None

    @property
    def D(self) -> int:
        """Numbers of a sample's input."""
        return math.prod(self.inputs or ())

    @property
    def M(self) -> int:
        """Numbers of a sample's output."""
        return math.prod(self.outputs or ())

    @property
    def averages(self) -> tuple[Any, ...]:
        """The arrays that its forward pass in training replaces, as the layer has them now: None before the first."""
        return tuple(getattr(self.layer, name) for name in self.compiled.averages)

    @property
    def keeps(self) -> list[tuple[str, Any, int]]:
        """(Name, dtype or None, elements a sample) of what its forward pass leaves for the backward pass."""
        found = []
        for compiled in (self.compiled, self.above):
            for name, (dtype, size) in compiled.keeps.items() if compiled else ():
                elements = self.M if size is None else size(self.layer, self.inputs) if callable(size) else size
                found.append((name, dtype, int(elements)))
        return found

    def form(self) -> tuple[Any, ...]:
        """What buffers and tables have to be made for."""
        sizes = self.compiled.sizes(self.layer, self.inputs) if self.inputs is not None else ()
        shapes = self.sizes_of, *map(np.shape, self.averages)
        ends = self.inputs, self.outputs, tuple(sizes)
        return self.compiled, self.above, self.parameters, self.constant, shapes, *ends

    def flops(self, batch: int, first: bool) -> int:
        """Floating-point operations of a step: forward, the gradients of parameters and, but for the first, of x."""
        passes = 1 + bool(self.parameters) + (not first)
        return 0 if self.inputs is None else passes * batch * self.compiled.flops(self.layer, self.inputs)

    def elements(self) -> int:
        """How many numbers its parameters have."""
        return sum(map(math.prod, self.sizes_of))


class Takes(NamedTuple):
    """What samples and labels have to be for a network."""

    features: int | None  # numbers a sample; None where any shape may fit
    outputs: Callable[[Shape], Shape]  # of the last operation, for such a sample
    dtype: np.dtype[Any]
    skips: bool  # whether zeros can be skipped
    columns: int  # of the weights by which they would be
    targets: Callable[..., NDArray[Any]]  # checks labels


def leading_shape(operations: list[Operation]) -> Shape | None:
    """The shape of the samples, flat, where a layer says how many numbers it takes; None where any may fit."""
    for operation in operations:
        size = operation.compiled.input_size(operation.layer)
        if size is not None:
            return (size,)
        if operation.compiled.output_shape is not same_shape:
            break
    return None


def connect(operations: list[Operation], shape: Shape | None) -> None:
    """The shapes of all operations from that of a sample. ValueError, naming parameters, where one doesn't fit."""
    for operation in operations:
        operation.inputs = shape
        if shape is not None:
            try:
                shape = tuple(map(int, operation.compiled.output_shape(operation.layer, shape)))
            except ValueError as error:
                raise ValueError(_with_names(str(error), operation)) from None
        operation.outputs = shape


def make_ready(operations: list[Operation], dtype: np.dtype[Any]) -> None:
    """Has the layers make the arrays that their first forward pass would make."""
    for operation in operations:
        if operation.compiled.make_ready:
            operation.compiled.make_ready(operation.layer, operation.inputs or (), dtype)


def takes(operations: list[Operation], dtype: np.dtype[Any], loss: Any) -> Takes:
    """What samples and labels have to be for these operations."""

    def outputs(shape: Shape) -> Shape:
        if operations[0].inputs != shape:
            connect(operations, shape)
        return operations[-1].outputs or ()

    shape = leading_shape(operations)
    first = operations[0]
    skips = bool(first.compiled.skipping)
    columns = math.prod(first.compiled.output_shape(first.layer, shape)) if skips and shape else 0
    return Takes(shape[0] if shape else None, outputs, dtype, skips, columns, compiled_loss(loss).targets)


def compiled_loss(loss: Any) -> CompiledLoss:
    """What a loss that the loop knows says of itself."""
    found: CompiledLoss = type(loss).compiled
    return found


def decaying(operations: list[Operation]) -> set[str]:
    """The names of the parameters that weight decay is of."""
    return {
        name
        for operation in operations
        for key, name in zip(operation.compiled.parameters, operation.parameters, strict=False)
        if key in operation.compiled.decays
    }


def held_in(operations: list[Operation]) -> list[tuple[Any, str, str]]:
    """(Layer, attribute, name of the parameter that it is), as the proof asks for them."""
    return [
        (operation.layer, key, name)
        for operation in operations
        for key, name in zip(operation.compiled.parameters, operation.parameters, strict=False)
    ]


def _with_names(message: str, operation: Operation) -> str:
    """A layer's message with the names that the network has for its parameters."""
    names = dict(zip(operation.compiled.parameters, operation.parameters, strict=True))
    return re.sub(r"\b\w+(?= of shape)", lambda found: names.get(found[0], found[0]), message)
