"""Which C functions do what: of each operation, loss, optimizer and kind of samples.

A layer's functions stand here, beside the plan; what a row has no function for is not done.
"""

from typing import Any, NamedTuple

from numba import config, types

from fastbp.kernels import optimizers, relu, sigmoid, softmax_loss
from fastbp.kernels.build import objects
from fastbp.kernels.loop import affine_parts, compress, gather, plan, sparse_parts, training


class Functions(NamedTuple):
    """The parts of an operation; None where there is nothing to do."""

    forward: Any
    backward: Any
    update: Any = None
    penalty: Any = None


OPERATIONS = {
    plan.AFFINE: Functions(
        affine_parts.affine_forward, affine_parts.affine_backward, affine_parts.affine_update, optimizers.penalty
    ),
    plan.RELU: Functions(relu.forward, relu.backward),
    plan.SIGMOID: Functions(sigmoid.forward, sigmoid.backward),
}
OPERATIONS[plan.AFFINE_RELU] = OPERATIONS[plan.AFFINE]

# --- by what the samples are, and by the dimensions of their labels: class indices, or probabilities ---
DENSE = {"uint8": gather.uint8_samples, "float32": gather.float32_samples, "float64": gather.float64_samples}
COMPRESSED = "compressed"
LABELS = {1: gather.labels_as_indices, 2: gather.labels_as_probabilities}
LOSSES = {1: softmax_loss.loss_of_indices, 2: softmax_loss.loss_of_probabilities}

# While zeros are skipped: the first operation's forward, backward and update, then what a `Run` has for such a plan.
SKIPPING = [
    *(sparse_parts.forward, sparse_parts.backward, sparse_parts.update),
    *(sparse_parts.admits, sparse_parts.holds, sparse_parts.enter, sparse_parts.leave),
]
COPIES = [affine_parts.copy_from_home, affine_parts.copy_to_home]


def gather_of(kind, in_place, skips):
    """What brings the samples of a batch to where the first operation reads them, or nothing."""
    if kind != COMPRESSED:
        return None if in_place else DENSE[kind]
    if not skips:
        return gather.spread_samples
    return gather.compressed_in_place if in_place else gather.compressed_samples


class Optimizer(NamedTuple):
    """The part that takes its step."""

    step: Any
    adds: bool = False  # whether that is W -= rate * dW


OPTIMIZERS = {
    "sgd": Optimizer(optimizers.sgd_part, adds=True),
    "momentum": Optimizer(optimizers.momentum_part),
    "nesterov": Optimizer(optimizers.nesterov_part),
    "adagrad": Optimizer(optimizers.adagrad_part),
    "rmsprop": Optimizer(optimizers.rmsprop_part),
    "adam": Optimizer(optimizers.adam_part),
}
DECAYS = optimizers.weight_decay_part
PARAMETER_PARTS = {DECAYS, *(optimizer.step for optimizer in OPTIMIZERS.values())}


def addresses(functions, dtype):
    """Where these parts lie for networks of this dtype, 0 for None: those that are new compiled at once."""
    real = getattr(types, str(dtype))
    found = {function: function.of(*_types(function, real)) for function in functions if function is not None}
    objects.load(found.values())
    return [0 if function is None else found[function].address() for function in functions]


def all_functions(dtype):
    """All C functions that networks of this dtype may need, but for those that these call; none where none is made."""
    if config.DISABLE_JIT:
        return []
    real = getattr(types, str(dtype))
    found = [function for each in OPERATIONS.values() for function in each]
    found += [*DENSE.values(), gather.spread_samples, gather.compressed_samples, gather.compressed_in_place]
    found += [*LABELS.values(), *LOSSES.values(), *SKIPPING, *COPIES, DECAYS, training.train]
    found += [optimizer.step for optimizer in OPTIMIZERS.values()]
    functions = [function.of(*_types(function, real)) for function in dict.fromkeys(found) if function is not None]
    return functions + [function for source in DENSE for function in compress.functions(source, dtype)]


def _types(function, real):
    if function is training.train:
        return training.run_types(real)
    if function in PARAMETER_PARTS:
        return plan.part_types(real, plan.Parameter)
    return plan.part_types(real, plan.Operation)


def loop(dtype):
    """The loop for networks of this dtype: (address of a `Run`, whether the caller leads) to the steps taken."""
    return training.train.of(*training.run_types(getattr(types, str(dtype)))).function()
