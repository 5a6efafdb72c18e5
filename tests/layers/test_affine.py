"""Affine against the oracle."""

import pickle
from typing import Any

import checks
import numpy as np
import pytest
from cases import Case
from hypothesis import given
from hypothesis import strategies as st
from numba import config
from numpy.typing import NDArray

from fastbp import Affine, layers, reference
from fastbp.boundary.arrays import TOLERANCE

FLOAT64 = TOLERANCE[np.dtype(np.float64)]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (7, 3, 9)])
def test_gradient(shape: tuple[int, ...]) -> None:
    checks.gradient_is_right(layers, Case("affine", shape, "float64"))


def test_second_pass() -> None:
    checks.second_pass_is_independent(layers, Case("affine", (3, 4, 5), "float64"))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_any_shape(batch: int, inputs: int, outputs: int) -> None:
    checks.agrees_with_oracle(layers, Case("affine", (batch, inputs, outputs), "float64"))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_is_linear(batch: int, inputs: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    W, b = rng.standard_normal((inputs, outputs)), rng.standard_normal(outputs)
    x, other = rng.standard_normal((2, batch, inputs))
    layer = Affine(W, b)
    checks.close(layer.forward(x + other) + b, layer.forward(x) + layer.forward(other), FLOAT64, "sum")


def mixed(x_dtype: str, W_dtype: str, b_dtype: str) -> dict[str, np.ndarray]:
    arrays = Case("affine", (5, 9, 7), "float64").arrays()
    dtypes = {"x": x_dtype, "W": W_dtype, "b": b_dtype, "dout": "float64"}
    return {name: (array * 3).astype(dtypes[name]) for name, array in arrays.items()}


@pytest.mark.parametrize("x_dtype", ["float16", "float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("W_dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("b_dtype", ["float32", "float64"])
def test_mixed_dtypes(x_dtype: str, W_dtype: str, b_dtype: str) -> None:
    arrays = mixed(x_dtype, W_dtype, b_dtype)
    wide = {"float16": "float32", "int32": "float64"}
    parameters = np.result_type(wide.get(W_dtype, W_dtype), b_dtype)
    x_wide = {"float16": np.float32, "float32": np.float32, "float64": np.float64}.get(x_dtype, parameters)
    expected_dtype = np.result_type(parameters, x_wide)
    layer = Affine(arrays["W"], arrays["b"])
    out = layer.forward(arrays["x"])
    dx = layer.backward(arrays["dout"].astype(out.dtype))
    assert {out.dtype, dx.dtype, layer.dW.dtype, layer.db.dtype} == {expected_dtype}
    oracle = reference.Affine(arrays["W"].astype(np.float64), arrays["b"].astype(np.float64))
    tolerance = TOLERANCE[expected_dtype]
    checks.close(out, oracle.forward(arrays["x"].astype(np.float64)), tolerance, "out")
    checks.close(dx, oracle.backward(arrays["dout"]), tolerance, "dx")
    checks.close(layer.dW, oracle.dW, tolerance, "dW")
    checks.close(layer.db, oracle.db, tolerance, "db")


def test_float32_x_stays_beside_float64_W() -> None:
    arrays = mixed("float32", "float64", "float64")
    layer = Affine(arrays["W"], arrays["b"])
    layer.forward(arrays["x"])
    assert layer.x is arrays["x"]


def test_float64_dout_of_a_float32_layer_computes_in_float64() -> None:
    arrays = mixed("float32", "float32", "float32")
    layer = Affine(arrays["W"], arrays["b"])
    layer.forward(arrays["x"])
    dx = layer.backward(arrays["dout"])
    assert dx.dtype == layer.dW.dtype == np.float64
    checks.close(layer.dW, arrays["x"].T.astype(np.float64) @ arrays["dout"], FLOAT64, "dW")
    checks.close(dx, arrays["dout"] @ arrays["W"].T.astype(np.float64), FLOAT64, "dx")


@pytest.mark.parametrize("shape", [(6,), (4, 6), (4, 2, 3), (4, 1, 2, 3), (1, 6)])
def test_input_shapes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    x, W, b = rng.standard_normal(shape), rng.standard_normal((6, 5)), rng.standard_normal(5)
    layer, oracle = Affine(W, b), reference.Affine(W, b)
    out, expected = layer.forward(x), oracle.forward(x)
    assert out.shape == ((5,) if len(shape) == 1 else (shape[0], 5))
    checks.close(out, expected, FLOAT64, "out")
    dout = rng.standard_normal(out.shape)
    checks.close(layer.backward(dout), oracle.backward(dout), FLOAT64, "dx")
    checks.close(layer.dW, oracle.dW, FLOAT64, "dW")
    checks.close(layer.db, oracle.db, FLOAT64, "db")
    assert layer.original_x_shape == shape


@pytest.mark.parametrize("b", [0, 0.5, np.float32(2), np.array(3)])
def test_bias_may_be_a_number(b: float) -> None:
    rng = np.random.default_rng(8)
    x, W = rng.standard_normal((4, 6)), rng.standard_normal((6, 5))
    layer = Affine(W, b)
    checks.close(layer.forward(x), x @ W + float(b), FLOAT64, "out")
    dout = rng.standard_normal((4, 5))
    layer.backward(dout)
    checks.close(layer.db, dout.sum(axis=0), FLOAT64, "db")


def test_weights_are_read_at_each_call() -> None:
    rng = np.random.default_rng(9)
    x, W, dout = rng.standard_normal((4, 6)), rng.standard_normal((6, 5)), rng.standard_normal((4, 5))
    layer = Affine(W, np.zeros(5))
    layer.forward(x)
    W *= 2
    checks.close(layer.forward(x), x @ W, FLOAT64, "changed in place")
    layer.W = rng.standard_normal((6, 5))
    checks.close(layer.forward(x), x @ layer.W, FLOAT64, "rebound")
    layer.W = layer.W * 3
    checks.close(layer.backward(dout), dout @ layer.W.T, FLOAT64, "rebound before backward")


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


UNUSUAL = {
    "columns": np.asfortranarray,
    "every other number": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
    "read-only": read_only,
    "swapped bytes": lambda array: array.astype(array.dtype.newbyteorder()),
    "unpickled": lambda array: pickle.loads(pickle.dumps(array)),
    "integers": lambda array: array.astype(np.int64),
    "a list": lambda array: array.tolist(),
}


@pytest.mark.parametrize("how", UNUSUAL)
@pytest.mark.parametrize("name", ["x", "W", "dout"])
def test_arrays_that_no_kernel_reads_as_they_are(name: str, how: str) -> None:
    """Whole numbers, in any form: backward gives the bits that it gives for plain arrays."""
    rng = np.random.default_rng(10)
    arrays = {n: rng.integers(-3, 4, s).astype(np.float64) for n, s in (("x", (4, 6)), ("W", (6, 5)), ("dout", (4, 5)))}
    results = []
    for form in (np.asarray, UNUSUAL[how]):
        layer = Affine(arrays["W"], np.zeros(5))
        layer.forward(arrays["x"])
        given = arrays | {name: form(arrays[name])}
        layer.x, layer.W = given["x"], given["W"]
        results.append((layer.backward(given["dout"]), layer.dW, layer.db))
    for got, expected in zip(*results, strict=True):
        assert got.dtype == expected.dtype
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 5), (4, 5, 1)])
def test_dout_of_another_shape(shape: tuple[int, ...]) -> None:
    layer = Affine(np.ones((6, 5)), np.zeros(5))
    layer.forward(np.ones((4, 6)))
    with pytest.raises(ValueError, match="dout must have the shape of the output"):
        layer.backward(np.ones(shape))


@pytest.mark.parametrize("shape", [(5, 6), (7, 5), (6,), (6, 5, 1)])
def test_W_of_another_shape_before_backward(shape: tuple[int, ...]) -> None:
    layer = Affine(np.ones((6, 5)), np.zeros(5))
    layer.forward(np.ones((4, 6)))
    layer.W = np.ones(shape)
    with pytest.raises(ValueError, match=r"W must have shape \(6, outputs\)"):
        layer.backward(np.ones((4, 5)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "W", "b", "dout"])
def test_not_finite(name: str, value: float) -> None:
    case = Case("affine", (5, 19, 18), "float64")
    arrays = case.arrays()
    arrays[name].flat[3] = value
    arrays["x"].flat[40:60] = 0  # 0·inf is NaN: a kernel that skips zeros would lose it
    results = []
    for namespace in (layers, reference):
        layer = case.layer(namespace, arrays)
        with np.errstate(invalid="ignore"):
            results.append([case.forward(layer, arrays), case.backward(layer, arrays), layer.dW, layer.db])
    for got, expected in zip(*results, strict=True):
        checks.close(got, expected, FLOAT64, name)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="too long for kernels that run as Python")
@pytest.mark.parametrize(
    "shape", [(60_000, 20, 50), (60_000, 70, 18), (5, 100_000, 17), (3, 100_000, 50), (1, 60_000, 33)]
)
def test_long_sums_keep_their_digits(shape: tuple[int, ...]) -> None:
    # Positive terms: one chain of float32 additions would be wrong in the fifth digit.
    batch, inputs, outputs = shape
    rng = np.random.default_rng(3)
    x, W, b, dout = (rng.random(s, np.float32) for s in ((batch, inputs), (inputs, outputs), outputs, (batch, outputs)))
    layer, oracle = Affine(W, b), reference.Affine(W.astype(np.float64), b.astype(np.float64))
    tolerance = TOLERANCE[np.dtype(np.float32)]
    checks.close(layer.forward(x), oracle.forward(x.astype(np.float64)), tolerance, "out")
    checks.close(layer.backward(dout), oracle.backward(dout.astype(np.float64)), tolerance, "dx")
    checks.close(layer.dW, oracle.dW, tolerance, "dW")
    checks.close(layer.db, oracle.db, tolerance, "db")
