"""Layers that are known by name: the textbook rule and the parts only where the layer does that; repeated backwards."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nets import LABELS, X

import fastbp
from fastbp import graph, reference
from fastbp.graph.engine import in_order

T = LABELS["index"]
W, B = np.random.default_rng(0).normal(size=(6, 3)), np.array([0.5, -1.0, 2.0])
OWN = "by its own backward"


def ops(node: graph.Node) -> list[str]:
    return [each.op for each in in_order(node) if each.inputs]


@pytest.mark.parametrize("namespace", [fastbp, reference], ids=["layers", "oracle"])
@pytest.mark.parametrize("names", ["W", "b", "bW", "Wb"])
def test_parameters_of_an_affine_in_any_order_and_number(names: str, namespace: Any) -> None:
    whole = {"W": W.copy(), "b": B.copy()}
    network = SimpleNamespace(
        params={name: whole[name] for name in names},
        layers=[namespace.Affine(whole["W"], whole["b"])],
        last_layer=namespace.SoftmaxWithLoss(),
    )
    loss = graph.from_network(network, X, T)
    loss.backward()
    found = {name: loss.find(name).grad for name in names}
    rules = {"W": "dW = Xᵀ · dY, shapes (6, 5) · (5, 3)", "b": "dB = dY summed over the batch, (5, 3) to (3,)"}
    for name in names:
        assert rules[name] in loss.explain(loss.find(name))
    assert "dX = dY · Wᵀ, shapes (5, 3) · (3, 6)" in loss.explain(loss.find("x"))
    opened = loss.opened()
    assert ops(opened)[:2] == ["dot", "+"]
    opened.backward()
    for name in names:
        np.testing.assert_allclose(opened.find(name).grad, found[name], rtol=1e-10, atol=1e-14)


def layer_of(name: str, forward: Any, backward: Any) -> Any:
    """A reader's layer: forward(layer, *inputs), backward(layer, dout)."""

    def kept(self: Any, *x: Any) -> Any:
        self.x = x
        return forward(self, *x)

    return type(name, (), {"forward": kept, "backward": backward, "W": np.ones((3, 2)), "b": 0.0})()


def test_the_textbook_rule_is_told_of_layers_that_do_it() -> None:
    mistaken = layer_of("MulLayer", lambda _, x, y: x * y, lambda self, dout: (dout * self.x[0], dout * self.x[1]))
    tanh = layer_of("Sigmoid", lambda _, x: np.tanh(x), lambda self, dout: dout * (1 - np.tanh(self.x[0]) ** 2))
    leaky = layer_of("Relu", lambda _, x: 0.01 * x, lambda _, dout: 0.01 * dout)
    three = layer_of("AddLayer", lambda _, *x: sum(x), lambda self, dout: (dout,) * len(self.x))
    one = layer_of("SoftmaxWithLoss", lambda _, x: np.exp(x), lambda self, dout: dout * np.exp(self.x[0]))
    with_two = layer_of("Affine", lambda self, x, y: x @ self.W + y, lambda self, dout: (dout @ self.W.T, dout.sum(0)))
    for layer, inputs in (
        (mistaken, (100.0, 2.0)),
        (tanh, (0.5,)),
        (leaky, (-2.0,)),
        (three, (1.0, 2.0, 3.0)),
        (one, (1.0,)),
        (with_two, (np.ones((2, 3)), np.ones(2))),
    ):
        nodes = [graph.variable(each) for each in inputs]
        y = graph.node(layer, *nodes)
        y.backward()
        for each in nodes:
            assert OWN in y.explain(each), layer
        assert ops(y.opened()) == [type(layer).__name__]
    right = layer_of("MulLayer", lambda _, x, y: x * y, lambda self, dout: (dout * self.x[1], dout * self.x[0]))
    x, y = graph.variable(100.0), graph.variable(2.0)
    assert "times the other input" in graph.node(right, x, y).explain(x)


class Adding:
    """Adds to its dW, as layers do that are used at several places, and writes into what it keeps."""

    def __init__(self, W: Any) -> None:
        self.W, self.dW = W, np.zeros_like(W)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def backward(self, dout: Any) -> Any:
        self.dW += self.x.T @ dout
        self.x *= 2
        return dout @ self.W.T


class AddingNet:
    def __init__(self) -> None:
        self.params = {"W": W.copy()}
        self.layers, self.last_layer = [Adding(self.params["W"])], reference.SoftmaxWithLoss()

    def gradient(self, x: Any, t: Any) -> Any:
        self.layers[0].dW[...] = 0
        self.last_layer.forward(self.layers[0].forward(x.copy()), t)
        self.layers[0].backward(self.last_layer.backward(1))
        return {"W": self.layers[0].dW.copy()}


def test_layers_that_add_to_their_gradients() -> None:
    network = AddingNet()
    expected = network.gradient(X, T)["W"]  # which stays there, in dW
    loss = graph.from_network(network, X, T)
    for _ in range(3):
        loss.backward()
        np.testing.assert_allclose(loss.find("W").grad, expected, rtol=1e-12)
        loss.explain(loss.find("W"))


class Square:
    """Keeps its input in place, and refuses what is negative after it has kept it."""

    def forward(self, x: Any) -> Any:
        self.x = x
        if np.any(x < 0):
            raise ValueError("negative")
        return x * x

    def backward(self, dout: Any) -> Any:
        self.x = self.x * 2
        return dout * self.x


def test_two_backwards_of_a_node_are_the_same() -> None:
    x, layer = graph.variable(3.0), Square()
    y = graph.node(layer, x)
    for _ in range(3):
        y.backward()
        assert x.grad == 6
    assert layer.x == 6  # the first one ran on the layer itself
    graph.node(layer, graph.variable(5.0))
    assert y.explain(x).startswith("d output / d input 1 = 6")  # what this node needs has been kept
    assert y.opened().value == 9


def test_a_refused_forward_spoils_no_other_node_silently() -> None:
    layer, x = Square(), graph.variable(3.0)
    y = graph.node(layer, x)
    with pytest.raises(ValueError, match="negative"):
        graph.node(layer, graph.variable(-5.0))
    with pytest.raises(RuntimeError, match="Square has been used by another node since"):
        y.backward()


# Opened: the same value and the same derivatives ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_single_precision_opens(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = graph.variable(rng.normal(size=(3, 4)).astype(np.float32))
    assert ops(graph.softmax_loss(x, [0, 1, 2]).opened())[-1] == "/"
    y = np.exp(x.value) / np.exp(x.value).sum(1, keepdims=True)
    assert "cross entropy" not in ops(graph.cross_entropy(graph.variable(y), [0, 1, 2]).opened())
    assert ops(x.mean().opened()) == ["sum", "/"]
    network = fastbp.TwoLayerNet(6, 4, 3, dtype=np.float32, rng=rng)
    opened = ops(graph.from_network(network, X.astype(np.float32), T).opened())
    assert opened[:5] == ["dot", "+", "relu", "dot", "+"]
    assert "SoftmaxWithLoss" not in opened


def test_what_has_another_derivative_stays_closed() -> None:
    x = graph.variable(-800.0)
    y = graph.sigmoid(x)  # exp(800) overflows; 1/(1 + exp) is right, ∞ · 0 on the way back isn't
    opened = y.opened()
    assert ops(opened) == ["sigmoid"]
    opened.backward()
    assert x.grad == 0
    assert ops(graph.sigmoid(graph.variable(-30.0)).opened()) == ["×", "exp", "+", "/"]
