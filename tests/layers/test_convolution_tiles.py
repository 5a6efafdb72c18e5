"""Convolution by tiles of 2 x 2 results (`kernels.images.tiled`): any shape, and where their rounding is too much."""

import checks
import numpy as np
import pytest
from cases import Case
from hypothesis import given
from hypothesis import strategies as st
from processes import python

from fastbp import Convolution, layers, reference
from fastbp.boundary.arrays import TOLERANCE
from fastbp.kernels.images.shape import Shape
from fastbp.kernels.images.tiling import is_tiled

SHAPE = (16, 7, 6, 17, 3, 3, 1, 1)  # of one image


def _channels(kind: str, *shape: int) -> np.ndarray:
    """Random numbers (n, channels, H, W): each channel its own, all alike, or two halves that take each other away."""
    rng = np.random.default_rng(8)
    if kind == "random":
        return rng.standard_normal(shape)
    alike = np.repeat(rng.standard_normal((shape[0], 1, *shape[2:])), shape[1], axis=1)
    if kind == "opposite":
        alike[:, shape[1] // 2 :] *= -1
    return alike


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("channels", "kind"),
    [(16, "random"), (16, "alike"), (16, "opposite"), (128, "alike"), (128, "opposite"), (256, "opposite")],
)
def test_large_pixels_that_no_filter_sees(channels: int, kind: str, dtype: str) -> None:
    """A tile adds them and takes them away again: what is left is their rounding, so they are computed directly."""
    W, b = _channels("random" if kind == "random" else "alike", channels, channels, 3, 3) / 12, np.zeros(channels)
    W[..., 1:] = 0  # so that the last column of x and the first of dout meet zeros alone
    for value in (3.0, 1e1, 1e2, 1e4, 1e8, 1e16):
        x, dout = (_channels("random" if kind == "random" else "alike", 3, channels, 8, 8) for _ in range(2))
        x[1, ..., 7] = value * _channels(kind, 1, channels, 1, 8)[0, :, 0]
        dout[2, ..., 0] = value * _channels(kind, 1, channels, 1, 8)[0, :, 0]
        ours, oracle = Convolution(W.astype(dtype), b.astype(dtype), pad=1), reference.Convolution(W, b, pad=1)
        tolerance = TOLERANCE[np.dtype(dtype)]
        for n in range(3):  # image by image: the largest result of all would hide it
            given, back = x[n : n + 1].astype(dtype), dout[n : n + 1].astype(dtype)
            out, expected = ours.forward(given), oracle.forward(given.astype(float))
            checks.close(out, expected, tolerance, f"out of image {n} with {value}")
            dx, expected = ours.backward(back), oracle.backward(back.astype(float))
            checks.close(dx, expected, tolerance, f"dx of image {n} with {value}")


@pytest.mark.parametrize("seed", range(4))
def test_bright_border_that_no_filter_sees(seed: int) -> None:
    """Terms of one sign in all channels: without `LIMIT` errors are 1e-5 to 3e-5 of the largest result."""
    rng, channels = np.random.default_rng(seed), 128
    W = np.repeat(rng.standard_normal((16, 1, 3, 3)), channels, axis=1).astype(np.float32) / 12
    W[..., 1:] = 0
    x = np.repeat(rng.standard_normal((1, 1, 8, 8)), channels, axis=1).astype(np.float32)
    x[..., 7] = 10 * (1 + rng.random(8))
    expected = reference.Convolution(W.astype(float), np.zeros(16), pad=1).forward(x.astype(float))
    out = Convolution(W, np.zeros(16, np.float32), pad=1).forward(x)
    assert np.abs(out - expected).max() <= 5e-6 * np.abs(expected).max()


def test_sums_of_pixels_that_overflow() -> None:
    """Tiles of 3 x 3 filters add pixels up before they are multiplied: what isn't finite then is computed directly."""
    arrays = Case("convolution", (5, *SHAPE), "float32").arrays()
    x, W, dout = (arrays[name].astype(np.float32) for name in ("x", "W", "dout"))
    x[1, 3] = np.where(np.indices(x[1, 3].shape).sum(axis=0) // 2 % 2, 3e38, -3e38)
    dout[2, 0] = np.where(np.indices(dout[2, 0].shape).sum(axis=0) // 2 % 2, 3e38, -3e38)
    W, dout = W * np.float32(1e-9), dout * np.float32(1)
    layer, oracle = Convolution(W, 0, pad=1), reference.Convolution(W.astype(float), 0, pad=1)
    out, expected = layer.forward(x), oracle.forward(x.astype(float))
    assert np.isfinite(out).all()
    checks.close(out[1] * 1e-30, expected[1] * 1e-30, 1e-5, "out of what overflows")
    others = [0, 2, 3, 4]
    checks.close(out[others] * 1e9, expected[others] * 1e9, 1e-5, "the other images")
    dx, expected = layer.backward(dout), oracle.backward(dout.astype(float))
    assert np.isfinite(dx).all()
    checks.close(dx[2] * 1e-30, expected[2] * 1e-30, 1e-5, "dx of what overflows")
    checks.close(dx[[0, 1, 3, 4]] * 1e9, expected[[0, 1, 3, 4]] * 1e9, 1e-5, "dx of the other images")


def test_gradients_of_filters_whose_sums_overflow() -> None:
    arrays = Case("convolution", (9, *SHAPE), "float32").arrays()
    x, dout = (arrays[name].astype(np.float32) for name in ("x", "dout"))
    dout *= np.float32(1e-9)
    x[1, 3] = np.where(np.indices(x[1, 3].shape).sum(axis=0) // 2 % 2, 3e38, -3e38)
    layer = Convolution(arrays["W"].astype(np.float32), 0, pad=1)
    layer.forward(x)
    layer.backward(dout)
    oracle = reference.Convolution(arrays["W"].astype(float), 0, pad=1)
    oracle.forward(x.astype(float))
    oracle.backward(dout.astype(float))
    assert np.isfinite(layer.dW).all()
    checks.close(layer.dW * 1e-30, oracle.dW * 1e-30, 1e-5, "dW")


@given(st.tuples(st.integers(1, 9), st.integers(12, 40), st.integers(4, 22), st.integers(4, 22), st.integers(12, 40)),
       st.integers(0, 2))  # fmt: skip
def test_any_shape_in_tiles(shape: tuple[int, ...], pad: int) -> None:
    n, c, h, w, fn = shape
    assert is_tiled(Shape(c, h + 2, w + 2, fn, 3, 3, 1, pad, h + 2 * pad, w + 2 * pad))
    checks.agrees_with_oracle(layers, Case("convolution", (n, c, h + 2, w + 2, fn, 3, 3, 1, pad), "float64"))


@pytest.mark.parametrize("size", [(130, 40), (21, 300), (300, 21)])
def test_rows_of_tiles_in_parts(size: tuple[int, int]) -> None:
    for dtype in ("float32", "float64"):
        checks.agrees_with_oracle(layers, Case("convolution", (2, 16, *size, 17, 3, 3, 1, 1), dtype))


# As Python, where a read outside of an array is an IndexError.
TILES = """
import numpy as np
from fastbp import Convolution, reference
rng = np.random.default_rng(3)
x, W, b = (rng.standard_normal(size).astype(np.float32) for size in ((2, 17, 5, 4), (16, 17, 3, 3), 16))
ours, theirs = Convolution(W, b, pad=1), reference.Convolution(W, b, pad=1)
out = theirs.forward(x)
np.testing.assert_allclose(ours.forward(x), out, rtol=1e-4, atol=1e-4)
np.testing.assert_allclose(ours.backward(out), theirs.backward(out), rtol=1e-4, atol=1e-3)
np.testing.assert_allclose(ours.dW, theirs.dW, rtol=1e-4, atol=1e-3)
np.testing.assert_allclose(ours.db, theirs.db, rtol=1e-4, atol=1e-3)
"""


@pytest.mark.command
def test_tiles_as_python() -> None:
    python(TILES, NUMBA_DISABLE_JIT="1")
