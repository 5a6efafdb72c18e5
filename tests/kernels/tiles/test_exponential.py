"""exp and log of tiles, in units of the last place, and the softmax that is made of them."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numba import config, njit

from fastbp import reference
from fastbp.kernels.softmax_loss import softmax_loss_forward
from fastbp.kernels.tiles import load_row_masked, store_row_masked, width_of, zeros
from fastbp.kernels.tiles.exponential import exp, log

DTYPES = ("float32", "float64")
RANGE = {"float32": (-104.0, 88.7), "float64": (-745.2, 709.7)}
LIMIT = 2.0  # ULP
EACH = 50 if config.DISABLE_JIT else 1  # of the numbers that are tried, where kernels run as Python


@njit
def exp_of(x, out):
    t = zeros(1, 2, x)
    for i in range(0, x.size, width_of(t)):
        store_row_masked(exp(load_row_masked(t, x, i, x.size - i)), out, i, x.size - i)


@njit
def log_of(x, out):
    t = zeros(1, 2, x)
    for i in range(0, x.size, width_of(t)):
        store_row_masked(log(load_row_masked(t, x, i, x.size - i)), out, i, x.size - i)


def within_limit(kernel: Callable[..., None], exact: Callable[..., Any], x: np.ndarray) -> None:
    """Distance to the exact value, taken in a wider type, in units of the last place of x's type."""
    out = np.empty_like(x)
    kernel(x, out)
    expected = exact(x.astype(np.float64 if x.dtype == np.float32 else np.longdouble))
    unit = np.maximum(np.spacing(np.abs(expected).astype(x.dtype)), np.finfo(x.dtype).smallest_subnormal)
    error = np.abs(out.astype(expected.dtype) - expected) / unit
    worst = int(error.argmax())
    assert error[worst] <= LIMIT, f"at {x[worst]!r}: {out[worst]!r} for {expected[worst]!r}, {error[worst]} ULP"


def wide_enough(dtype: str) -> None:
    if dtype == "float64" and np.finfo(np.longdouble).nmant == np.finfo(np.float64).nmant:
        pytest.skip("no type wider than float64 here")


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp(dtype: str) -> None:
    wide_enough(dtype)
    rng = np.random.default_rng(0)
    x = [np.linspace(*RANGE[dtype], 400_001), rng.uniform(-1, 1, 200_001), rng.standard_normal(1000) * 1e-6]
    within_limit(exp_of, np.exp, np.concatenate(x).astype(dtype)[::EACH].copy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_log(dtype: str) -> None:
    wide_enough(dtype)
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    spread = np.exp(rng.uniform(np.log(info.smallest_normal), np.log(info.max), 300_001))
    denormal = rng.uniform(0, 1, 10_001) * info.smallest_normal
    ends = [info.max, info.smallest_subnormal, info.smallest_normal, 1]
    x = np.concatenate([spread, rng.uniform(0.5, 2, 300_001), denormal, ends]).astype(dtype)
    within_limit(log_of, np.log, x[x > 0][::EACH].copy())


def every_float32(low: float, high: float) -> Iterator[np.ndarray]:
    """All float32 in [low, high], 0 <= low, in pieces."""
    first, last = (int(np.float32(end).view(np.int32)) for end in (low, high))
    for start in range(first, last + 1, 1 << 24):
        yield np.arange(start, min(start + (1 << 24), last + 1), dtype=np.int32).view(np.float32)


@pytest.mark.full
def test_exp_of_every_float32() -> None:
    for x in itertools.chain(every_float32(0, 88.7), (-piece for piece in every_float32(0, 104))):
        within_limit(exp_of, np.exp, x)


@pytest.mark.full
def test_log_of_every_float32() -> None:
    info = np.finfo(np.float32)
    for x in every_float32(info.smallest_subnormal, info.max):
        within_limit(log_of, np.log, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_points(dtype: str) -> None:
    low, high = (-110, 89.5) if dtype == "float32" else (-750, 711)
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e5, -1e5, high, low], dtype)
    out = np.empty_like(x)
    exp_of(x, out)
    np.testing.assert_array_equal(out, np.array([1, 1, np.inf, 0, np.nan, np.inf, 0, np.inf, 0], dtype))
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1, 1], dtype)
    out = np.empty_like(x)
    log_of(x, out)
    np.testing.assert_array_equal(out, np.array([-np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan, 0], dtype))


def softmax(x: np.ndarray) -> tuple[np.ndarray, float]:
    y, t = np.empty_like(x), np.arange(len(x)) % x.shape[1]
    return y, softmax_loss_forward(x, t, 0.0, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 15, 16, 17, 33, 64, 65, 1000])
def test_softmax_rows_sum_to_one(classes: int, dtype: str) -> None:
    x = (np.random.default_rng(classes).standard_normal((51, classes)) * 5).astype(dtype)
    y, _ = softmax(x)
    sums = y.astype(np.float64).sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    assert abs(sums[worst] - 1) <= 4 * np.finfo(dtype).eps * classes, f"row {worst} sums to {sums[worst]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [3, 10, 20, 40, 100])
def test_softmax_of_huge_logits(classes: int, dtype: str) -> None:
    x = np.random.default_rng(classes).standard_normal((9, classes)).astype(dtype)
    x[0, 0], x[1, 1], x[2] = 1e4, -1e4, 1e4
    x[3, 2], x[4, 0], x[5, 1] = np.inf, -np.inf, np.nan
    x[6], x[7, :2] = -np.inf, np.inf
    for rows in (x[:3], x[4:5], x):
        t = np.arange(len(rows)) % classes
        oracle = reference.SoftmaxWithLoss()
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = oracle.forward(rows, t)
        y, loss = softmax(np.ascontiguousarray(rows))
        np.testing.assert_allclose(y, oracle.y, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-30)
        np.testing.assert_allclose(loss, expected, rtol=1e-5 if dtype == "float32" else 1e-12)
