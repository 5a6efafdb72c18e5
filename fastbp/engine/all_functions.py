"""All C functions that the compiled loop may need: what is compiled ahead of time."""

from typing import Any

import numpy as np
from numba import config
from numpy.typing import DTypeLike

from fastbp.kernels.loop import parts
from fastbp.layers.compiled import Compiled, CompiledLoss
from fastbp.lazy import classes


def all_functions(dtype: DTypeLike) -> list[Any]:
    """Those for networks of this dtype, of every layer, loss and optimizer, but for those that these call.

    None where nothing is compiled.
    """
    if config.DISABLE_JIT:
        return []
    dtype = np.dtype(dtype)
    told = [vars(cls).get("compiled") for cls in classes("fastbp.layers")]
    found = [part for each in told if isinstance(each, Compiled | CompiledLoss) for part in each.functions()]
    functions = [parts.of_operation(each, dtype) for each in dict.fromkeys(found)]
    steps = [part for cls in classes("fastbp.optimizers") if (part := vars(cls).get("part"))]
    return [*functions, *(parts.of_parameter(part, dtype) for part in steps), *parts.common_functions(dtype)]
