"""Pointers of tiles: which dtype they point to, and one of two."""

import platform

import numpy as np
import pytest
from numba import config, njit

from fastbp.kernels import tiles
from fastbp.kernels.tiles import address_as, moved, pointer, pointer_if, same_dtype
from fastbp.kernels.tiles.addresses import note


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


@njit
def first_of(kind, address, like):
    if kind == 0:
        return float(tiles.address_as_bytes(address)[0])
    if kind == 1:
        return float(tiles.address_as_int32(address)[0])
    if kind == 2:
        return float(tiles.address_as_int64(address)[0])
    if kind == 3:
        return float(tiles.address_as_float32(address)[0])
    if kind == 4:
        return float(tiles.address_as_float64(address)[0])
    if kind == 5:
        return float(tiles.address_as_uint16(address)[0])
    return float(address_as(address, pointer(like))[0])


@pytest.mark.parametrize(
    ("kind", "dtype"), list(enumerate(["uint8", "int32", "int64", "float32", "float64", "uint16", "float32"]))
)
def test_addresses(kind: int, dtype: str) -> None:
    a = np.array([200, 3], dtype)
    assert first_of(kind, note(a), np.zeros(1, np.float32)) == 200
    assert first_of(kind, note(a[1:]), np.zeros(1, np.float32)) == 3


@njit
def behind(a, offset):
    return moved(pointer(a), offset)[0]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_moved(dtype: str) -> None:
    a = np.arange(5, dtype=dtype)
    assert [behind(a, offset) for offset in (0, 2, 4)] == [0, 2, 4]
    if not config.DISABLE_JIT:  # where an access in front of an array is an error
        assert behind(a[2:], -2) == 0


@njit
def halves(a, out):
    """Of denormals in between and after; each product stays where it is, between a load and a store."""
    before = tiles.flush_denormals()
    out[0] = a[0] * a[1]
    tiles.restore(before)
    out[1] = a[2] * a[3]


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="NumPy's stay what they are")
def test_denormals() -> None:
    out = np.ones(2, np.float32)
    halves(np.array([1e-38, 0.5, 1e-38, 0.5], np.float32), out)
    assert out[1] == np.float32(5e-39)
    assert out[0] == (0 if platform.machine().lower() in ("x86_64", "amd64") else out[1])
