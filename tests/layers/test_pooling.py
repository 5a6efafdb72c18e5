"""Pooling against the oracle; ties, NaN, pads, and what lies around the arrays."""

import copy
import pickle
from typing import Any

import checks
import numpy as np
import pytest
from cases import Case
from guarded import Guarded, empty
from hypothesis import given
from hypothesis import strategies as st

from fastbp import Pooling, layers, reference
from fastbp.util import im2col


@pytest.mark.parametrize(
    "windows", [(2, 2, 2, 0), (3, 2, 1, 1), (2, 3, 3, 0), (1, 1, 1, 0), (3, 3, 2, 1), (4, 4, 1, 2)]
)
def test_gradient(windows: tuple[int, ...]) -> None:
    checks.gradient_is_right(layers, Case("pooling", (2, 2, 6, 5, *windows), "float64"))


def test_second_pass() -> None:
    checks.second_pass_is_independent(layers, Case("pooling", (2, 2, 6, 5, 3, 2, 2, 1), "float64"))


def same_as_oracle(x: np.ndarray, *arguments: int) -> None:
    ours, oracle = Pooling(*arguments), reference.Pooling(*arguments)
    out = ours.forward(x)
    np.testing.assert_array_equal(out, oracle.forward(x))
    np.testing.assert_array_equal(ours.arg_max, oracle.arg_max)
    dout = np.random.default_rng(3).integers(-9, 9, out.shape).astype(out.dtype)  # whose sums are exact
    np.testing.assert_array_equal(ours.backward(dout), oracle.backward(dout))


@given(
    *(st.integers(1, 4) for _ in range(2)), *(st.integers(1, 12) for _ in range(2)),
    *(st.integers(1, 5) for _ in range(2)), st.integers(1, 4), st.integers(0, 3), st.integers(0, 2**31),
)  # fmt: skip
def test_any_value(n: int, c: int, h: int, w: int, ph: int, pw: int, stride: int, pad: int, seed: int) -> None:
    """Of a few values, so that many are equal, among them NaN and infinities."""
    values = np.array([-np.inf, -1, -0.0, 0.0, 1, np.inf, np.nan])
    x = np.random.default_rng(seed).choice(values, (n, c, h + ph, w + pw))
    same_as_oracle(x, ph, pw, stride, pad)
    same_as_oracle(x.astype(np.float32), ph, pw, stride, pad)


def test_the_first_of_equal_ones_gets_the_gradient() -> None:
    layer = Pooling(2, 2)
    layer.forward(np.ones((1, 1, 2, 4)))
    np.testing.assert_array_equal(layer.backward(np.array([[[[5.0, 7.0]]]])), [[[[5, 0, 7, 0], [0, 0, 0, 0]]]])


def test_a_pad_counts_as_zeros() -> None:
    layer = Pooling(2, 2, stride=2, pad=1)
    np.testing.assert_array_equal(layer.forward(np.full((1, 1, 2, 2), -3.0)), np.zeros((1, 1, 2, 2)))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 1, 2, 2))), np.zeros((1, 1, 2, 2)))


def test_published_numbers() -> None:
    """Stanford's CS231n, assignment 2, the check of its pooling."""
    expected = [
        *(-0.26315789, -0.24842105, -0.20421053, -0.18947368, -0.14526316, -0.13052632, -0.08631579, -0.07157895),
        *(-0.02736842, -0.01263158, 0.03157895, 0.04631579, 0.09052632, 0.10526316, 0.14947368, 0.16421053),
        *(0.20842105, 0.22315789, 0.26736842, 0.28210526, 0.32631579, 0.34105263, 0.38526316, 0.4),
    ]
    out = Pooling(2, 2, stride=2).forward(np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4))
    np.testing.assert_allclose(out, np.reshape(expected, (2, 3, 2, 2)), atol=5e-9)


@pytest.mark.parametrize("dtype", ["float16", "uint8", "int64", "bool"])
def test_other_dtypes(dtype: str) -> None:
    x = np.random.default_rng(4).integers(0, 2, (2, 3, 6, 6)).astype(dtype)
    out = Pooling(2, 2).forward(x)
    assert out.dtype == (np.float32 if dtype == "float16" else np.float64)
    np.testing.assert_array_equal(out, reference.Pooling(2, 2).forward(x))


def test_what_changes_after_forward_leaves_backward_alone() -> None:
    x, dout = np.random.default_rng(5).standard_normal((2, 3, 8, 8)), np.ones((2, 3, 4, 4))
    layer = Pooling(2, 2, 2, 0)
    layer.forward(x)
    expected = layer.backward(dout)
    layer.pad, layer.stride, layer.pool_w, layer.pool_h = 3, 1, 8, 8
    np.testing.assert_array_equal(layer.backward(dout), expected)


def test_copies_and_pickles() -> None:
    x, dout = np.random.default_rng(5).standard_normal((2, 3, 8, 8)), np.ones((2, 3, 4, 4))
    layer = Pooling(2, 2)
    layer.forward(x)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin.backward(dout), layer.backward(dout))
        np.testing.assert_array_equal(twin.arg_max, layer.arg_max)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("windows", [(3, 2, 1, 0), (3, 2, 2, 0), (3, 2, 3, 0), (3, 2, 1, 2), (3, 2, 2, 2), (3, 2, 3, 2),
                                     (2, 2, 2, 0), (2, 2, 2, 1)])  # fmt: skip
def test_writes_and_reads_inside_alone(dtype: str, windows: tuple[int, ...]) -> None:
    from fastbp.kernels.pooling import pooling_backward, pooling_forward

    rng, pad = np.random.default_rng(6), windows[3]
    for h, w in [(3, 3), (5, 17), (4, 33), (3, 70), (8, 8), (6, 32)]:
        x = Guarded(rng.standard_normal((2, 1, h, w)).astype(dtype))
        oracle = reference.Pooling(*windows)
        expected = oracle.forward(x.array)
        out, places, dx = (empty(*shape, dtype=dtype) for shape in (expected.shape, expected.shape, x.array.shape))
        scratch = empty((h + 2 * pad) * (w + 2 * pad), dtype=dtype)
        pooling_forward(x.array, *windows, out.array, places.array, scratch.array)
        np.testing.assert_array_equal(out.array, expected)
        dout = Guarded(rng.integers(-9, 9, expected.shape).astype(dtype))
        pooling_backward(dout.array, places.array, *windows, dx.array, scratch.array)
        np.testing.assert_array_equal(dx.array, oracle.backward(dout.array))
        assert all(each.untouched() for each in (out, places, dx, scratch))


class Smallest(Pooling):
    """A reader's own forward, which keeps what the book's does: of each window the smallest pixel."""

    keeps_arg_max = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        size = [(side + 2 * self.pad - self.pool_h) // self.stride + 1 for side in x.shape[2:]]
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad).reshape(-1, self.pool_h * self.pool_w)
        self.x = x
        if self.keeps_arg_max:
            self.arg_max = col.argmin(axis=1)
        return col.min(axis=1).reshape(len(x), *size, x.shape[1]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(("stride", "pad"), [(2, 0), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_forward_of_ones_own_may_keep_arg_max(stride: int, pad: int, dtype: str) -> None:
    rng = np.random.default_rng(6)
    x, earlier = rng.standard_normal((2, 3, 2, 8, 8)).astype(dtype)
    layer, ours = Smallest(2, 2, stride, pad), Pooling(2, 2, stride, pad)
    Pooling.forward(layer, earlier)
    dout = rng.standard_normal(layer.forward(x).shape).astype(dtype)
    arg_max = layer.arg_max
    assert arg_max is vars(layer)["arg_max"]
    ours.forward(-x)
    np.testing.assert_array_equal(arg_max, ours.arg_max)
    np.testing.assert_array_equal(layer.backward(dout), ours.backward(dout))
    Pooling.forward(layer, -earlier)
    ours.forward(-earlier)
    layer.keeps_arg_max = False
    layer.forward(x)  # which leaves the arg_max before, as in the book
    np.testing.assert_array_equal(layer.backward(dout), ours.backward(dout))
    np.testing.assert_array_equal(layer.arg_max, ours.arg_max)


class OtherX(Pooling):
    def forward(self, x: np.ndarray) -> np.ndarray:
        out = super().forward(x)
        self.x = np.zeros_like(x)
        return out


def test_of_another_x_the_shape_is_taken() -> None:
    x = np.random.default_rng(7).standard_normal((3, 2, 8, 8))
    layer, ours = OtherX(2, 2), Pooling(2, 2)
    out = layer.forward(x)
    np.testing.assert_array_equal(out, ours.forward(x))
    np.testing.assert_array_equal(layer.arg_max, ours.arg_max)
    np.testing.assert_array_equal(layer.backward(out), ours.backward(out))
    layer.x = x[:, :, :6]
    assert layer.backward(out[:, :, :3]).shape == layer.x.shape


def test_what_is_made_when_read_is_not_changed_in_place() -> None:
    layer = Pooling(2, 2)
    out = layer.forward(np.random.default_rng(7).standard_normal((3, 2, 8, 8)))
    with pytest.raises(ValueError, match="read-only"):
        layer.arg_max[:] = 0
    layer.arg_max = np.zeros_like(layer.arg_max)
    layer.arg_max[:] = 3
    np.testing.assert_array_equal(layer.backward(out)[:, :, 1::2, 1::2], out)


@pytest.mark.parametrize(
    ("arg_max", "error", "message"),
    [
        (np.zeros(3, int), ValueError, r"arg_max must have a number for each of 8 windows, got shape \(3,\)"),
        (np.full(8, 4), ValueError, "arg_max must hold numbers from 0 to 3"),
        (np.full(8, -1), ValueError, "arg_max must hold numbers from 0 to 3"),
        (np.zeros(8), TypeError, "arg_max must hold integers"),
    ],
)
def test_an_arg_max_that_names_no_pixel_is_refused(arg_max: Any, error: type[Exception], message: str) -> None:
    layer = Pooling(2, 2)
    layer.forward(np.ones((1, 2, 4, 4)))
    layer.arg_max = arg_max
    with pytest.raises(error, match=message):
        layer.backward(np.ones((1, 2, 2, 2)))


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int16, np.uint64])
def test_sizes_may_be_numpys_integers(integer: Any) -> None:
    x = np.random.default_rng(5).standard_normal((2, 3, 130, 128))
    results = []
    for numbers in ((2, 3, 2, 1), [integer(each) for each in (2, 3, 2, 1)]):
        layer = Pooling(*numbers)
        out = layer.forward(x)
        results.append((out, layer.backward(out), layer.arg_max))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, expected)
