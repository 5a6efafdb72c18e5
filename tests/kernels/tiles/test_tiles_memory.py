"""Register tiles and memory: what is read and written at edges, which elements there are, how they are addressed."""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from tiles import DTYPES, SOURCES

from fastbp.kernels import tiles
from fastbp.kernels.tiles import load, load_row, row, splat, store, store_masked, width_of, zeros
from fastbp.kernels.tiles.strided import evens, load_every_between, load_second_between, odds, store_between, zipped
from fastbp.kernels.tiles.target import TARGET, lanes


@njit
def masked(a, out, stride, rows, width):
    t = zeros(3, 2, out)
    w = width_of(t)
    p = tiles.pointer(a)
    tiles.store(tiles.load_row_masked(t, p, 0, width), out, 0, w)
    store(tiles.load_masked(t, p, 0, stride, rows, width), out, w, w)
    store_masked(splat(t, 7.0), out, 4 * w + 1, w, rows, width)
    tiles.store_row_masked(splat(row(t, 0), 8.0), out, 8 * w + 1, width)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", SOURCES)
def test_masked_loads_and_stores(dtype: str, source: str) -> None:
    full = 2 * lanes(dtype)
    for rows in range(5):  # one more than there are, of both
        for width in range(full + 2):
            a = np.random.default_rng(5).integers(0, 200, (rows + 1) * (width + 1)).astype(source)
            out = np.full((10, full), np.nan, dtype)
            expected = out.copy()
            expected[:4] = 0
            expected[0, :width] = a[: min(width, full)]
            flat = expected.reshape(-1)
            for r in range(min(rows, 3)):
                expected[1 + r, :width] = a[r * (width + 1) :][: min(width, full)]
                flat[(4 + r) * full + 1 :][: min(width, full)] = 7
            flat[8 * full + 1 :][: min(width, full)] = 8
            masked(a, out, width + 1, rows, width)
            np.testing.assert_array_equal(out, expected, err_msg=f"rows {rows}, width {width}")


@njit
def strided(a, out, stride, first, width):
    t = zeros(2, 2, out)
    p = tiles.pointer(a)
    store(load_every_between(t, p, 1, stride, first, width), out, 0, width_of(t))
    if stride == 2:
        store(load_second_between(t, p, 1, first, width), out, width_of(t), width_of(t))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_strided_loads(dtype: str, source: str) -> None:
    full = 2 * lanes(dtype)
    for stride in (1, 2, 3, 7):
        for width in range(full + 2):
            for first in (-1, 0, 1, 5, full):
                a = np.random.default_rng(5).integers(0, 200, 1 + stride * (full + 1)).astype(source)
                out = np.full((2, full), np.nan, dtype)
                strided(a, out, stride, first, width)
                inside = (np.arange(full) >= first) & (np.arange(full) < width)
                expected = np.where(inside, a[1::stride][:full], 0)
                for got in out[: 2 if stride == 2 else 1]:
                    np.testing.assert_array_equal(got, expected, err_msg=f"stride {stride}, {first} to {width}")


@njit
def zips(a, b, out, first, width):
    t = zeros(1, 1, out)
    both = zipped(load_row(t, tiles.pointer(a), 0), load_row(t, tiles.pointer(b), 0))
    store_between(both, tiles.pointer(out), 0, first, width)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_zipped_and_stored_between(dtype: str) -> None:
    full = 2 * lanes(dtype)
    a, b = np.arange(full, dtype=dtype).reshape(2, -1)
    for first, width in ((-3, full + 3), (0, full), (1, full - 1), (3, 2), (full, full + 5), (-5, -1)):
        out, both = np.full(full, np.nan, dtype), np.stack([a, b], axis=1).reshape(-1)
        zips(a, b, out, first, width)
        inside = (np.arange(full) >= first) & (np.arange(full) < width)
        np.testing.assert_array_equal(out, np.where(inside, both, np.nan))


@njit
def halves(a, even, odd):
    pair = load_row(zeros(1, 2, a), tiles.pointer(a), 0)
    store(evens(pair), tiles.pointer(even), 0, 0)
    store(odds(pair), tiles.pointer(odd), 0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_second_column(dtype: str) -> None:
    a, (even, odd) = np.arange(2 * lanes(dtype), dtype=dtype), np.zeros((2, lanes(dtype)), dtype)
    halves(a, even, odd)
    np.testing.assert_array_equal(even, a[::2])
    np.testing.assert_array_equal(odd, a[1::2])


def reads_up_to_a_forbidden_page() -> None:
    """Loads that end where readable memory ends: one element further is a segmentation fault."""
    page = mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, 2 * page), np.uint8)
    forbidden = ctypes.c_void_p(memory.ctypes.data + page)
    assert ctypes.CDLL(None).mprotect(forbidden, ctypes.c_size_t(page), 0) == 0
    for dtype in DTYPES:
        out = np.zeros((10, 2 * lanes(dtype)), dtype)
        for width in range(2 * lanes(dtype)):
            masked(memory[page - 2 * width * out.itemsize : page].view(dtype), out, width, 2, width)
            for stride in (1, 2, 3):  # the last element is the last one before the page
                begin = page - (stride * max(width - 1, 0) + 2) * out.itemsize
                strided(memory[begin:page].view(dtype), out, stride, 0, width)


@pytest.mark.command
@pytest.mark.skipif(os.name != "posix", reason="mprotect")
def test_masked_loads_stay_inside_their_page() -> None:
    code = "import test_tiles_memory; test_tiles_memory.reads_up_to_a_forbidden_page()"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": paths})


@njit
def inside(out, rows, width):
    t = zeros(3, 2, np.zeros(1, np.float32))
    store(tiles.within(t, rows, width), out, 0, width_of(t))


def test_within() -> None:
    full = 2 * lanes("float32")
    for rows in range(-1, 5):
        for width in (-1, 0, 1, full - 1, full, full + 1, 2**40):
            out = np.zeros((3, full), np.bool_)
            inside(out, rows, width)
            expected = (np.arange(3)[:, None] < rows) & (np.arange(full) < width)
            np.testing.assert_array_equal(out, expected, err_msg=f"rows {rows}, width {width}")


@njit
def clamped(a, out, stride, rows):
    t = zeros(4, 2, out)
    store(tiles.load_clamped(t, a, 1, stride, rows), out, 0, width_of(t))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", SOURCES)
def test_load_clamped(dtype: str, source: str) -> None:
    full = 2 * lanes(dtype)
    a = np.random.default_rng(4).integers(0, 9, (4, full + 1)).astype(source)
    for rows in range(1, 7):
        out = np.full((4, full), np.nan, dtype)
        clamped(a, out, full + 1, rows)
        np.testing.assert_array_equal(out, a[np.minimum(np.arange(4), rows - 1), 1:])


@njit
def constants(a):
    t = zeros(3, 2, a)
    return tiles.rows_of(t), tiles.vecs_of(t), width_of(t), tiles.lanes_of(t), tiles.lanes_of(a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constants(dtype: str) -> None:
    count = lanes(dtype)
    assert constants(np.zeros(1, dtype)) == (3, 2, 2 * count, count, count)


@njit
def first_aligned(a):
    return tiles.aligned(a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_aligned(dtype: str) -> None:
    memory = np.zeros(64, dtype)
    for start in range(32):
        a = memory[start:]
        place = first_aligned(a)
        assert 0 <= place < lanes(dtype)
        assert (a.ctypes.data + place * a.itemsize) % TARGET.vector_bytes == 0


@njit
def reinterpreted(a, like, out):
    t = zeros(1, 1, out)
    memory = tiles.reinterpret(a, 2, tiles.pointer(like))
    store(splat(t, 3.0), memory, 1, 0)
    store(load(t, memory, 1, 0), out, 0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("other", DTYPES)
def test_reinterpret(dtype: str, other: str) -> None:
    """The same memory, seen as another dtype."""
    a, out = np.zeros(200, dtype), np.zeros(lanes(other), other)
    reinterpreted(a, out, out)
    expected = np.zeros_like(a)
    expected[2:].view(other)[1 : 1 + out.size] = 3
    np.testing.assert_array_equal(a, expected)
    np.testing.assert_array_equal(out, 3)


@njit
def prefetches(a):
    for i in range(-3, 1000000, 999):
        tiles.prefetch(zeros(1, 2, a), a, i)
        tiles.prefetch_line(a, i)


def test_prefetch_is_safe_anywhere() -> None:
    prefetches(np.zeros(3, np.float32))
