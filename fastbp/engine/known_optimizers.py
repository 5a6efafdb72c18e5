"""Which optimizers the compiled loop knows, their numbers, and the arrays of their state."""

from typing import Any

import numpy as np

from fastbp import originals
from fastbp.chain import NotCompilable
from fastbp.engine.recognition import check_unchanged, form_of
from fastbp.reads import Reads

# Numbers that are what they are; and what is no number at all, of which the optimizer says so.
_PLAIN = {int, float, bool, np.float64, np.float32, np.float16, np.int64, np.int32, np.ndarray}
_PLAIN |= {str, type(None), complex, list, tuple, dict}


def states_of(optimizer: Any, params: Any) -> Any:
    """The arrays of the optimizer's state. ValueError for one that the loop can't pass over element by element."""
    states = optimizer.state_for(params)
    for name, arrays in states.items():
        if not all(array.flags.carray for array in arrays):
            raise ValueError(f"the optimizer's state of {name} must be writable, C-contiguous arrays")
    return states


def check_optimizer(optimizer: Any, reads: Reads) -> None:
    """NotCompilable unless this is one of the loop's optimizers, and its methods are the library's."""
    cls = reads.attribute(optimizer, "__class__")
    if vars(cls).get("part") is None or not originals.is_original(cls) or cls is not type(optimizer):
        raise NotCompilable(f"{cls.__module__}.{cls.__name__} is no optimizer that the compiled loop knows")
    check_unchanged(optimizer, cls, reads)
    own, states = reads.dict_of(optimizer), []
    for name in optimizer.state_names:
        arrays = reads.item(own, name)
        if arrays is not None and type(arrays) is not dict:
            raise NotCompilable(f"the optimizer's {name} is a {type(arrays).__name__}, no dict")
        if arrays is not None:
            reads.contents(arrays)
            states += [(f"{name} of {key}", array) for key, array in arrays.items()]
    for name, array in states:
        if isinstance(array, np.ndarray):
            reads.result(form_of, array)
        if type(array) is not np.ndarray or not array.flags.c_contiguous:
            raise NotCompilable(f"the optimizer's {name} is no C-contiguous array")


def has_plain_numbers(optimizer: Any) -> bool:
    """Whether no hyperparameter is an object that may be another number at each step, but for an lr that says which."""
    own = vars(optimizer)
    if _PLAIN.issuperset(map(type, own.values())):
        return True
    return callable(own.get("lr")) and all(type(each) in _PLAIN for name, each in own.items() if name != "lr")
