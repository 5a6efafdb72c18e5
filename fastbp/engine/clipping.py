"""Gradients that are scaled down together, where they are too long."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastbp.boundary.arguments import positive

TINY = 1e-6  # beside the norm, as in PyTorch's clip_grad_norm_


def max_norm_of(value: float | None) -> float | None:
    """A `max_norm` as it was given, None for no clipping. ValueError and TypeError for what is no positive number."""
    return None if value is None else positive(value, "max_norm")


def clipped(gradients: Mapping[str, Any], params: Mapping[str, Any], max_norm: float | None) -> Mapping[str, Any]:
    """The gradients of `params`, each times min(1, max_norm / (norm + 1e-6)), of the norm of all of them together.

    The very gradients where nothing is to be scaled, else new ones: what was given may be a layer's own. Of a norm that
    is NaN all become NaN (R. Pascanu and others, On the difficulty of training recurrent neural networks, 2013).
    """
    if max_norm is None:
        return gradients
    own = {name: np.asarray(gradients[name]) for name in params if name in gradients}
    squares = sum(float(np.sum(np.square(gradient, dtype=np.float64))) for gradient in own.values())
    factor = max_norm / (math.sqrt(squares) + TINY)
    if factor >= 1:
        return gradients
    return {**gradients, **{name: gradient * gradient.dtype.type(factor) for name, gradient in own.items()}}
