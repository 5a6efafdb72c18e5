"""What a caller may do wrong: an error that says what was expected and what came, and nothing has changed."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastbp import AddLayer, Affine, Convolution, MulLayer, Pooling, Relu, Sigmoid, SoftmaxWithLoss, reference

RNG = np.random.default_rng(5)
X = RNG.standard_normal((4, 6))
W = RNG.standard_normal((6, 5))
B = RNG.standard_normal(5)
DOUT = RNG.standard_normal((4, 5))
SCORES = RNG.standard_normal((4, 3))
T = np.array([2, 0, 1, 1])

COMPLEX, OBJECT, TEXT = X + 0j, X.astype(object), np.full((4, 6), "a")


def affine(x: Any = X, W: Any = W, b: Any = B, dout: Any = DOUT) -> Any:
    layer = Affine(W, b)
    layer.forward(x)
    return layer.backward(dout)


def relu(x: Any = X, dout: Any = X) -> Any:
    layer = Relu()
    layer.forward(x)
    return layer.backward(dout)


def sigmoid(x: Any = X, dout: Any = X) -> Any:
    layer = Sigmoid()
    layer.forward(x)
    return layer.backward(dout)


def loss(x: Any = SCORES, t: Any = T, dout: Any = 1) -> Any:
    layer = SoftmaxWithLoss()
    layer.forward(x, t)
    return layer.backward(dout)


IMAGES = RNG.standard_normal((2, 3, 6, 5))


FILTERS = RNG.standard_normal((4, 3, 2, 3))


def convolution(x: Any = IMAGES, W: Any = FILTERS, b: Any = 0, stride: Any = 1, pad: Any = 0, dout: Any = None) -> Any:
    layer = Convolution(W, b, stride, pad)
    out = layer.forward(x)
    return layer.backward(out if dout is None else dout)


def pooling(x: Any = IMAGES, window: Any = (2, 3), stride: Any = 2, pad: Any = 0, dout: Any = None) -> Any:
    layer = Pooling(*window, stride=stride, pad=pad)
    out = layer.forward(x)
    return layer.backward(out if dout is None else dout)


BAD = [
    (
        affine,
        {"x": X[:, :5]},
        ValueError,
        r"x of shape \(4, 5\) has 5 features .* W of shape \(6, 5\) takes 6",
    ),
    (affine, {"x": X[0, :5]}, ValueError, "5 features a sample"),
    (affine, {"x": 1.0}, ValueError, "got a scalar"),
    (affine, {"x": X[:0]}, ValueError, r"x is empty: expected at least one element, got shape \(0, 6\)"),
    (affine, {"x": X[:0].reshape(0, 2, 3)}, ValueError, "x is empty"),
    (affine, {"x": COMPLEX}, TypeError, "x must hold real numbers .* got dtype complex128"),
    (affine, {"x": OBJECT}, TypeError, "got dtype object"),
    (affine, {"x": TEXT}, TypeError, "got dtype <U1"),
    (affine, {"x": X.astype(np.longdouble)}, TypeError, "got dtype float128|got dtype longdouble"),
    (affine, {"x": np.ma.masked_less(X, 0)}, TypeError, "masked array"),
    (affine, {"W": W[0]}, ValueError, r"W must have shape \(inputs, outputs\), got \(5,\)"),
    (affine, {"W": W + 0j}, TypeError, "W must hold real numbers"),
    (affine, {"W": W[:, :0]}, ValueError, "W is empty"),
    (affine, {"b": B[:4]}, ValueError, r"b must have shape \(5,\) to go with W of shape \(6, 5\), got \(4,\)"),
    (affine, {"b": B.astype(object)}, TypeError, "b must hold real numbers"),
    (affine, {"dout": DOUT[:3]}, ValueError, r"dout must have the shape of the output, \(4, 5\), got \(3, 5\)"),
    (affine, {"dout": DOUT[:, :4]}, ValueError, "dout must have the shape"),
    (affine, {"dout": 1.0}, ValueError, r"got \(\)"),
    (affine, {"dout": DOUT * 1j}, TypeError, "dout must hold real numbers"),
    (affine, {"x": X[0], "dout": DOUT[:1]}, ValueError, r"\(5,\), got \(1, 5\)"),
    (relu, {"x": X[:0]}, ValueError, "x is empty"),
    (relu, {"x": COMPLEX}, TypeError, "complex128"),
    (relu, {"x": OBJECT}, TypeError, "object"),
    (relu, {"dout": X[:3]}, ValueError, r"\(4, 6\), got \(3, 6\)"),
    (relu, {"dout": X.T}, ValueError, "dout must have the shape"),
    (convolution, {"x": IMAGES[0, 0]}, ValueError, r"got shape \(6, 5\); if these are flat samples, load_mnist"),
    (convolution, {"x": IMAGES[0]}, ValueError, r"x must be images of shape \(N, C, H, W\), got shape \(3, 6, 5\)"),
    (convolution, {"x": IMAGES[:, :2]}, ValueError, r"has 2 channels, but W of shape \(4, 3, 2, 3\) takes 3"),
    (convolution, {"x": IMAGES[:0]}, ValueError, "x is empty"),
    (convolution, {"W": FILTERS[0]}, ValueError, r"W must have shape \(filters, channels, height, width\), got \(3, 2"),
    (convolution, {"W": FILTERS + 0j}, TypeError, "W must hold real numbers"),
    (convolution, {"b": B}, ValueError, r"b must have shape \(4,\) to go with W of shape \(4, 3, 2, 3\), got \(5,\)"),
    (convolution, {"x": IMAGES[:, :, :1]}, ValueError, "a filter of 2 x 3 is larger than images of 1 x 5"),
    (convolution, {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
    (convolution, {"pad": "same"}, TypeError, "pad must be an integer, got 'same'"),
    (convolution, {"dout": IMAGES}, ValueError, r"the shape of the output, \(2, 4, 5, 3\), got \(2, 3, 6, 5\)"),
    (pooling, {"x": IMAGES[0]}, ValueError, r"x must be images of shape \(N, C, H, W\), got shape \(3, 6, 5\)"),
    (pooling, {"x": IMAGES[:0]}, ValueError, "x is empty"),
    (pooling, {"x": IMAGES + 0j}, TypeError, "complex128"),
    (pooling, {"window": (7, 2)}, ValueError, "a window of 7 x 2 is larger than images of 6 x 5$"),
    (pooling, {"window": (7, 8), "pad": 1}, ValueError, "7 x 8 is larger than images of 6 x 5 with a pad of 1"),
    (pooling, {"window": (0, 2)}, ValueError, "window size must be at least 1, got 0"),
    (pooling, {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
    (pooling, {"stride": 1.5}, TypeError, r"stride must be an integer, got 1\.5"),
    (pooling, {"pad": -1}, ValueError, "pad must be at least 0, got -1"),
    (pooling, {"dout": IMAGES}, ValueError, r"the shape of the output, \(2, 3, 3, 2\), got \(2, 3, 6, 5\)"),
    (sigmoid, {"x": X[:0]}, ValueError, "x is empty"),
    (sigmoid, {"x": OBJECT}, TypeError, "object"),
    (sigmoid, {"dout": X[:, :1]}, ValueError, "dout must have the shape"),
    (loss, {"x": SCORES[:0], "t": T[:0]}, ValueError, "x is empty"),
    (loss, {"x": SCORES.reshape(2, 2, 3)}, ValueError, r"x must have shape \(batch, classes\)"),
    (loss, {"x": 1.0}, ValueError, r"x must have shape \(batch, classes\)"),
    (loss, {"x": SCORES + 0j}, TypeError, "complex128"),
    (loss, {"t": T[:3]}, ValueError, r"t must have shape \(4,\) \(class indices\) or \(4, 3\) .* got \(3,\)"),
    (loss, {"t": T.reshape(2, 2)}, ValueError, r"got \(2, 2\)"),
    (loss, {"t": 1}, ValueError, r"got \(\)"),
    (loss, {"t": [2, 0, 3, 1]}, ValueError, r"t\[2\] is 3, but the 3 classes are 0 to 2"),
    (loss, {"t": [2, -1, 0, 1]}, ValueError, r"t\[1\] is -1, but the 3 classes are 0 to 2"),
    (loss, {"t": [2, 3, -1, 9]}, ValueError, r"t\[1\] is 3, but the 3 classes are 0 to 2"),
    (loss, {"t": np.array([2, 0, 1, 2**64 - 1], np.uint64)}, ValueError, r"t\[3\] is 18446744073709551615"),
    (loss, {"t": [0.5, 0, 1, 2]}, TypeError, "class indices must be integers, got t of dtype float64"),
    (loss, {"t": [np.nan, 0, 1, 2]}, TypeError, "class indices must be integers"),
    (loss, {"t": ["a", "b", "c", "d"]}, TypeError, "t must hold real numbers"),
    (loss, {"t": T.astype(object)}, TypeError, "t must hold real numbers"),
    (loss, {"t": np.eye(4)}, ValueError, r"got \(4, 4\)"),
    (loss, {"dout": np.ones(4)}, ValueError, r"dout must be a number, as the loss is, got shape \(4,\)"),
    (loss, {"dout": "x"}, TypeError, "dout must hold real numbers"),
]


@pytest.mark.parametrize(("operation", "arguments", "error", "message"), BAD)
def test_is_refused(operation: Callable[..., Any], arguments: Any, error: type[Exception], message: str) -> None:
    operation()  # the rest of the arguments is right
    with pytest.raises(error, match=message):
        operation(**arguments)


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        Relu().forward([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("eps", [-1e-9, np.nan, np.inf])
def test_eps_is_refused(eps: float) -> None:
    with pytest.raises(ValueError, match="eps must be a finite number, zero or positive"):
        SoftmaxWithLoss(eps)


@pytest.mark.parametrize(
    "layer",
    [Affine(W, B), Relu(), Sigmoid(), SoftmaxWithLoss(), MulLayer(), AddLayer()],
    ids=lambda x: type(x).__name__,
)
def test_backward_needs_forward(layer: Any) -> None:
    with pytest.raises(RuntimeError, match=rf"{type(layer).__name__}.backward needs a forward pass first"):
        layer.backward(1.0)


def test_a_refused_call_leaves_the_layer_as_it_was() -> None:
    layer = Affine(W, B)
    layer.forward(X)
    expected = layer.backward(DOUT), layer.dW, layer.db
    for bad in (X[:, :3], OBJECT, X[:0]):
        with pytest.raises((ValueError, TypeError)):
            layer.forward(bad)
        with pytest.raises((ValueError, TypeError)):
            layer.backward(bad)
    assert layer.dW is expected[1]
    np.testing.assert_array_equal(layer.backward(DOUT), expected[0])


def test_refused_labels_leave_the_loss_as_it_was() -> None:
    layer = SoftmaxWithLoss()
    before = layer.forward(SCORES, T)
    expected = layer.backward()
    with pytest.raises(ValueError, match="classes are"):
        layer.forward(SCORES * 2, [7, 0, 0, 0])
    assert layer.loss == before
    np.testing.assert_array_equal(layer.backward(), expected)


def test_attributes_that_a_user_replaced_are_checked() -> None:
    affine, relu, softmax = Affine(W, B), Relu(), SoftmaxWithLoss()
    affine.forward(X)
    affine.W = W[:3]
    with pytest.raises(ValueError, match=r"W must have shape \(6, outputs\) as in the forward pass, got \(3, 5\)"):
        affine.backward(DOUT)
    relu.forward(X)
    relu.mask = np.zeros((2, 2), bool)
    with pytest.raises(ValueError, match=r"\(2, 2\), got \(4, 6\)"):
        relu.backward(X)
    softmax.forward(SCORES, T)
    softmax.y = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"y must have the shape of the forward pass, \(4, 3\), got \(2, 2\)"):
        softmax.backward()


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize("x", [[[1, -2], [3, 4]], ((1.5, -2.0), (0.0, 4.0)), X.view(Subclass)])
def test_lists_tuples_and_subclasses_are_taken(x: Any) -> None:
    out = Relu().forward(x)
    assert type(out) is np.ndarray
    np.testing.assert_array_equal(out, np.maximum(np.asarray(x), 0))


@pytest.mark.parametrize("dtype", [">f8", "float16", "int64", "float32"])
def test_attributes_of_another_dtype_are_converted(dtype: str) -> None:
    affine, relu, sigmoid = Affine(W, B), Relu(), Sigmoid()
    for layer in (affine, relu, sigmoid):
        layer.forward(np.round(X * 4))
    affine.x, relu.mask, sigmoid.out = affine.x.astype(dtype), relu.mask.astype(dtype), (sigmoid.out * 0).astype(dtype)
    affine.backward(DOUT)
    np.testing.assert_allclose(affine.dW, np.round(X * 4).T @ DOUT)
    np.testing.assert_array_equal(relu.backward(X), np.where(np.round(X * 4) <= 0, 0, X))
    np.testing.assert_array_equal(sigmoid.backward(X), 0 * X)


def test_attributes_that_hold_no_numbers_are_refused() -> None:
    affine, relu, softmax = Affine(W, B), Relu(), SoftmaxWithLoss()
    affine.forward(X)
    affine.x = OBJECT
    relu.forward(X)
    relu.mask = OBJECT
    softmax.forward(SCORES, T)
    softmax.y = softmax.y + 0j
    for layer, dout in ((affine, DOUT), (relu, X), (softmax, 1)):
        with pytest.raises(TypeError, match="must hold real numbers"):
            layer.backward(dout)


def test_rows_that_no_longer_fit_are_refused_before_anything_changes() -> None:
    layer = Affine(W, B)
    layer.forward(X)
    layer.backward(DOUT)
    before = layer.dW
    for x in (np.ones((3, 6)), np.ones(24), np.float64(1)):
        layer.x = x
        with pytest.raises(ValueError, match=r"x must be the rows of the forward pass, of shape \(4, 6\)"):
            layer.backward(DOUT)
    assert layer.dW is before


def test_labels_may_be_replaced_after_forward() -> None:
    layer, oracle = SoftmaxWithLoss(), reference.SoftmaxWithLoss()
    for each in (layer, oracle):
        each.forward(SCORES, T)
        each.t = np.array([0, 0, 1, 2])
    np.testing.assert_allclose(layer.backward(), oracle.backward(), rtol=1e-14)
    layer.t = [0, 0, 1, 3]
    with pytest.raises(ValueError, match=r"t\[3\] is 3"):
        layer.backward()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pickled_layers_compute_in_the_same_precision(dtype: type) -> None:
    layer = Affine(W.astype(dtype), B.astype(dtype))
    layer.forward(X)
    copied = pickle.loads(pickle.dumps(layer))
    for each in (layer, copied):
        assert each.backward(DOUT.astype(np.float32)).dtype == np.float64
        assert each.dW.dtype == np.float64
    np.testing.assert_array_equal(layer.dW, copied.dW)
    assert copied.forward(X.astype(dtype)).dtype == dtype
    sigmoid = Sigmoid()
    sigmoid.forward(X)
    assert pickle.loads(pickle.dumps(sigmoid)).backward(X.astype(np.float32)).dtype == np.float64
