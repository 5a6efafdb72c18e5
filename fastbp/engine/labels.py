"""Which samples and labels a network takes, where its layers and its loss say that: checked before a step is taken."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import layers, reference
from fastbp.boundary import arrays
from fastbp.chain import Chain, NotCompilable
from fastbp.engine.data import Data, LayerData
from fastbp.engine.proof import STEPS, prove
from fastbp.engine.recognition import says
from fastbp.layers.compiled import Compiled, CompiledLoss, Shape
from fastbp.reads import Reads

Check = Callable[[NDArray[Any]], object]  # of labels (N, ...): ValueError and TypeError for those that don't fit


def check_of(chain: Chain, reads: Reads) -> Check | None:
    """What refuses labels that the loss can't take; None where the network's own code, or its data, say which fit.

    While what goes to `reads` is the same, the answer is.
    """
    chain.note(reads)
    told = [_said_of(layer, Compiled) for layer in chain.layers]
    outputs, loss = _outputs(chain, told, reads), _said_of(chain.loss, CompiledLoss)
    if outputs is None or loss is None:
        return None
    names = {id(array): name for name, array in chain.params.items()}
    held = [
        (layer, key, names[id(array)])
        for layer, compiled in zip(chain.layers, told, strict=True)
        for key in (compiled.parameters if compiled else ())
        if id(array := getattr(layer, key, None)) in names
    ]
    try:
        prove(chain, STEPS, held, reads)  # so labels go to the loss as they are
    except NotCompilable:
        return None
    return lambda t: loss.targets(t, (len(t), *outputs), arrays.FLOAT64)


def rows_of(check: Check | None, samples: ArrayLike, labels: ArrayLike, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples and labels as arrays with as many rows; labels that the network could not take are refused."""
    if hasattr(samples, "tocsr") or isinstance(samples, Data | LayerData):
        what = "a scipy.sparse matrix" if hasattr(samples, "tocsr") else "prepared data"
        raise TypeError(f"x_{name} is {what}, but Trainer takes arrays: those of fastbp.compile(...).run may be that")
    x, t = np.asanyarray(samples), np.asanyarray(labels)
    for array, letter in ((x, "x"), (t, "t")):
        if array.ndim == 0:
            raise ValueError(f"{letter}_{name} must have a row for each sample, got a single value")
    if len(x) == 0:
        raise ValueError(f"x_{name} is empty: expected at least one sample")
    if len(x) != len(t):
        raise ValueError(f"x_{name} has {len(x)} samples, but t_{name} has {len(t)} labels")
    if check is not None:
        try:
            check(t)
        except (TypeError, ValueError) as error:
            raise type(error)(f"t_{name} doesn't go with the network: {error}") from None
    return x, t


def check_samples(chain: Chain, x: NDArray[Any], name: str) -> None:
    """As `_check_shape`; what is raised names the samples."""
    try:
        _check_shape(chain, x)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}, of shape {x.shape}, doesn't go with the network: {error}") from None


def _check_shape(chain: Chain, x: NDArray[Any]) -> None:
    """ValueError and TypeError for samples that the first layers, as far as they are the library's, can't take."""
    arrays.real_array(x, "x")
    if x.ndim < 2:
        raise ValueError(f"expected shape (samples, features) or (samples, C, H, W), got {x.shape}")
    shape: Shape = x.shape[1:]
    for layer in chain.layers:
        compiled = _said_of(layer, Compiled)
        if compiled is None:
            return
        try:
            shape = tuple(compiled.output_shape(layer, shape))
        except (AttributeError, IndexError, TypeError):  # its parameters are no arrays that go together
            return


def _said_of(layer: Any, kind: type) -> Any:
    """What the class of the library that a layer's class is, or comes from, says of itself; the oracle's are as ours.

    None for any other layer.
    """
    for cls in type(layer).__mro__:
        ours = getattr(layers, cls.__name__, cls) if cls.__module__ == reference.__name__ else cls
        if says(ours, kind):
            return vars(ours)["compiled"]
    return None


def _outputs(chain: Chain, told: list[Any], reads: Reads) -> Shape | None:
    """The shape of a sample's scores, from the last layer on that knows how many numbers it takes; else None."""
    shape: Shape | None = None
    for layer, compiled in zip(chain.layers, told, strict=True):
        if compiled is None:
            shape = None
            continue
        try:
            size = compiled.input_size(layer)
            shape = shape if size is None else (size,)
            shape = None if shape is None else tuple(compiled.output_shape(layer, shape))
        except (AttributeError, IndexError, TypeError, ValueError):  # its parameters are no arrays that go together
            shape = None
        for key in compiled.parameters if shape is not None else ():
            reads.attribute(layer, key)
    return shape
