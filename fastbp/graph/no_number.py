"""What Python asks of numbers and arrays, refused with what to write instead: the numbers of a node are its `value`."""

from numbers import Number
from typing import Any, NoReturn

import numpy as np


class NoNumber:
    """Something with a `value` that is no number itself; equal to itself alone."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError("a node is neither true nor false: write `if node.value > 0:`, with the comparison you mean")

    def __lt__(self, other: Any) -> NoReturn:
        raise TypeError("nodes can't be compared: compare their values, as in `node.value > 0`")

    __le__ = __gt__ = __ge__ = __lt__

    def __eq__(self, other: object) -> bool:
        """Whether it is the same node. TypeError for a number or an array, with which its value is to be compared."""
        if isinstance(other, Number | np.ndarray):
            raise TypeError("a node is no number: compare its value, as in `node.value == 220`")
        return self is other

    __hash__ = object.__hash__

    def __float__(self) -> NoReturn:
        raise TypeError("a node is no number: take node.value for the number, or fastbp.graph's functions of nodes")

    __int__ = __complex__ = __float__

    def __getitem__(self, index: Any) -> NoReturn:
        raise TypeError("a node has no elements: take those of node.value, as in `node.value[0]`")

    def __len__(self) -> NoReturn:
        raise TypeError("a node has no length: take that of node.value")

    def __iter__(self) -> NoReturn:
        raise TypeError("a node can't be iterated over: take the elements of node.value")

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(f"a node takes no format: write {{node.value:{spec}}}")
        return str(self)
