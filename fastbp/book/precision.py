"""Kernels in another precision than the script's arrays: `--dtype`.

The arrays that a method reads are converted for its time, what it returns and keeps goes back to the dtype that plain
Python gives. The script's own arrays stay where they are: `layer.W` is `params["W1"]` before and after.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

# What a layer holds in floating point: its parameters, what its forward pass kept, and the gradients.
PARAMETERS = ("W", "b", "gamma", "beta", "running_mean", "running_var")
KEPT = ("x", "out", "y", "xc", "xn", "std", "col", "col_W")
GRADIENTS = ("dW", "db", "dgamma", "dbeta")


def converted(function: Callable[..., Any], dtype: np.dtype[Any]) -> Callable[..., Any]:
    """`forward` or `backward` of a layer in a dtype; an optimizer's `update` as it is: it changes arrays in place."""
    forward = function.__name__ == "forward"
    read = PARAMETERS if forward else (*PARAMETERS, *KEPT)

    @wraps(function)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        own, (first, *rest) = vars(self), arguments or (None,)
        plain = _plain_dtype(first, *(own.get(name) for name in read))
        with _in_dtype(own, read, dtype, plain):
            result = function(self, *(_converted(first, dtype), *rest)[: len(arguments)], **named)
        back = _converted(result, plain)
        if forward and isinstance(own.get("x"), np.ndarray) and isinstance(first, np.ndarray):
            own["x"] = first.reshape(own["x"].shape)
        if forward and own.get("out") is result:
            own["out"] = back  # the very array that forward returned
        return back

    return function if function.__name__ == "update" else call


@contextmanager
def _in_dtype(own: dict[str, Any], read: tuple[str, ...], dtype: np.dtype[Any], plain: np.dtype[Any]) -> Iterator[None]:
    """What a layer reads, in this dtype; afterwards its own arrays again, and new ones in the plain dtype."""
    before = {name: own.get(name) for name in (*PARAMETERS, *KEPT, *GRADIENTS)}
    narrow = {name: _converted(before[name], dtype) for name in read if before[name] is not None}
    own.update(narrow)
    try:
        yield
    finally:
        for name, value in before.items():
            now = own.get(name)
            if name in narrow and now is narrow[name]:
                own[name] = value
            elif now is not value and name not in ("x", "out"):
                own[name] = _converted(now, plain)


def _plain_dtype(*values: Any) -> np.dtype[Any]:
    """The dtype of what NumPy computes of these arrays."""
    found = {value.dtype for value in values if isinstance(value, np.ndarray) and value.dtype.kind == "f"}
    return np.result_type(*found) if found else np.dtype(np.float64)


def _converted(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype != dtype:
        return value.astype(dtype)
    return value
