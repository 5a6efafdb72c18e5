"""Kernels in another precision than the script's arrays: `--dtype`.

The arrays that a method reads are converted for a copy of the layer, what that returns and keeps goes back to the dtype
that plain Python gives. The script's own arrays stay where they are: `layer.W` is `params["W1"]` before and after.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from fastbp.layers import Affine, skipping
from fastbp.reads import MISSING

Precision = np.dtype[Any]

# What tells by its size whether any array of a method is large, beside its argument.
SIZED = ("W",)
SIZED_BEFORE = ("W", "x", "y")

# What a layer holds in floating point: its parameters, what its forward pass kept, and the gradients.
PARAMETERS = frozenset(("W", "b", "gamma", "beta", "running_mean", "running_var"))
KEPT = frozenset(("x", "out", "y", "xc", "xn", "std", "col", "col_W"))
GRADIENTS = frozenset(("dW", "db", "dgamma", "dbeta"))

# These choose among numbers, and compute next to nothing: converted they would be passed over three times, not once.
CHOOSE = ("Relu", "Pooling", "Dropout")

# Where no array has so many elements, converting takes longer than float32 saves: a product of 100 x 50 x 10 takes 5 µs
# in float64, and 19 with arrays that are converted to float32 and back (Xeon, AVX-512).
WORTH = 16384


def converted(function: Callable[..., Any], cls: type, dtype: Precision) -> Callable[..., Any]:
    """`forward` or `backward` of a layer class in a dtype.

    An optimizer's `update` stays as it is: it changes the script's own arrays in place, in their dtype.
    """
    name = function.__name__
    if name == "update" or cls.__name__ in CHOOSE:
        return function
    forward = name == "forward"
    # With dx nothing is skipped, see `Affine.backward`.
    skips = _skips if issubclass(cls, Affine) and name != "backward" else _never
    read = PARAMETERS if forward else PARAMETERS | KEPT
    results, sized = PARAMETERS | KEPT | GRADIENTS, SIZED if forward else SIZED_BEFORE

    @wraps(function)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        own = vars(self)
        for value in (*arguments, *map(own.get, sized)):
            if type(value) is np.ndarray and value.size >= WORTH:
                break
        else:  # most calls, in 0.4 µs
            return function(self, *arguments, **named)
        first, *rest = arguments or (None,)
        of_first = first.dtype if isinstance(first, np.ndarray) else None
        if skips(own, arguments[0] if forward and arguments else own.get("x"), forward):
            return function(self, *arguments, **named)
        before = {n: v for n, v in own.items() if n in results and isinstance(v, np.ndarray)}
        plain = _plain_dtype(of_first, *(before[n].dtype for n in before if n in read))
        narrow = {n: v.astype(dtype) for n, v in before.items() if n in read and _differs(v.dtype, dtype)}
        if of_first is not None and _differs(of_first, dtype):
            arguments = (first.astype(dtype), *rest)
        # A copy of the layer computes: whenever Ctrl-C comes, the script's own has no array of this dtype.
        twin, was = object.__new__(type(self)), dict(own)
        kept = vars(twin)
        kept.update(was, **narrow)
        result = function(twin, *arguments, **named)
        back = result.astype(plain) if isinstance(result, np.ndarray) and _differs(result.dtype, plain) else result
        kept.update({n: before[n] for n in narrow if kept.get(n) is narrow[n]})
        _give_back(kept, results, before, plain)
        if forward:
            if of_first is not None and "x" in kept:
                shape = kept["x"].shape
                kept["x"] = first if first.shape == shape else first.reshape(shape)
            if "out" in kept:
                kept["out"] = back  # the very array that forward returned
        new = {n: v for n, v in kept.items() if v is not was.get(n, MISSING)}
        for name in was.keys() - kept.keys():
            own.pop(name, None)
        own.update(new)
        return back

    return call


def _skips(own: dict[str, Any], x: Any, anew: bool) -> bool:
    """Whether an affine layer skips the zeros of x, and computes in the dtype of `skipping.precision` on its own."""
    W = own.get("W")
    if type(x) is not np.ndarray or type(W) is not np.ndarray or x.ndim < 2 or W.ndim != 2:
        return False
    return skipping.pays(x, W, anew=anew)


def _never(own: dict[str, Any], x: Any, anew: bool) -> bool:
    return False


def _give_back(own: dict[str, Any], results: frozenset[str], before: Any, plain: Precision) -> None:
    """The arrays that a method has made, in the plain dtype."""
    for name in results & own.keys():
        now, was = own[name], before.get(name)
        if now is not was and isinstance(now, np.ndarray) and name != "x" and _differs(now.dtype, plain):
            own[name] = now.astype(plain)


@lru_cache(maxsize=256)
def _plain_dtype(*given: Precision | None) -> Precision:
    """The dtype of what NumPy computes of arrays of these."""
    found = [dtype for dtype in given if dtype is not None and dtype.kind == "f"]
    return np.result_type(*found) if found else np.dtype(np.float64)


def _differs(dtype: Precision, other: Precision) -> bool:
    return dtype.kind == "f" and dtype != other
