"""Whether the methods that a network has of its own compute what its chain of layers does: tried on a copy of it."""

import copy
import warnings
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fastbp import layers, reference
from fastbp._parameters import layers_of
from fastbp.engine.chain import NotCompilable, Operation, last_layer
from fastbp.engine.layerwise import STEPS, through_layers
from fastbp.networks import TwoLayerNet

PASSES = ("forward", "backward")  # and of a layer
SAMPLES = 3
MAGNITUDES = (1, 1000)  # of the samples: large ones find what clips gradients or scores
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}  # of the largest element: only roundings may differ

_predicts: "WeakKeyDictionary[Any, Any]" = WeakKeyDictionary()  # networks whose `predict` has been tried, and that


def what_computes(network: Any) -> list[Any]:
    """The layers, their methods and the network's: by identity one can tell later whether any was replaced."""
    chain = [*layers_of(network), last_layer(network)]
    found = list(chain)
    for owner, names in [(network, STEPS), *((layer, PASSES) for layer in chain)]:
        own, cls = getattr(owner, "__dict__", {}), type(owner)
        for name in names:
            found += own.get(name), getattr(cls, name, None)
    return found


def check_steps(network: Any, operations: list[Operation], dtype: np.dtype[Any]) -> None:
    """NotCompilable naming the method of the network whose loss or gradients are not those of its layers."""
    if _has_own(network, ("predict", *STEPS)) and any(hasattr(network, name) for name in STEPS):
        _try(network, STEPS, operations, dtype)


def check_predict(network: Any, operations: list[Operation], dtype: np.dtype[Any]) -> None:
    """NotCompilable when the network's `predict` returns other scores than its layers. Tried once for each network."""
    if not _has_own(network, ("predict",)):
        return
    method = type(network).predict
    try:
        if _predicts.get(network) is method:
            return
        _try(network, ("predict",), operations, dtype)
        _predicts[network] = method
    except TypeError:  # neither hash nor weak reference
        _try(network, ("predict",), operations, dtype)


def _has_own(network: Any, methods: tuple[str, ...]) -> bool:
    """Whether its class has any of the methods, but for those of TwoLayerNet. NotCompilable when it alone has one."""
    for name in methods:
        if name in getattr(network, "__dict__", ()):
            raise NotCompilable(f"{type(network).__name__} has a {name} of its own")
    return any(
        hasattr(network, name) and getattr(type(network), name) is not getattr(TwoLayerNet, name) for name in methods
    )


def _try(network: Any, methods: tuple[str, ...], operations: list[Operation], dtype: np.dtype[Any]) -> None:
    rng, kept = np.random.default_rng(0), np.random.get_state()
    name = type(network).__name__
    try:
        probe = _probe(network, rng)
    except Exception as error:
        raise NotCompilable(f"{name} can't be copied, to see what its methods compute: {error}") from error
    samples = rng.standard_normal((SAMPLES, operations[0].inputs)).astype(dtype)
    t = np.arange(SAMPLES) % operations[-1].outputs
    try:
        for magnitude in MAGNITUDES:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _compare(probe, methods, samples * dtype.type(magnitude), t, TOLERANCE[dtype.name])
    finally:
        np.random.set_state(kept)  # what the methods drew is not missing from the user's stream


def _compare(probe: Any, methods: tuple[str, ...], x: NDArray[Any], t: NDArray[Any], tolerance: float) -> None:
    scores = x
    for layer in layers_of(probe):
        scores = layer.forward(scores)
    loss, gradients = through_layers(probe, x, t)
    expected = {
        "predict": ((x,), scores),
        "loss": ((x, t), loss),
        "gradient": ((x, t), gradients),
        "loss_and_gradient": ((x, t), (loss, gradients)),
    }
    for method in methods:
        if not hasattr(probe, method):
            continue
        arguments, result = expected[method]
        its = f"{type(probe).__name__} has a {method} of its own"
        try:
            got = getattr(probe, method)(*(array.copy() for array in arguments))
        except Exception as error:
            raise NotCompilable(f"{its}, which can't be tried: {error}") from error
        if not _agree(got, result, tolerance):
            raise NotCompilable(f"{its}, which does not compute what the layers do")


def _agree(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether numbers, arrays, and tuples and dicts of them, are the same but for roundings."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(k in got and _agree(got[k], v, tolerance) for k, v in expected.items())
    if isinstance(expected, tuple):
        return (
            isinstance(got, tuple)
            and len(got) == len(expected)
            and all(_agree(g, e, tolerance) for g, e in zip(got, expected, strict=True))
        )
    try:
        array = np.asarray(got, np.float64)
    except (TypeError, ValueError):
        return False
    expected = np.asarray(expected, np.float64)
    bound = tolerance * max(1e-3, float(np.abs(expected).max()))
    return array.shape == expected.shape and bool(np.all(np.abs(array - expected) <= bound))


# The copy


def _probe(network: Any, rng: np.random.Generator) -> Any:
    """The network with other weights, on the oracle's layers: nothing is compiled for it, and nothing changed."""
    chain = [*layers_of(network), last_layer(network)]
    arrays = {id(value): _weights(value, rng) for value in network.params.values()}
    known = arrays | {id(layer): _on_oracle(layer, arrays) for layer in chain}
    probe = copy.copy(network)
    known[id(network)] = probe
    vars(probe).update({name: _copied(value, known) for name, value in vars(network).items()})
    return probe


def _weights(array: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Weights of a usual size, in time for large networks too: random numbers, repeated."""
    some = rng.standard_normal(1009) * (2 / max(1, len(array))) ** 0.5
    return np.resize(some.astype(array.dtype), array.shape)


def _on_oracle(layer: Any, arrays: dict[int, Any]) -> Any:
    """An object of the layer's class and the oracle's, with the oracle's methods, and arrays for W and b."""
    cls = next(cls for cls in type(layer).__mro__ if cls.__module__.startswith(layers.__name__ + "."))
    own = type(layer)
    made: Any = object.__new__(type(own.__name__, (getattr(reference, cls.__name__), own), {}))
    vars(made).update({key: arrays.get(id(value), value) for key, value in vars(layer).items()})
    return made


def _copied(value: Any, known: dict[int, Any]) -> Any:
    """A deep copy, in which what is known by its id is replaced; what can't be copied stays what it is."""
    try:
        return copy.deepcopy(value, known)
    except Exception:
        return known.get(id(value), value)
