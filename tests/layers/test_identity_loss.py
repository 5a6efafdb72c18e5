"""IdentityWithLoss against the oracle, and the shapes it takes."""

from typing import Any

import checks
import numpy as np
import pytest
from cases import Case

import fastbp
from fastbp import IdentityWithLoss, layers, reference


@pytest.mark.parametrize("shape", [(5, 7), (4, 1), (2, 3, 4, 5)])
def test_gradient(shape: tuple[int, ...]) -> None:
    checks.gradient_is_right(layers, Case("identity_loss", shape, "float64"))


def test_second_pass() -> None:
    checks.second_pass_is_independent(layers, Case("identity_loss", (5, 7), "float64"))


RNG = np.random.default_rng(33)
Y, T = RNG.standard_normal((2, 6, 3))


def test_the_mean_over_the_batch() -> None:
    layer = IdentityWithLoss()
    assert layer.forward([[1.0, 2.0], [3.0, 5.0]], [[1.0, 0.0], [0.0, 5.0]]) == 0.5 * (4 + 9) / 2
    np.testing.assert_array_equal(layer.backward(), [[0.0, 1.0], [1.5, 0.0]])
    np.testing.assert_array_equal(layer.backward(-2), [[0.0, -2.0], [-3.0, 0.0]])


@pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])
def test_a_single_sample(namespace: Any) -> None:
    layer = namespace.IdentityWithLoss()
    assert layer.forward(Y[0], T[0]) == pytest.approx(0.5 * np.sum((Y[0] - T[0]) ** 2), rel=1e-14)
    np.testing.assert_allclose(layer.backward(), Y[0] - T[0], rtol=1e-14)


@pytest.mark.parametrize(
    "t", [T[:, 0], T[:, :1], list(T[:, 0]), T[:, 0].astype(np.float32)], ids=lambda t: str(np.shape(t))
)
def test_one_output_a_sample(t: Any) -> None:
    """(N,) beside (N, 1), of which NumPy would make (N, N)."""
    layer, tolerance = IdentityWithLoss(), 1e-6
    expected = 0.5 * np.mean((Y[:, 0] - np.reshape(t, -1)) ** 2)
    assert layer.forward(Y[:, :1], t) == pytest.approx(expected, rel=tolerance)
    assert layer.backward().shape == (6, 1)
    assert layer.t is t


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float64", "float32", "float16"])
def test_values_of_any_dtype(dtype: str) -> None:
    y, t = Y.astype(np.float32), np.round(3 * np.abs(T)).astype(dtype)
    layer = IdentityWithLoss()
    assert layer.forward(y, t) == pytest.approx(0.5 * np.sum((y - t.astype(np.float64)) ** 2) / 6, rel=1e-6)
    assert layer.backward().dtype == np.float32


def test_what_the_caller_writes_later_counts_for_nothing() -> None:
    t, layer = T.copy(), IdentityWithLoss()
    layer.forward(Y, t)
    t[...] = 1e9
    np.testing.assert_allclose(layer.backward(), (Y - T) / 6, rtol=1e-14)


def test_nan_and_infinity() -> None:
    y = np.array([[np.nan, 1.0], [np.inf, 0.0]])
    ours, oracle = IdentityWithLoss(), reference.IdentityWithLoss()
    np.testing.assert_array_equal(ours.forward(y, T[:2, :2]), oracle.forward(y, T[:2, :2]))
    np.testing.assert_array_equal(ours.backward(), oracle.backward())
    assert ours.forward(y[1:], T[:1, :2]) == np.inf


def test_many_float32_values_are_added_up_in_float64() -> None:
    y = np.full((3, 1 << 20), 0.1, np.float32)
    loss = IdentityWithLoss().forward(y, np.zeros_like(y))
    assert loss == pytest.approx(0.5 * np.float64(np.float32(0.1)) ** 2 * (1 << 20), rel=1e-6)


@pytest.mark.parametrize("shape", [(6,), (3, 6), (6, 1), (1, 3), (18,), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"t must have the shape of the outputs, \(6, 3\), got"):
        IdentityWithLoss().forward(Y, np.zeros(shape))


def test_backward_needs_forward() -> None:
    with pytest.raises(RuntimeError, match="needs a forward pass first"):
        IdentityWithLoss().backward()


class Images:
    """Images to images: a convolution before the loss."""

    def __init__(self, dtype: type) -> None:
        W = np.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype(dtype)
        self.params = {"W": W, "b": np.zeros(2, dtype)}
        self.layers = {"convolution": fastbp.Convolution(W, self.params["b"], 1, 1)}
        self.last_layer = fastbp.IdentityWithLoss()

    def loss(self, x: np.ndarray, t: np.ndarray) -> float:
        return self.last_layer.forward(self.layers["convolution"].forward(x), t)

    def gradient(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        self.loss(x, t)
        self.layers["convolution"].backward(self.last_layer.backward(1))
        return {"W": self.layers["convolution"].dW, "b": self.layers["convolution"].db}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_values_of_images_in_the_compiled_loop(dtype: type, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    x, t = rng.random((12, 1, 5, 6)).astype(dtype), rng.random((12, 2, 5, 6))
    order = np.arange(12).reshape(3, 4)
    ours, layers, optimizer = Images(dtype), Images(dtype), fastbp.SGD(0.01)
    step = fastbp.compile(ours, fastbp.SGD(0.01), strict=True)
    losses = step.run(x, t, order)
    expected = []
    for rows in order:
        expected.append(layers.loss(x[rows], t[rows]))
        optimizer.update(layers.params, layers.gradient(x[rows], t[rows]))
    np.testing.assert_allclose(losses, expected, rtol=tolerance)
    np.testing.assert_allclose(ours.params["W"], layers.params["W"], rtol=tolerance, atol=tolerance)
    with pytest.raises(ValueError, match=r"t must have the shape of the outputs, \(12, 2, 5, 6\), got \(12, 60\)"):
        step.run(x, t.reshape(12, -1), order)


def test_data_prepared_for_outputs_of_another_shape_are_refused() -> None:
    """Not their number alone: 2x5x6 and 3x4x5 are 60 values each."""
    network, other = Images(np.float64), Images(np.float64)
    W, b = np.ones((3, 1, 2, 2)), np.zeros(3)
    other.params, other.layers = {"W": W, "b": b}, {"convolution": fastbp.Convolution(W, b)}
    x, order = np.ones((12, 1, 5, 6)), np.arange(12).reshape(3, 4)
    prepared = fastbp.compile(network, fastbp.SGD(0.01), strict=True).prepare(x, np.ones((12, 2, 5, 6)))
    step = fastbp.compile(other, fastbp.SGD(0.01), strict=True)
    with pytest.raises(ValueError, match=r"for 30 inputs, \(2, 5, 6\) classes and float64, but .* 30, \(3, 4, 5\)"):
        step.run(prepared, order)


def test_a_softmax_of_images_is_refused_as_by_the_layer() -> None:
    network, x, t = Images(np.float64), np.ones((4, 1, 5, 6)), np.zeros(4, int)
    network.last_layer = fastbp.SoftmaxWithLoss()
    for run in (network.loss, fastbp.compile(network, fastbp.SGD(0.01), strict=True)):
        with pytest.raises(ValueError, match=r"x must have shape \(batch, classes\) .* got \(4, 2, 5, 6\)"):
            run(x, t)
