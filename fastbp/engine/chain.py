"""What of a network the compiled loop can run: its chain of layers, as operations."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import config
from numpy.typing import NDArray

from fastbp import layers
from fastbp._parameters import layers_of, not_held, share_memory
from fastbp.kernels import plan


class NotCompilable(ValueError):
    """Why a network or an optimizer can't run in the compiled loop."""


@dataclass
class Operation:
    """One row of the plan: a layer, or an affine layer and the ReLU on top of it."""

    code: int
    names: str  # of its layers, for people
    affine: Any = None  # the layer whose W and b it uses
    W: str = ""  # the names of its parameters
    b: str = ""
    inputs: int = 0
    outputs: int = 0

    @property
    def has_mask(self) -> bool:
        return self.code in (plan.AFFINE_RELU, plan.RELU)

    def flops(self, batch: int, first: bool) -> int:
        """Of one step: forward, the gradient of W, and that of x, which nobody reads at the first layer."""
        return (4 if first else 6) * batch * self.inputs * self.outputs if self.affine is not None else 0

    def bytes(self, batch: int, itemsize: int) -> int:
        """Of its parameters, inputs and outputs."""
        own = self.inputs * self.outputs + self.outputs if self.affine is not None else 0
        return itemsize * (own + batch * (self.inputs + self.outputs))


# Which operation a layer is: all that a new one needs, but for its code in `kernels.plan` (after the affine ones, which
# come first) and its branches in `forward` and `backward` of `kernels.operations`.
CODES = {layers.Affine: plan.AFFINE, layers.Relu: plan.RELU, layers.Sigmoid: plan.SIGMOID}


def chain_of(network: Any) -> tuple[list[Operation], Any]:
    """The operations and the loss of a network. NotCompilable, naming the layer, when one is foreign."""
    if config.DISABLE_JIT:
        raise NotCompilable("NUMBA_DISABLE_JIT is set, and the compiled loop can't run as Python")
    _check_network(network)
    operations: list[Operation] = []
    chain = layers_of(network)
    if len({id(layer) for layer in chain}) < len(chain):
        raise NotCompilable("one layer is there twice, where its second forward pass replaces what the first kept")
    for layer in chain:
        code = CODES[_known(layer, tuple(CODES))]
        name = type(layer).__name__
        below = operations[-1] if operations else None
        if code == plan.RELU and below is not None and below.code == plan.AFFINE:
            below.code, below.names = plan.AFFINE_RELU, f"{below.names} + {name}"
        else:
            operations.append(Operation(code, name, layer if code == plan.AFFINE else None))
    if all(operation.affine is None for operation in operations):
        raise NotCompilable("the network has no Affine layer")
    loss = last_layer(network)
    _known(loss, (layers.SoftmaxWithLoss,))
    return operations, loss


def last_layer(network: Any) -> Any:
    """`last_layer` or, as in the book's chapter 5, `lastLayer`."""
    for name in ("last_layer", "lastLayer"):
        if hasattr(network, name):
            return getattr(network, name)
    raise NotCompilable(f"{type(network).__name__} has no last_layer")


def bind(network: Any, operations: list[Operation]) -> tuple[np.dtype[Any], list[NDArray[Any]]]:
    """Gives each operation the names of its parameters and its sizes; their dtype, and the arrays in the chain's order.

    ValueError naming the parameter that is not its layer's array; NotCompilable for arrays the loop can't work on.
    """
    names = {id(value): name for name, value in network.params.items()}
    found, arrays, foreign = set(), [], []
    for operation in operations:
        if operation.affine is None:
            continue
        for key in ("W", "b"):
            value = getattr(operation.affine, key)
            name = names.get(id(value))
            if name is None:
                foreign.append(f"{key} of {operation.names}")
            else:
                found.add(name)
                setattr(operation, key, name)
            arrays.append(value)
    if share_memory(arrays):
        raise NotCompilable("two layers share one W or b, or the memory of one")
    for name in network.params:
        if name not in found:
            raise not_held(name)
    if foreign:
        raise NotCompilable(f"the {foreign[0]} is not among the network's params")
    _check_arrays(network.params)
    _connect(operations)
    return arrays[0].dtype, arrays


def decay_of(network: Any) -> float:
    """The network's `weight_decay_lambda`, 0 without one. ValueError when it is negative or not finite."""
    decay = float(getattr(network, "weight_decay_lambda", 0) or 0)
    if not (math.isfinite(decay) and decay >= 0):
        raise ValueError(f"weight_decay_lambda must be a finite number, zero or positive, got {decay}")
    return decay


def _check_network(network: Any) -> None:
    if not hasattr(network, "layers") or not isinstance(getattr(network, "params", None), Mapping):
        raise NotCompilable(f"{type(network).__name__} has no layers and params")


def _known(layer: Any, known: tuple[type, ...]) -> type:
    """The class of the library that a layer is, or is but for its name."""
    for cls in known:
        if isinstance(layer, cls):
            for method in ("forward", "backward"):
                if method in vars(layer) or getattr(type(layer), method) is not getattr(cls, method):
                    raise NotCompilable(f"{type(layer).__name__} has a {method} of its own")
            return cls
    module = type(layer).__module__
    raise NotCompilable(f"{module}.{type(layer).__name__} is no layer that the compiled loop knows")


def _check_arrays(params: Mapping[str, Any]) -> None:
    dtypes = set()
    for name, value in params.items():
        if type(value) is not np.ndarray or not value.flags.carray or value.size == 0:
            raise NotCompilable(f"{name} is no writable, C-contiguous array with elements")
        dtypes.add(value.dtype)
    if len(dtypes) != 1 or next(iter(dtypes)) not in (np.float32, np.float64):
        raise NotCompilable(f"the parameters are not all float32 or all float64: {sorted(map(str, dtypes))}")


def _connect(operations: list[Operation]) -> None:
    """The sizes of all operations, from those of the affine ones."""
    width = next(operation.affine.W.shape[0] for operation in operations if operation.affine is not None)
    for operation in operations:
        operation.inputs = width
        if operation.affine is not None:
            W, b = operation.affine.W, operation.affine.b
            if W.ndim != 2 or W.shape[0] != width or b.shape != W.shape[1:]:
                raise ValueError(
                    f"{operation.W} of shape {W.shape} and {operation.b} of shape {b.shape} "
                    f"don't go with {width} inputs"
                )
            width = W.shape[1]
        operation.outputs = width
