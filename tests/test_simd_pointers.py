"""Pointers of tiles: which dtype they point to, and one of two."""

import numpy as np
import pytest
from numba import config, njit

if config.DISABLE_JIT:
    pytest.skip("register tiles exist in compiled code only", allow_module_level=True)

from fastbp.kernels.simd import pointer, pointer_if, same_dtype


@njit
def chosen(condition, one, other):
    return same_dtype(one, other), pointer_if(condition, pointer(one), pointer(other))[0]


def test_pointer_if_follows_the_condition() -> None:
    one, other = np.array([1.5]), np.array([2.5])
    assert chosen(True, one, other) == (True, 1.5)
    assert chosen(False, one, other) == (True, 2.5)


def test_pointer_if_of_two_dtypes_is_the_first() -> None:
    one, other = np.array([1.5]), np.array([2.5], np.float32)
    assert chosen(True, one, other) == (False, 1.5)
    assert chosen(False, one, other) == (False, 1.5)
    assert chosen(False, other, one) == (False, 2.5)
