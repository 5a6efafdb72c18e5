"""A network and an optimizer as one compiled loop."""

from collections.abc import Mapping
from typing import Any

from fastbp import _checks
from fastbp.engine.chain import NotCompilable
from fastbp.engine.layerwise import LayerStep
from fastbp.engine.many import fit_many
from fastbp.engine.scores import predict
from fastbp.engine.step import CompiledStep

__all__ = ["CompiledStep", "LayerStep", "NotCompilable", "compile", "fit_many", "predict"]


def compile(network: Any, optimizer: Any, *, strict: bool = False) -> CompiledStep | LayerStep:
    """Training steps of this network with this optimizer in compiled code, without a compilation of their own.

    For chains of Affine, Relu and Sigmoid that end in SoftmaxWithLoss, in float32 or float64, and the optimizers of
    `fastbp.optimizers`. For anything else the layers themselves take the steps, with the same results; `reason` of
    what is returned says why, and with `strict` a `NotCompilable` (a ValueError) is raised. The methods `loss` and
    `gradient` of a network class of your own are tried on a copy, with random weights and samples: where they compute
    something else than the layers do, they are what takes the steps.

    ValueError, naming the parameter, when `params[k]` is not its layer's array. TypeError for what is no network or no
    optimizer.
    """
    _checks.optimizer(optimizer)
    if not isinstance(getattr(network, "params", None), Mapping):
        raise TypeError(f"network must have params, a dict of arrays, and layers, got {network!r}")
    try:
        return CompiledStep(network, optimizer)
    except NotCompilable as error:
        if strict:
            raise
        return LayerStep(network, optimizer, str(error))
