"""A network and an optimizer as one compiled loop."""

from collections.abc import Mapping
from typing import Any

from fastbp.boundary.arguments import optimizer_object
from fastbp.chain import NotCompilable
from fastbp.engine.clipping import max_norm_of
from fastbp.engine.scores import predict
from fastbp.engine.side_by_side import fit_many
from fastbp.engine.training_step import TrainingStep

__all__ = ["NotCompilable", "TrainingStep", "compile", "fit_many", "predict"]


def compile(network: Any, optimizer: Any, *, strict: bool = False, max_norm: float | None = None) -> TrainingStep:
    """Training steps of this network with this optimizer in compiled code, without a compilation of their own.

    For chains of layers that say what the loop calls for them (`fastbp/layers/compiled.py`) and end in SoftmaxWithLoss
    or IdentityWithLoss, in float32 or float64, and the optimizers of `fastbp.optimizers`. Methods `loss` and `gradient`
    of a network class of your own are proved to do what the layers do, for every input, without being run. Where that
    can't be proved, and for anything else that the loop doesn't know, the network itself takes the steps; `reason` of
    what is returned says why, and with `strict` a `NotCompilable` (a ValueError) is raised, here or when steps are
    taken of a network that was changed since.

    In the loop the loss is that of the pass that `gradient` makes, and denormal numbers are 0; a network that takes the
    steps itself is asked for its `loss` too, which is another pass.

    With `max_norm` all gradients of a step are multiplied by min(1, max_norm / (norm + 1e-6)) first, norm being that of
    all of them together, weight decay included: PyTorch's `clip_grad_norm_`. Zeros of the samples aren't skipped then.

    ValueError, naming the parameter, when a parameter came apart from its layer, and for a max_norm that is not
    positive. TypeError for what is no network or no optimizer.
    """
    optimizer_object(optimizer)
    if not isinstance(getattr(network, "params", None), Mapping):
        raise TypeError(f"network must have params, a dict of arrays, and layers, got {network!r}")
    max_norm = max_norm_of(max_norm)
    return TrainingStep(network, optimizer, strict=strict, max_norm=max_norm)
