"""Relu against the oracle, and its kink."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastbp import Relu, reference


@given(
    hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(max_dims=4), elements={"allow_nan": True})
)
def test_any_value(x: np.ndarray) -> None:
    ours, oracle = Relu(), reference.Relu()
    np.testing.assert_array_equal(ours.forward(x), oracle.forward(x))
    np.testing.assert_array_equal(ours.mask, oracle.mask)
    np.testing.assert_array_equal(ours.backward(x), oracle.backward(x))


def test_kink() -> None:
    x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -5e-324])
    layer = Relu()
    np.testing.assert_array_equal(layer.forward(x), [0, 0, np.nan, np.inf, 0, 5e-324, 0])
    np.testing.assert_array_equal(layer.mask, [True, True, False, False, True, False, True])
    dout = np.array([1.0, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(layer.backward(dout), [0, 0, 3, 4, 0, 6, 0])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool", "int64"])
def test_integers_become_float64(dtype: str) -> None:
    x = np.array([[0, 1], [3, 2]], dtype)
    out = Relu().forward(x)
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out, x)


def test_float16_becomes_float32() -> None:
    out = Relu().forward(np.array([-1, 2], np.float16))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, [0, 2])
