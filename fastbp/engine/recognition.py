"""Reads a network as operations of the compiled loop, and finds their arrays; NotCompilable for what it can't run."""

import math
from collections import OrderedDict
from operator import attrgetter
from types import MemberDescriptorType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import originals
from fastbp.chain import LOSS_NAMES, Chain, NotCompilable, share_memory
from fastbp.engine.operations import Operation, connect, leading_shape
from fastbp.engine.proof import check_lookups
from fastbp.layers.compiled import Compiled, CompiledLoss
from fastbp.reads import MISSING, Reads
from fastbp.when_read import MadeWhenRead

_CONTAINERS = {"layers": (dict, OrderedDict, list, tuple), "params": (dict, OrderedDict)}
_NUMBERS = (int, float, np.float64, np.float32)  # what can't be another number at each look


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
        compiled: Compiled = _known(layer, Compiled, reads)
        name, below = type(layer).__name__, operations[-1] if operations else None
        if below and not below.above and compiled.epilogue and compiled.epilogue in below.compiled.epilogues:
            below.above, below.names = compiled, f"{below.names} + {name}"
        else:
            numbers = tuple(_number(layer, key, name, reads) for key in compiled.numbers)
            for key in compiled.options:
                _number(layer, key, name, reads)
            operations.append(Operation(name, compiled, layer, numbers=numbers))
    if not any(operation.compiled.parameters for operation in operations):
        raise NotCompilable("the network has no layer with parameters")
    for name in _known(chain.loss, CompiledLoss, reads).numbers:
        _number(chain.loss, name, "the loss", reads)
    return operations


def bind(chain: Chain, operations: list[Operation], reads: Reads) -> tuple[np.dtype[Any], list[NDArray[Any]]]:
    """Gives each operation its parameters' names, and sizes as far as they are known; the dtype, and the arrays.

    The arrays are in the chain's order. ValueError naming the parameter that came apart from its layer; NotCompilable
    for arrays the loop can't work on.
    """
    reads.contents(chain.params)
    names = {id(value): name for name, value in chain.params.items()}
    found, arrays, foreign = set(), [], []
    held: list[str]
    for operation in operations:
        held = []
        for key in operation.compiled.parameters:
            value = reads.item(reads.dict_of(operation.layer), key)
            if operation.compiled.constant_size and held and type(value) in _NUMBERS:
                operation.constant = float(value)
                continue
            name = names.get(id(value))
            if name is None:
                foreign.append(f"{key} of {operation.names}")
            else:
                found.add(name)
            held.append(name or "")
            arrays.append(value)
        operation.parameters = tuple(held)
    if chain.params.keys() - found:
        chain.check_held()
    for name, array in chain.params.items():
        if isinstance(array, np.ndarray):
            reads.result(form_of, array)
        _check_array(name, array)
    averages = [array for operation in operations for array in _averages(operation, reads)]
    if share_memory(array for array in arrays if type(array) is np.ndarray and array.flags.c_contiguous):
        raise NotCompilable("two layers share one W or b, or the memory of one")
    if foreign:
        raise NotCompilable(f"the {foreign[0]} is not among the network's params")
    if chain.params.keys() - found:
        raise NotCompilable(f"no layer holds params[{min(chain.params.keys() - found)!r}]")
    dtypes = sorted({str(array.dtype) for array in (*arrays, *averages)})
    if dtypes not in (["float32"], ["float64"]):
        raise NotCompilable(f"the parameters are not all float32 or all float64: {dtypes}")
    for operation in operations:
        operation.sizes_of = tuple(chain.params[name].shape for name in operation.parameters)
    connect(operations, leading_shape(operations))
    return arrays[0].dtype, [*arrays, *averages]


def decay_of(network: Any) -> float:
    """The network's `weight_decay_lambda`, 0 without one. ValueError when it is negative or not finite."""
    decay = float(getattr(network, "weight_decay_lambda", 0) or 0)
    if not (math.isfinite(decay) and decay >= 0):
        raise ValueError(f"weight_decay_lambda must be a finite number, zero or positive, got {decay}")
    return decay


def _known(layer: Any, kind: type, reads: Reads) -> Any:
    """What a layer's class says of itself: one of the library, or one that is but for its name and constructor."""
    cls, name = reads.attribute(layer, "__class__"), type(layer).__name__
    if cls is not type(layer):
        raise NotCompilable(f"{name} calls itself {cls!r}")
    found = cls if says(cls, kind) else reads.result(originals.original_class, cls)
    if found is None or not says(found, kind):
        base = next((base for base in cls.__mro__ if says(base, kind)), None)
        if type(vars(cls).get("compiled")) is kind:
            raise NotCompilable(f"the kernels of {name} were not checked: fastbp.check_layer(layer, x)")
        if base is None:
            raise NotCompilable(f"{cls.__module__}.{name} is no layer that the compiled loop knows")
        raise NotCompilable(f"{name} has its own {originals.own_attributes(cls, base)}")
    check_unchanged(layer, found, reads)
    return vars(found)["compiled"]


def says(cls: type, kind: type) -> bool:
    """Whether a class of the library itself says what the loop calls for it: what it inherits may not hold for it."""
    return originals.is_original(cls) and type(vars(cls).get("compiled")) is kind


def check_unchanged(value: Any, cls: type, reads: Reads) -> None:
    """NotCompilable where a method of one of the library's classes was replaced, in the class or in the object."""
    if not reads.has_plain_dict(value):
        raise NotCompilable(f"__dict__ of the {type(value).__name__} is of a subclass of dict")
    own = reads.dict_of(value)
    for name in originals.attributes(cls):
        if isinstance(getattr(cls, name), MadeWhenRead):
            continue  # the loop reads nothing of a forward pass that ran before it
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


form_of = attrgetter("shape", "dtype", "flags.carray")  # what of an array can be changed in place, beside its elements


def _number(layer: Any, key: str, name: str, reads: Reads) -> float:
    """An attribute that is a plain number, as those of the class may be. NotCompilable for anything else."""
    value = reads.item(reads.dict_of(layer), key)
    if value is MISSING:
        raise NotCompilable(f"{name} has no attribute {key}")
    if type(value) not in _NUMBERS:
        raise NotCompilable(f"{key} of {name} is no plain number")
    return float(value)


def _averages(operation: Operation, reads: Reads) -> list[NDArray[Any]]:
    """The arrays that its forward pass replaces, as far as they are there; others of their form are as good later."""
    own, found = reads.dict_of(operation.layer), []
    for key in operation.compiled.averages:
        reads.result(_form_in, (own, key))
        array = own.get(key)
        if array is not None:
            _check_array(f"{key} of {operation.names}", array)
            found.append(array)
    return found


def _form_in(place: tuple[Any, str]) -> tuple[Any, ...]:
    """The type of what stands in a dict under a name, and the form of an array."""
    value = place[0].get(place[1])
    return type(value), form_of(value) if isinstance(value, np.ndarray) else None


def _check_array(name: str, array: Any) -> None:
    if type(array) is not np.ndarray or not array.flags.carray or array.size == 0:
        raise NotCompilable(f"{name} is no writable, C-contiguous array with elements")
    if array.ndim == 0:  # a bias that goes for all outputs: the loop would write as many
        raise NotCompilable(f"{name} is an array of shape ()")
