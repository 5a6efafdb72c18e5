"""Affine where most of x is zero: what skips zeros, against the oracle, and when it does."""

from collections.abc import Callable, Iterable
from typing import Any

import checks
import guarded
import numpy as np
import pytest
from numba import config

import fastbp
from fastbp import Affine, layers, reference
from fastbp.boundary.arrays import TOLERANCE
from fastbp.kernels import affine_skipping
from fastbp.kernels.nonzero_products import columns_size, padded_columns, words_size
from fastbp.kernels.packing import PACKS
from fastbp.kernels.tiles.target import lanes
from fastbp.layers import skipping

pytestmark = pytest.mark.skipif(not PACKS, reason="on this target zeros are not skipped")
Arrays = list[guarded.Guarded]
compiled_only = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="large arrays")


def sparse(N: int, D: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Numbers of which an eighth are not zero; the last row is full, one is empty."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, D)) * (rng.random((N, D)) < 0.125)
    x[-1], x[1] = rng.standard_normal(D), -0.0
    return x.astype(dtype)


def parameters(D: int, M: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((D, M)).astype(dtype), rng.standard_normal(M).astype(dtype)


def gradients(layer: Any, dout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dW and db, from the layer's pass that leaves dx out, or from the oracle's."""
    getattr(layer, "_backward_parameters", layer.backward)(dout)
    return layer.dW, layer.db


def compare(x: np.ndarray, W: np.ndarray, b: np.ndarray, dout: np.ndarray, tolerance: float) -> None:
    ours, oracle = Affine(W, b), reference.Affine(W.astype(np.float64), b.astype(np.float64))
    with np.errstate(all="ignore"):
        expected = oracle.forward(x)
        checks.close(ours.forward(x), expected, tolerance, "out")
        for got, right, name in zip(gradients(ours, dout), gradients(oracle, dout), ("dW", "db"), strict=True):
            checks.close(got, right, tolerance * np.sqrt(len(x)), name)


SHAPES = [(32, 128, 50), (100, 784, 50), (129, 300, 65), (300, 131, 256), (40, 4096, 52)]


@compiled_only
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "float64"), ("float64", "float64")])
def test_agrees_with_the_oracle(shape: tuple[int, int, int], dtypes: tuple[str, str]) -> None:
    N, D, M = shape
    x, (W, b) = sparse(N, D, dtypes[0]), parameters(D, M, dtypes[1])
    dout = np.random.default_rng(2).standard_normal((N, M)).astype(W.dtype)
    assert skipping.pays(x, W)
    compare(x, W, b, dout, TOLERANCE[W.dtype])


@compiled_only
def test_computes_in_another_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "precision", np.dtype(np.float32))
    x, (W, b) = sparse(100, 784), parameters(784, 50, np.float64)
    dout = np.random.default_rng(2).standard_normal((100, 50))
    layer = Affine(W, b)
    assert layer.forward(x).dtype == gradients(layer, dout)[0].dtype == np.float64
    compare(x, W, b, dout, TOLERANCE[np.dtype(np.float32)])
    exact = x.astype(np.float64) @ W + b
    assert np.abs(layer.forward(x) - exact).max() > 1e-9  # it was float32


@compiled_only
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "W", "b", "dout"])
def test_strange_numbers_come_out_where_the_oracle_has_them(where: str, value: float) -> None:
    x, (W, b) = sparse(64, 200, np.float64), parameters(200, 40, np.float64)
    arrays = {"x": x, "W": W, "b": b, "dout": np.random.default_rng(2).standard_normal((64, 40))}
    arrays[where].reshape(-1)[[3, -5]] = value
    assert skipping.pays(x, W)
    compare(*arrays.values(), TOLERANCE[np.dtype(np.float64)])


@compiled_only
def test_the_same_bits_for_any_number_of_threads() -> None:
    x, (W, b) = sparse(3001, 784), parameters(784, 50, np.float64)
    found = []
    for n in (1, 2, 3):
        with fastbp.threads(n):
            found.append(Affine(W, b).forward(x))
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


@pytest.mark.parametrize("N", [7, 57, *(pytest.param(N, marks=compiled_only) for N in (112, 113, 128, 150, 300))])
@pytest.mark.parametrize("M", [30, 45])
def test_kernels_are_right_and_stay_inside_their_arrays(N: int, M: int) -> None:
    D = 131
    x, dout = guarded.Guarded(sparse(N, D)), guarded.Guarded(np.random.default_rng(2).random((N, M)))
    W, b = (guarded.Guarded(each) for each in parameters(D, M, np.float64))
    width = lanes(np.dtype(np.float64))
    stride = padded_columns(M, width)
    copies, columns = affine_skipping.copies_size(D, stride, width), columns_size(D)
    gradient, words = affine_skipping.gradient_size(stride, width), words_size(D)
    forward = (copies, "float64"), (columns, "int32"), (affine_skipping.MARKS, "int64")
    backward = (gradient, "float64"), (words, "int64")

    def run(kernel: Callable[..., Any], given: Arrays, outputs: Arrays, sizes: Iterable[tuple[int, str]]) -> None:
        scratch = [guarded.Guarded(np.ones(size, dtype)) for size, dtype in sizes]
        assert kernel(*(e.array for e in given), stride, *(e.array for e in outputs), *(e.array for e in scratch))
        assert all(each.untouched() for each in (*given, *outputs, *scratch))
        assert not any(np.isnan(each.array).any() for each in outputs)

    out, dW, db = (guarded.empty(*shape, dtype="float64") for shape in ((N, M), (D, M), (M,)))
    run(affine_skipping.affine_forward_skipping, [x, W, b], [out], forward)
    run(affine_skipping.affine_backward_params_skipping, [dout, x], [dW, db], backward)
    checks.close(out.array, x.array @ W.array + b.array, 1e-12, "out")
    checks.close(dW.array, x.array.T @ dout.array, 1e-12, "dW")
    checks.close(db.array, dout.array.sum(axis=0), 1e-12, "db")


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (np.ones((100, 784)), (784, 50)),
        (np.zeros((31, 784)), (784, 50)),
        (np.zeros((100, 100)), (100, 50)),
        (np.zeros((100, 784)), (784, 10)),
        (np.zeros((100, 784)), (784, 257)),
        (np.zeros((32, 4097)), (4097, 50)),
    ],
)
def test_where_it_would_not_win_nothing_is_skipped(x: np.ndarray, shape: tuple[int, int]) -> None:
    assert not skipping.pays(x, np.zeros(shape))


@compiled_only
def test_what_a_caller_changes_between_the_passes_counts() -> None:
    x, (W, b) = sparse(100, 784), parameters(784, 50, np.float64)
    layer = layers.Affine(W, b)
    layer.forward(x)
    x[:] = sparse(100, 784, seed=5)
    dW, _ = gradients(layer, np.ones((100, 50)))
    checks.close(dW, x.T.astype(np.float64) @ np.ones((100, 50)), 1e-12, "dW")


def test_an_array_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, count = [], np.count_nonzero
    monkeypatch.setattr(skipping.np, "count_nonzero", lambda seen: looks.append(1) or count(seen))
    x, full, W = sparse(100, 784), np.ones((100, 784), np.float32), np.zeros((784, 50))
    assert [skipping.pays(each, W) for each in (x, x, full, full, x)] == [True, True, False, False, True]
    assert len(looks) == 3


@compiled_only
def test_a_buffer_of_other_samples_is_looked_at_anew() -> None:
    """What it held before must not choose how its products are summed."""
    W, b = parameters(784, 50, "float64")
    layer, buffer = Affine(W, b), np.zeros((100, 784))
    layer.forward(buffer)
    buffer[...] = np.random.default_rng(5).standard_normal(buffer.shape)
    np.testing.assert_array_equal(layer.forward(buffer), layer.forward(buffer.copy()))
