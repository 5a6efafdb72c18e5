"""The C functions of the compiled loop: what a part's types are, and where its machine code lies.

Which parts an operation has is said by its layer, which ones an optimizer by that; here stand those that belong to
neither, by what the samples are.
"""

from numba import types

from fastbp.kernels import optimizers
from fastbp.kernels.build import objects
from fastbp.kernels.build.native import CFunction
from fastbp.kernels.loop import compress, gather, plan, training

DENSE = {"uint8": gather.uint8_samples, "float32": gather.float32_samples, "float64": gather.float64_samples}
COMPRESSED = "compressed"
DECAYS, NO_STEP, CLIPPED_STEP = optimizers.weight_decay_part, optimizers.no_step, optimizers.clipped_step


def gather_of(kind, in_place):
    """What brings the samples of a batch, with their zeros, to where the first operation reads them, or nothing."""
    if kind == COMPRESSED:
        return gather.spread_samples
    return None if in_place else DENSE[kind]


def of_operation(part, dtype):
    """The C function of a part for rows of the plan, in networks of this dtype; None for None."""
    return part and part.of(*plan.part_types(getattr(types, str(dtype)), plan.Operation))


def of_parameter(part, dtype):
    """The same of a part for elements of a parameter: an optimizer's step."""
    return part and part.of(*plan.part_types(getattr(types, str(dtype)), plan.Parameter))


def addresses(functions):
    """Where C functions lie, 0 for None: those that are new compiled at once."""
    objects.load([function for function in functions if isinstance(function, CFunction)])
    return [0 if function is None else function.address() for function in functions]


def compressing(source, dtype, form):
    """The C functions that count and compress samples of one dtype, for a network of another."""
    return compress.functions(source, *compress.dtypes_of(form, dtype))


def common_functions(dtype):
    """The C functions that belong to no layer and no optimizer."""
    parts = [*DENSE.values(), gather.spread_samples]
    found = [of_operation(part, dtype) for part in parts]
    found += [of_parameter(part, dtype) for part in (DECAYS, NO_STEP, CLIPPED_STEP)]
    return [*found, loop_of(dtype)] + [
        function for source in DENSE for function in compressing(source, dtype, compress.form_of(source, 1))
    ]


def loop_of(dtype):
    """The loop for networks of this dtype: (address of a `Run`, whether the caller leads) to the steps taken."""
    return training.train.of(*training.run_types(getattr(types, str(dtype))))
