"""The first layer's dx, which a network's `gradient` doesn't read: left out of an Affine's, and of no other's."""

from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import pytest

import fastbp
from fastbp import Affine, TwoLayerNet
from fastbp.layers.without_dx import backward_without_dx


def network(dtype: Any = np.float64) -> TwoLayerNet:
    return TwoLayerNet(150, 50, 10, dtype=dtype, rng=np.random.default_rng(3))


def batch(share: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.random((64, 150)) * (rng.random((64, 150)) < share), rng.integers(0, 10, 64)


@pytest.mark.parametrize("share", [0.2, 1.0], ids=["zeros skipped", "dense"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_gradients_are_those_of_backward(dtype: Any, tolerance: float, share: float) -> None:
    net, (x, t) = network(dtype), batch(share)
    x = x.astype(dtype)
    found = net.gradient(x, t)
    net.loss(x, t)
    dout = net.last_layer.backward(1)
    for layer in reversed(net.layers.values()):
        dout = layer.backward(dout)
    for name, key, attribute in net.holders:
        checks.close(found[name], getattr(net.layers[key], "d" + attribute), tolerance, name)


class Doubled(Affine):
    def backward(self, dout: Any) -> Any:
        return super().backward(2 * dout)


def of_a_subclass(net: Any, _patch: pytest.MonkeyPatch) -> None:
    first = next(iter(net.layers.values()))
    net.layers[next(iter(net.layers))] = Doubled(first.W, first.b)


def of_the_layer(net: Any, patch: pytest.MonkeyPatch) -> None:
    first = next(iter(net.layers.values()))
    kept = first.backward
    patch.setattr(first, "backward", lambda dout: kept(2 * dout), raising=False)


def of_the_class(net: Any, patch: pytest.MonkeyPatch) -> None:
    kept, first = Affine.backward, next(iter(net.layers.values()))
    patch.setattr(Affine, "backward", lambda self, dout: kept(self, 2 * dout if self is first else dout))


class Sevens(Affine):
    def backward(self, dout: Any) -> Any:
        self.dW, self.db = np.full(self.W.shape, 7.0), np.full(self.b.shape, 7.0)
        return dout @ self.W.T


@pytest.mark.parametrize("change", [of_a_subclass, of_the_layer, of_the_class])
def test_a_backward_of_ones_own_is_called(
    change: Callable[[Any, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, (x, t) = network(), batch(0.2)
    before = net.gradient(x, t)
    change(net, monkeypatch)
    after = net.gradient(x, t)
    checks.close(after["W1"], 2 * before["W1"], 1e-12, "W1")
    checks.close(after["b2"], before["b2"], 1e-12, "b2")


def test_a_backward_whose_code_was_replaced_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, t) = network(), batch(0.2)
    monkeypatch.setattr(Affine.backward, "__code__", Sevens.backward.__code__)
    assert net.gradient(x, t)["W1"].tolist() == np.full((150, 50), 7.0).tolist()


def test_other_layers_go_back_as_they_do() -> None:
    relu = fastbp.Relu()
    relu.forward(np.ones((2, 3)))
    backward_without_dx(relu, np.ones((2, 3)))
    with pytest.raises(RuntimeError, match=r"Affine\.backward needs a forward pass first"):
        backward_without_dx(Affine(np.ones((3, 2)), np.ones(2)), np.ones((1, 2)))
    layer = Affine(np.ones((3, 2)), np.ones(2))
    layer.forward(np.ones((4, 3)))
    with pytest.raises(ValueError, match="dout must have the shape of the output"):
        backward_without_dx(layer, np.ones((4, 3)))


def test_weights_that_are_a_list_yet() -> None:
    layer = Affine([[1.0, 2.0], [3.0, 4.0]], [0.0, 0.0])
    layer.forward(np.ones((3, 2)))
    backward_without_dx(layer, np.ones((3, 2)))
    assert layer.dW is not None
    assert layer.dW.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    with pytest.raises(ValueError, match="dout must have the shape of the output"):
        backward_without_dx(layer, 1.0)


def test_a_network_of_no_layers_has_no_gradients() -> None:
    net, (x, t) = network(), batch(1.0)
    net.layers.clear()
    net.holders = ()
    assert net.gradient(x[:, :10], t) == {}
