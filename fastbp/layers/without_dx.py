"""The backward pass of a network's first layer, whose dx nobody reads: without it, where the layer is the library's."""

from typing import Any

import numpy as np

from fastbp.layers import skipping
from fastbp.layers.affine import BACKWARD, BACKWARD_CODE
from fastbp.system import threads

# With more threads than this all of `backward` takes no longer than its part of one thread.
MOST_THREADS = 2


def backward_without_dx(layer: Any, dout: Any) -> None:
    """`layer.backward(dout)`, whose result nobody is to read: by an Affine's own kernel, if that is no slower.

    dx is a third of the work of a training step of chapter 5, and 0.6 MB to write. A layer of another class, or with
    another `backward`, has that called.
    """
    unchanged = getattr(type(layer), "backward", None) is BACKWARD and BACKWARD.__code__ is BACKWARD_CODE
    if unchanged and "backward" not in vars(layer) and pays(layer, dout):
        layer._backward_parameters(dout)
    else:
        layer.backward(dout)


def pays(layer: Any, dout: Any) -> bool:
    """Whether one thread without dx is as fast; and always where it skips zeros, which sums in another order."""
    W, x = layer.W, layer.x
    if not (type(dout) is type(W) is type(x) is np.ndarray and dout.ndim and W.ndim and x.ndim):
        return False  # what isn't an array yet, `backward` makes one
    return threads.for_work(4.0 * len(dout) * W.size) <= MOST_THREADS or skipping.pays(x, W)
