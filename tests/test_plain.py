"""The kernels in plain NumPy, in either mode: as silent as compiled code, and the same where no layer compares them."""

import warnings

import numpy as np
import pytest
from numba import config

from fastbp.kernels import peak, plain
from fastbp.kernels.tiles.target import lanes


@pytest.mark.parametrize("value", [np.inf, 1e308, -np.inf, np.nan])
def test_no_warnings(value: float) -> None:
    x, W, b, out, mask = np.ones((2, 3)), np.full((3, 2), value), np.zeros(2), np.empty((2, 2)), np.zeros((2, 2), bool)
    W[0] = -value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain.affine_forward(x, W, b, out, b)
        plain.affine_relu_forward(x, W, b, out, mask, b)
        plain.affine_backward(W[:2], x, W, np.empty((2, 3)), np.empty((3, 2)), b, b)
        plain.sigmoid_forward(out, out)
    assert np.geterr()["invalid"] == "warn"


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing to compare with")
def test_peak_starts_from_zero() -> None:
    ours = np.full(peak.PEAK_CHAINS * lanes(np.dtype("float64")), 0.5)
    theirs = ours.copy()
    peak.fma_peak(ours, 3)
    plain.fma_peak(theirs, 3)
    np.testing.assert_array_equal(ours, theirs)
