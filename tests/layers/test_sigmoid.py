"""Sigmoid against the oracle, and at its ends."""

import math

import checks
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastbp import Sigmoid, reference
from fastbp.boundary.arrays import TOLERANCE


@given(
    hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(max_dims=4), elements={"allow_nan": True})
)
def test_any_value(x: np.ndarray) -> None:
    tolerance = TOLERANCE[x.dtype]
    ours, oracle = Sigmoid(), reference.Sigmoid()
    with np.errstate(under="ignore"):
        checks.close(ours.forward(x), oracle.forward(x), tolerance, "out")
    dout = np.ones_like(x) * x.dtype.type(0.7)
    checks.close(ours.backward(dout), oracle.backward(dout), tolerance, "dx")


@given(hnp.arrays(np.float64, 7, elements=st.floats(-700, 700)))
def test_is_symmetric(x: np.ndarray) -> None:
    np.testing.assert_allclose(Sigmoid().forward(x) + Sigmoid().forward(-x), 1, rtol=1e-15)


@pytest.mark.parametrize("x", [-745.0, -30.0, -1.0, 0.0, 1.0, 30.0])
def test_small_results_keep_their_digits(x: float) -> None:
    expected = math.exp(x) / (1 + math.exp(x))
    assert Sigmoid().forward(np.array([x]))[0] == pytest.approx(expected, rel=1e-14, abs=0)


def test_ends() -> None:
    x = np.array([np.inf, -np.inf, np.nan, 1e308, -1e308])
    np.testing.assert_array_equal(Sigmoid().forward(x), [1, 0, np.nan, 1, 0])
