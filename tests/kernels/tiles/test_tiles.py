"""Arithmetic on register tiles, each operation alone, against NumPy."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config, errors, njit
from tiles import DTYPES, SOURCES, values, whole

from fastbp.kernels import tiles
from fastbp.kernels.tiles import lanes_of, load, row, splat, store, store_masked, width_of, zeros
from fastbp.kernels.tiles.operation import Operation
from fastbp.kernels.tiles.target import TARGET, lanes


def applied(operation: Any, arity: int) -> Callable[..., None]:
    """A kernel that loads 2x3 tiles, applies the operation and stores the result."""
    if arity == 1:

        @njit
        def kernel(a, out):
            t = zeros(2, 3, a)
            store(operation(load(t, a, 0, width_of(t))), out, 0, width_of(t))

    elif arity == 2:

        @njit
        def kernel(a, b, out):
            t = zeros(2, 3, a)
            w = width_of(t)
            store(operation(load(t, a, 0, w), load(t, b, 0, w)), out, 0, w)

    else:

        @njit
        def kernel(a, b, c, out):
            t = zeros(2, 3, a)
            w = width_of(t)
            store(operation(load(t, a, 0, w), load(t, b, 0, w), load(t, c, 0, w)), out, 0, w)

    return kernel


UNARY = {"neg": np.negative, "absolute": np.abs, "sqrt": np.sqrt, "rint": np.rint}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": lambda a, b: np.where(a > b, a, b),
    "minimum": lambda a, b: np.where(a < b, a, b),
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    a = values(dtype, 2, 3)
    with np.errstate(invalid="ignore"):
        expected = UNARY[name](a)
    out = np.empty_like(a)
    applied(getattr(tiles, name), 1)(a, out)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(np.signbit(out), np.signbit(expected), err_msg="signs of zero and NaN")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: str) -> None:
    a, b = values(dtype, 2, 3), values(dtype, 2, 3, seed=1)[::-1].copy()
    b[0, :3] = a[0, :3]
    with np.errstate(all="ignore"):
        expected = BINARY[name](a, b)
    out = np.empty_like(expected)
    applied(getattr(tiles, name), 2)(a, b, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_rounds_once(dtype: str) -> None:
    a = np.full((2, 3 * lanes(dtype)), 1 + np.finfo(dtype).eps, dtype)
    out = np.empty_like(a)
    applied(tiles.fma, 3)(a, a, -(a * a), out)
    twice = not TARGET.fma or (config.DISABLE_JIT and dtype == "float64")
    assert (out == (0 if twice else np.finfo(dtype).eps ** 2)).all()


@njit
def logic(a, b, out, passed):
    t = zeros(2, 2, a)
    w = width_of(t)
    x, y = load(t, a, 0, w), load(t, b, 0, w)
    p, q = tiles.less(x, y), tiles.greater(x, 0.0)
    store(tiles.select(p, x, y), out, 0, w)
    store(tiles.logical_and(p, q), passed, 0, w)
    store(tiles.logical_or(p, q), passed, 2 * w, w)
    store(tiles.logical_not(p), passed, 4 * w, w)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_dtype", ["bool", "uint8"])
def test_select_and_logic(dtype: str, mask_dtype: str) -> None:
    a, b = values(dtype, 2, 2), values(dtype, 2, 2, seed=3)[::-1].copy()
    out, passed = np.empty_like(a), np.empty((6, a.shape[1]), mask_dtype)
    logic(a, b, out, passed)
    np.testing.assert_array_equal(out, np.where(a < b, a, b))
    np.testing.assert_array_equal(passed, np.concatenate([(a < b) & (a > 0), (a < b) | (a > 0), ~(a < b)]))


@njit
def broadcasts(a, out):
    t = zeros(3, 2, a)
    w = width_of(t)
    store(tiles.add(load(t, a, 0, w), tiles.load_row(t, a, w)), out, 0, w)
    store(splat(t, tiles.load_row(t, a, w)), out, 3 * w, w)
    store(splat(t, a[1, 2]), out, 6 * w, w)
    store(tiles.mul(load(t, a, 0, w), 2), out, 9 * w, w)
    store(row(load(t, a, 0, w), 2), out, 12 * w, w)
    store(tiles.columns(t), out, 13 * w, w)
    store(zeros(1, 2, t), out, 16 * w, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_and_numbers_are_repeated(dtype: str) -> None:
    a = whole(dtype, 3, 2)
    out = np.full((17, a.shape[1]), np.nan, dtype)
    broadcasts(a, out)
    numbers = np.tile(np.arange(a.shape[1]), (3, 1))
    expected = [a + a[1], np.tile(a[1], (3, 1)), np.full_like(a, a[1, 2]), a * 2, a[2:], numbers, 0 * a[:1]]
    np.testing.assert_array_equal(out, np.concatenate(expected))


@njit
def steps(a, b, out, rows):
    acc = zeros(3, 2, out)
    w = width_of(acc)
    for k in range(5):
        acc = tiles.fma_step(acc, a, k, 5, rows, tiles.load_row(acc, b, k * w))
    store_masked(acc, out, 0, w, rows, w)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_step(dtype: str, source: str) -> None:
    rng = np.random.default_rng(2)
    for rows in (1, 2, 3):
        a = rng.integers(0, 9, (rows, 5)).astype(source)
        b = whole(dtype, 5, 2)
        out = np.full((3, b.shape[1]), np.nan, dtype)
        steps(a, b, out, rows)
        np.testing.assert_array_equal(out[:rows], a.astype(dtype) @ b)
        assert np.isnan(out[rows:]).all()


@njit
def folds(a, numbers, out):
    t = zeros(2, 3, a)
    w = width_of(t)
    t = load(t, a, 0, w)
    numbers[0], numbers[1] = tiles.row_sum(t, 0), tiles.row_sum(t, 1)
    numbers[2], numbers[3] = tiles.row_max(t, 0), tiles.row_max(t, 1)
    numbers[4], numbers[5] = tiles.total(t), tiles.first_element(t)
    store(tiles.sum_of_rows(t), out, 0, w)
    store(tiles.max_of_rows(t), out, 2 * w, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_and_maxima(dtype: str) -> None:
    a = whole(dtype, 2, 3)
    numbers, out = np.empty(6, dtype), np.empty((4, a.shape[1]), dtype)
    folds(a, numbers, out)
    np.testing.assert_array_equal(numbers, [*a.sum(1), *a.max(1), a.sum(), a[0, 0]])
    np.testing.assert_array_equal(out, np.tile(np.concatenate([a.sum(1), a.max(1)])[:, None], a.shape[1]))
    for i in range(a.shape[1]):
        b = a.copy()
        b[1, i] = np.nan
        folds(b, numbers, out)
        np.testing.assert_array_equal(numbers, [a[0].sum(), np.nan, a[0].max(), np.nan, np.nan, a[0, 0]])
        np.testing.assert_array_equal(out[:2, 0], [a[0].sum(), np.nan])


@njit
def column_sums(a, b, out, column):
    t = zeros(3, 1, a)
    other = zeros(3, 2, a)
    w = width_of(t)
    store(tiles.add_row_sums(load(t, a, 0, w), column, load(other, b, 0, width_of(other))), out, 0, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_add_row_sums(dtype: str) -> None:
    a, b = whole(dtype, 3, 1), whole(dtype, 3, 2, seed=1)
    for column in range(lanes(dtype)):
        out = np.empty_like(a)
        column_sums(a, b, out, column)
        expected = a.copy()
        expected[:, column] += b.sum(1)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose(dtype: str) -> None:
    count = lanes(dtype)

    @njit
    def kernel(a, out):
        store(tiles.transpose(load(zeros(count, 1, a), a, 0, count)), out, 0, count)

    a = np.arange(count * count, dtype=dtype).reshape(count, count)
    out = np.empty_like(a)
    kernel(a, out)
    np.testing.assert_array_equal(out, a.T)


@pytest.mark.parametrize("dtype", DTYPES)
def test_load_transposed(dtype: str) -> None:
    count = lanes(dtype)

    @njit
    def kernel(a, out):
        store(tiles.load_transposed(zeros(count, 1, a), a, 2, count + 3), out, 0, count)

    a = np.arange((count + 3) * (count + 1), dtype=dtype).reshape(-1, count + 3)
    out = np.empty((count, count), dtype)
    kernel(a, out)
    np.testing.assert_array_equal(out, a[:count, 2 : 2 + count].T)


def test_load_transposed_converts_nothing() -> None:
    @njit
    def kernel(a, like):
        return tiles.load_transposed(zeros(lanes_of(like), 1, like), a, 0, 16)

    with pytest.raises((errors.TypingError, TypeError), match="one dtype"):
        kernel(np.zeros(256, np.float64), np.zeros(1, np.float32))


@njit
def conversion(a, out):
    store(tiles.convert(load(zeros(1, 2, a), a, 0, 0), out), out, 0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("to", DTYPES)
def test_convert(dtype: str, to: str) -> None:
    a = values(dtype, 1, 2)
    out = np.empty(a.shape, to)
    conversion(a, out)
    np.testing.assert_array_equal(out, a.astype(to))


def test_every_operation_is_tested() -> None:
    """By name, here or in a file of this one's name; exp and log have a file of their own."""
    text = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_tiles*.py"))
    names = [name for name, thing in vars(tiles).items() if isinstance(thing, Operation)]
    assert len(names) > 40
    assert [name for name in names if not re.search(rf'tiles\.{name}\b|\b{name}\(|"{name}":', text)] == []


def test_the_example_of_the_page() -> None:
    page = tiles.__doc__.split("An example:")[1].split("Line by line:")[0]
    lines = page.splitlines()
    start = next(n for n, line in enumerate(lines) if "@kernel" in line)
    known = vars(tiles) | {"kernel": njit}
    exec("\n".join(line[4:] for line in lines[start:]), known)
    rng = np.random.default_rng(3)
    for shape, M in (((7, 5), 37), ((4, 9), 2 * lanes("float32"))):
        x, W, b = (rng.standard_normal(s).astype(np.float32) for s in (shape, (shape[1], M), M))
        out = np.empty((shape[0], M), np.float32)
        known["affine_relu"](x, W, b, out)
        np.testing.assert_allclose(out, np.maximum(0, x @ W + b), atol=1e-5)
