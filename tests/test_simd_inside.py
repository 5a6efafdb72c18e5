"""Rows that end inside: vectors that would pass the width begin earlier, so nothing outside is read or written."""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import config, njit

if config.DISABLE_JIT:
    pytest.skip("register tiles exist in compiled code only", allow_module_level=True)

from tiles import DTYPES, SOURCES

from fastbp.kernels import simd
from fastbp.kernels.codegen import lanes
from fastbp.kernels.simd import columns, pointer, store, width_of, zeros

VECS = 3


@njit
def loads(a, offset, width, out):
    t = zeros(1, VECS, out)
    store(simd.load_row_inside(t, pointer(a), offset, width), out, 0, width_of(t))


@njit
def stores(out, offset, width):
    t = zeros(1, VECS, out)
    simd.store_row_inside(columns(t), pointer(out), offset, width)


@njit
def adds_one(a, offset, width):
    t = zeros(1, VECS, a)
    simd.store_row_inside(simd.add(simd.load_row_inside(t, pointer(a), offset, width), 1.0), pointer(a), offset, width)


def places(dtype: str, width: int) -> np.ndarray:
    """Which column each element of the tile is: whole vectors in order, and those past the width end with it."""
    n = lanes(dtype)
    return np.concatenate([min(v * n, width - n) + np.arange(n) for v in range(VECS)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", SOURCES)
def test_load_row_inside(dtype: str, source: str) -> None:
    full = VECS * lanes(dtype)
    for offset in (0, 3):
        for width in range(lanes(dtype), full + 9):
            a = np.random.default_rng(6).integers(0, 200, offset + width).astype(source)
            out = np.full(full, np.nan, dtype)
            loads(a, offset, width, out)
            expected = a[offset + places(dtype, width)].astype(dtype)
            np.testing.assert_array_equal(out, expected, err_msg=f"width {width}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_store_row_inside(dtype: str) -> None:
    """Where two vectors lie over each other, the later one counts; what lies beside the row stays as it is."""
    full = VECS * lanes(dtype)
    for width in range(lanes(dtype), full + 9):
        out = np.full(5 + width + 70, np.nan, dtype)
        expected = out.copy()
        for element, place in enumerate(places(dtype, width)):
            expected[5 + place] = element
        stores(out, 5, width)
        np.testing.assert_array_equal(out, expected, err_msg=f"width {width}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_loaded_may_be_changed_and_stored(dtype: str) -> None:
    """All columns once: those that are there twice get the same value twice."""
    for width in range(lanes(dtype), VECS * lanes(dtype) + 1):
        a = np.random.default_rng(7).standard_normal(width + 80).astype(dtype)
        expected = a.copy()
        expected[40 : 40 + width] += 1
        adds_one(a, 40, width)
        np.testing.assert_array_equal(a, expected, err_msg=f"width {width}")


def works_between_forbidden_pages() -> None:
    """Rows that fill a page, and those that end with it: one element further is a segmentation fault."""
    page = mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, 3 * page), np.uint8)
    for start in (0, 2 * page):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(memory.ctypes.data + start), ctypes.c_size_t(page), 0) == 0
    for dtype in DTYPES:
        whole = memory[page : 2 * page].view(dtype)
        for width in range(lanes(dtype), VECS * lanes(dtype) + 2):
            for row in (whole[:width], whole[-width:]):
                adds_one(row, 0, width)
                loads(row, 0, width, np.zeros(VECS * lanes(dtype), dtype))


@pytest.mark.command
@pytest.mark.skipif(os.name != "posix", reason="mprotect")
def test_rows_stay_inside_their_page() -> None:
    code = "import test_simd_inside; test_simd_inside.works_between_forbidden_pages()"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": paths})
