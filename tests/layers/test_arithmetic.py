"""MulLayer and AddLayer: the oracle's values, for numbers and arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastbp import AddLayer, MulLayer, layers, reference

floats = st.floats(-1e100, 1e100)


@pytest.mark.parametrize("name", ["MulLayer", "AddLayer"])
@given(floats, floats, floats)
def test_numbers(name: str, x: float, y: float, dout: float) -> None:
    ours, oracle = getattr(layers, name)(), getattr(reference, name)()
    assert ours.forward(x, y) == oracle.forward(x, y)
    assert ours.backward(dout) == oracle.backward(dout)


@pytest.mark.parametrize("name", ["MulLayer", "AddLayer"])
@given(hnp.arrays(np.float64, st.just((3, 2, 4)), elements=floats))
def test_arrays(name: str, values: np.ndarray) -> None:
    x, y, dout = values.transpose(0, 2, 1)
    ours, oracle = getattr(layers, name)(), getattr(reference, name)()
    np.testing.assert_array_equal(ours.forward(x, y), oracle.forward(x, y))
    for got, expected in zip(ours.backward(dout), oracle.backward(dout), strict=True):
        np.testing.assert_array_equal(got, expected)
        assert not np.shares_memory(got, dout)


def test_integers_stay_integers() -> None:
    layer = MulLayer()
    assert layer.forward(100, 2) == 200
    assert all(isinstance(value, int) for value in layer.backward(3))


@pytest.mark.parametrize("layer", [MulLayer(), AddLayer()])
def test_shapes_must_agree(layer: MulLayer | AddLayer) -> None:
    with pytest.raises(ValueError, match=r"x and y must have one shape, got \(2,\) and \(\)"):
        layer.forward(np.ones(2), 3.0)
    layer.forward(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"dout must have the shape of the output, \(2,\), got \(3,\)"):
        layer.backward(np.ones(3))


def test_lists_are_taken_as_arrays() -> None:
    add, mul = AddLayer(), MulLayer()
    np.testing.assert_array_equal(add.forward([1, 2], (3, 4)), [4, 6])
    np.testing.assert_array_equal(mul.forward([1, 2], (3, 4)), [3, 8])
    np.testing.assert_array_equal(np.stack(add.backward([5, 6])), [[5, 6], [5, 6]])
    np.testing.assert_array_equal(np.stack(mul.backward([5, 6])), [[15, 24], [5, 12]])
