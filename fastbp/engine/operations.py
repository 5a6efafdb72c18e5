"""The operations of the compiled loop that a network's chain of layers is."""

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from types import MemberDescriptorType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import layers, originals
from fastbp.chain import LOSS_NAMES, Chain, NotCompilable, share_memory
from fastbp.engine.proof import check_lookups
from fastbp.kernels.loop import plan
from fastbp.reads import MISSING, Reads

_CONTAINERS = {"layers": (dict, OrderedDict, list, tuple), "params": (dict, OrderedDict)}


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


# Which operation a layer is. A new one needs an entry here, its code in `kernels.loop.plan` and its functions in
# `kernels.loop.parts`.
CODES: dict[type, int] = {layers.Affine: plan.AFFINE, layers.Relu: plan.RELU, layers.Sigmoid: plan.SIGMOID}
LOSSES = (layers.SoftmaxWithLoss,)


def read(network: Any, reads: Reads) -> Chain:
    """The chain of a network whose parts are found without running any code of its own; NotCompilable for another."""
    check_lookups(network, reads)
    own, name = reads.dict_of(network), type(network).__name__
    for part in ("layers", "params", *LOSS_NAMES):
        in_class = reads.in_class(type(network), part)
        reads.item(own, part)
        if type(in_class) is MemberDescriptorType:  # a slot
            reads.attribute(network, part)
        elif hasattr(type(in_class), "__get__") and not originals.defines(type(network), part):
            raise NotCompilable(f"{part} of {name} is computed at each look (a {type(in_class).__name__})")
    chain = Chain(network)
    if chain.container is None or chain.params is None:
        raise NotCompilable(f"{name} has no layers and params")
    for part, value in (("layers", chain.container), ("params", chain.params)):
        if type(value) not in _CONTAINERS[part]:
            raise NotCompilable(f"{part} of {name} is a {type(value).__name__}, no dict or list")
    if chain.loss is None:
        raise NotCompilable(f"{name} has no last_layer")
    reads.contents(chain.container)
    return chain


def operations_of(chain: Chain, reads: Reads) -> list[Operation]:
    """The operations of a network, whose loss the loop knows too. NotCompilable, naming the layer, when one is foreign.

    What is looked at goes to `reads`.
    """
    if len({id(layer) for layer in chain.layers}) < len(chain.layers):
        raise NotCompilable("one layer is there twice, where its second forward pass replaces what the first kept")
    operations: list[Operation] = []
    for layer in chain.layers:
        code = CODES[_known(layer, CODES.keys(), reads)]
        name = type(layer).__name__
        below = operations[-1] if operations else None
        if code == plan.RELU and below is not None and below.code == plan.AFFINE:
            below.code, below.names = plan.AFFINE_RELU, f"{below.names} + {name}"
        else:
            operations.append(Operation(code, name, layer if code == plan.AFFINE else None))
    if all(operation.affine is None for operation in operations):
        raise NotCompilable("the network has no Affine layer")
    _known(chain.loss, LOSSES, reads)
    if type(reads.item(reads.dict_of(chain.loss), "eps")) not in (int, float):
        raise NotCompilable("eps of the loss is no plain number")
    return operations


def bind(chain: Chain, operations: list[Operation], reads: Reads) -> tuple[np.dtype[Any], list[NDArray[Any]]]:
    """Gives each operation the names of its parameters and its sizes; their dtype, and the arrays in the chain's order.

    ValueError naming the parameter that came apart from its layer; NotCompilable for arrays the loop can't work on.
    """
    reads.contents(chain.params)
    names = {id(value): name for name, value in chain.params.items()}
    found, arrays, foreign = set(), [], []
    for operation in operations:
        if operation.affine is None:
            continue
        for key in ("W", "b"):
            value = reads.item(reads.dict_of(operation.affine), key)
            name = names.get(id(value))
            if name is None:
                foreign.append(f"{key} of {operation.names}")
            else:
                found.add(name)
                setattr(operation, key, name)
            arrays.append(value)
    if chain.params.keys() - found:
        chain.check_held()
    for name, array in chain.params.items():
        reads.result(form_of, array)
        _check_array(name, array)
    if share_memory(array for array in arrays if type(array) is np.ndarray and array.flags.c_contiguous):
        raise NotCompilable("two layers share one W or b, or the memory of one")
    if foreign:
        raise NotCompilable(f"the {foreign[0]} is not among the network's params")
    if chain.params.keys() - found:
        raise NotCompilable(f"no layer holds params[{min(chain.params.keys() - found)!r}]")
    dtypes = sorted({str(array.dtype) for array in arrays})
    if dtypes not in (["float32"], ["float64"]):
        raise NotCompilable(f"the parameters are not all float32 or all float64: {dtypes}")
    _connect(operations)
    return arrays[0].dtype, arrays


def decay_of(network: Any) -> float:
    """The network's `weight_decay_lambda`, 0 without one. ValueError when it is negative or not finite."""
    decay = float(getattr(network, "weight_decay_lambda", 0) or 0)
    if not (math.isfinite(decay) and decay >= 0):
        raise ValueError(f"weight_decay_lambda must be a finite number, zero or positive, got {decay}")
    return decay


def _known(layer: Any, known: Iterable[type], reads: Reads) -> type:
    """The class of the library that a layer is, or is but for its name and constructor."""
    cls, name = reads.attribute(layer, "__class__"), type(layer).__name__
    if cls is not type(layer):
        raise NotCompilable(f"{name} calls itself {cls!r}")
    found = cls if cls in known else reads.result(originals.original_class, cls)
    if found not in known:
        base = next((base for base in cls.__mro__ if base in known), None)
        if base is None:
            raise NotCompilable(f"{cls.__module__}.{name} is no layer that the compiled loop knows")
        raise NotCompilable(f"{name} has its own {originals.own_attributes(cls, base)}")
    check_unchanged(layer, found, reads)
    return found


def check_unchanged(value: Any, cls: type, reads: Reads) -> None:
    """NotCompilable where a method of one of the library's classes was replaced, in the class or in the object."""
    own = reads.dict_of(value)
    for name in originals.attributes(cls):
        if reads.item(own, name) is not MISSING:
            raise NotCompilable(f"the {type(value).__name__} has its own {name}")
    replaced = originals.changed(cls)
    if replaced is not None:
        reads.result(originals.changed, cls)
        raise NotCompilable(f"{cls.__name__}.{replaced} is not the library's own any more")
    originals.read(cls, reads)


def one_decay(proved: dict[str, float], network: Any, reads: Reads) -> float:
    """λ of the weight decay: what was proved of the methods, and the network's attribute where it lacks a method."""
    decays = dict(proved)
    if "loss_and_gradient" not in proved and not {"loss", "gradient"} <= proved.keys():
        if hasattr(type(reads.in_class(type(network), "weight_decay_lambda")), "__get__"):
            raise NotCompilable(f"weight_decay_lambda of {type(network).__name__} is computed at each look")
        decays["weight_decay_lambda"] = reads.result(decay_of, network)
    if len(set(decays.values())) > 1:
        raise NotCompilable(f"the weight decay is not the same everywhere: {decays}")
    return next(iter(decays.values()))


_form = attrgetter("shape", "dtype", "flags.carray")


def form_of(array: Any) -> Any:
    """What of an array can be changed in place, beside its elements."""
    return _form(array) if isinstance(array, np.ndarray) else None


def held_in(operations: list[Operation]) -> list[tuple[Any, str, str]]:
    """(Layer, attribute, name of the parameter that it is), as the proof asks for them."""
    affine = [operation for operation in operations if operation.affine is not None]
    return [each for o in affine for each in ((o.affine, "W", o.W), (o.affine, "b", o.b))]


def _check_array(name: str, array: Any) -> None:
    if type(array) is not np.ndarray or not array.flags.carray or array.size == 0:
        raise NotCompilable(f"{name} is no writable, C-contiguous array with elements")


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
