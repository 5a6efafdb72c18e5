"""Kernels for a layer that stands outside of the package."""

import inspect
from typing import Any

from numba import config

from fastbp.kernels.loop.foreign import Foreign
from fastbp.layers.compiled import Compiled


def layer_kernels(*, forward: Any, backward: Any, numbers: tuple[str, ...] = ()) -> Compiled:
    """What a layer class of your own says to the compiled loop: `compiled = fastbp.layer_kernels(...)` in the class.

    Both are functions compiled by `numba.njit`: `forward(x, out)` writes out, and `backward(dout, x, out, dx)` writes
    dx, for some rows of a batch, C-contiguous arrays (rows, numbers a sample) of float32 or float64. out has the shape
    of x. `numbers` are the attributes of the layer, plain numbers, that both take as further arguments, in this order
    and by these names. Kernels must not raise, and what they make of a row must not depend on the others.
    They run once `fastbp.check_layer` has found that they do what the methods do. TypeError for another signature.
    """
    _check(forward, "forward", ("x", "out", *numbers))
    _check(backward, "backward", ("dout", "x", "out", "dx", *numbers))
    count = len(numbers)
    return Compiled(
        forward=Foreign(forward, count, takes_gradients=False),
        backward=Foreign(backward, count, takes_gradients=True),
        numbers=tuple(numbers),
    )


def _check(kernel: Any, name: str, expected: tuple[str, ...]) -> None:
    if not (hasattr(kernel, "py_func") or (config.DISABLE_JIT and callable(kernel))):
        raise TypeError(f"{name} must be a function compiled by numba.njit, got {kernel!r}")
    got = tuple(inspect.signature(getattr(kernel, "py_func", kernel)).parameters)
    if got != expected:
        raise TypeError(f"{name} must take ({', '.join(expected)}), got {kernel.__name__}({', '.join(got)})")
