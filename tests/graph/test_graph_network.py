"""Networks as computational graphs: the gradients of `network.gradient`, and of scalar graphs of + × exp log /."""

import copy
import pickle
import threading
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nets import LABELS, NAMES, X, net

import fastbp
from fastbp import graph, reference
from fastbp.graph.engine import in_order


def gradients(loss: graph.Node) -> dict[str, Any]:
    loss.backward()
    return {node.name: node.grad for node in in_order(loss) if node.name in NAMES}


def agree(loss: graph.Node, network: Any, x: Any, t: Any) -> None:
    """Value and gradients of the graph, and of the graph opened, are the network's."""
    expected_loss, expected = network.loss(x, t), network.gradient(x, t)
    single = network.params["W1"].dtype == np.float32
    for each in (loss, loss.opened()):
        found = gradients(each)
        np.testing.assert_allclose(each.value, expected_loss, rtol=1e-5 if single else 1e-12)
        assert sorted(found) == sorted(NAMES)
        for name in NAMES:
            rtol, atol = (1e-4, 1e-6) if single else (1e-10, 1e-13)
            np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("labels", LABELS)
def test_two_layer_net(labels: str) -> None:
    network = net()
    loss = graph.from_network(network, X, LABELS[labels])
    assert [node.op for node in in_order(loss) if node.inputs] == ["Affine1", "Relu1", "Affine2", "SoftmaxWithLoss"]
    assert [node.name for node in in_order(loss) if not node.inputs] == ["x", "W1", "b1", "W2", "b2", "t"]
    agree(loss, network, X, LABELS[labels])


@pytest.mark.parametrize("arguments", [{"weight_decay_lambda": 0.1}, {"dtype": np.float32}, {"layers": reference}])
def test_other_two_layer_nets(arguments: Any) -> None:
    network = net(**arguments)
    agree(graph.from_network(network, X, LABELS["index"]), network, X, LABELS["index"])


def test_single_sample() -> None:
    network = net()
    agree(graph.from_network(network, X[0], np.array([1, 0, 0])), network, X[0], np.array([1, 0, 0]))


class Tanh:
    def forward(self, x: Any) -> Any:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.y**2)


class Dropout:
    """Draws from NumPy's global state at each forward, and counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.rng = np.random.default_rng(3)

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.calls += 1
        self.mask = (np.random.rand(*x.shape) > 0.3) * self.rng.uniform(1, 2, x.shape)
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class BatchNorm:
    """With a running average, and parameters of other names than W and b."""

    def __init__(self, gamma: Any, beta: Any) -> None:
        self.gamma, self.beta, self.running_mean = gamma, beta, np.zeros_like(gamma)

    def forward(self, x: Any) -> Any:
        self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(0)
        self.x = x
        return x * self.gamma + self.beta

    def backward(self, dout: Any) -> Any:
        self.dgamma, self.dbeta = (dout * self.x).sum(0), dout.sum(0)
        return dout * self.gamma


class Block:
    """Layers inside a layer."""

    def __init__(self, *layers: Any) -> None:
        self.inside = list(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.inside:
            x = layer.forward(x)
        return x

    def backward(self, dout: Any) -> Any:
        for layer in reversed(self.inside):
            dout = layer.backward(dout)
        return dout


class Deep:
    """A list of layers, last_layer, and the gradients of each: the book's chapter 8 in small."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shapes = {"W1": (6, 4), "b1": 4, "gamma": 4, "beta": 4, "W2": (4, 4), "b2": 4, "W3": (4, 3), "b3": 3}
        self.params = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
        p = self.params
        self.block = Block(reference.Affine(p["W2"], p["b2"]), Tanh())
        self.layers = [
            reference.Affine(p["W1"], p["b1"]),
            BatchNorm(p["gamma"], p["beta"]),
            Dropout(),
            self.block,
            reference.Sigmoid(),
            reference.Affine(p["W3"], p["b3"]),
        ]
        self.last_layer = reference.SoftmaxWithLoss()

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        for layer in self.layers:
            x = layer.forward(x)
        self.last_layer.forward(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        first, norm, last, inside = self.layers[0], self.layers[1], self.layers[5], self.block.inside[0]
        of = {"W1": first.dW, "b1": first.db, "gamma": norm.dgamma, "beta": norm.dbeta}
        return of | {"W2": inside.dW, "b2": inside.db, "W3": last.dW, "b3": last.db}


def test_any_network_of_layers() -> None:
    network, t = Deep(), LABELS["index"]
    np.random.seed(5)
    network.gradient(X, t)
    before, state = pickle.dumps(network), np.random.get_state()
    loss = graph.from_network(network, X, t)
    loss.backward()
    assert pickle.dumps(network) == before  # what layers keep, counters, averages, generators
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), state, strict=True))
    expected = network.gradient(X, t)  # draws what the graph has drawn
    found = {node.name: node.grad for node in in_order(loss)}
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-12, atol=1e-15, err_msg=name)
    network.params["W1"] += 1  # the graph has copies
    loss.backward()
    np.testing.assert_array_equal(loss.find("W1").grad, found["W1"])
    steps = [node.op for node in in_order(loss) if node.inputs]
    assert steps == ["Affine1", "BatchNorm2", "Dropout3", "Block4", "Sigmoid5", "Affine6", "SoftmaxWithLoss"]
    opened = loss.opened()
    opened.backward()
    again = {node.name: node.grad for node in in_order(opened)}
    for name in expected:
        np.testing.assert_allclose(again[name], found[name], rtol=1e-10, atol=1e-14, err_msg=name)


def test_fastbp_s_layers_keep_their_state() -> None:
    network = net()
    network.gradient(X, LABELS["index"])
    kept = {name: copy.copy(vars(layer)) for name, layer in network.layers.items()}
    graph.from_network(network, X[:2], LABELS["index"][:2]).backward()
    for name, layer in network.layers.items():
        assert all(vars(layer)[key] is value for key, value in kept[name].items()), name


def test_a_layer_that_knows_its_network() -> None:
    network = net()
    network.layers["Relu1"].network = network
    agree(graph.from_network(network, X, LABELS["index"]), network, X, LABELS["index"])


def test_tied_weights() -> None:
    W, V = np.random.default_rng(0).normal(size=(6, 4)), np.random.default_rng(1).normal(size=(6, 3))
    layers = OrderedDict(a=reference.Affine(W, 0.0), b=reference.Affine(W.T, 0.0), c=reference.Affine(V, 0.0))
    network = SimpleNamespace(params={"W": W, "V": V}, layers=layers, lastLayer=reference.SoftmaxWithLoss())
    loss = graph.from_network(network, X, LABELS["index"])
    assert [node.op for node in in_order(loss) if node.inputs] == ["a", "T", "b", "c", "SoftmaxWithLoss"]
    loss.backward()
    weight = loss.find("W")
    x, w, v = graph.variable(X), graph.variable(W), graph.variable(V)
    own = graph.softmax_loss(graph.dot(graph.dot(graph.dot(x, w), w.T), v), LABELS["index"])
    own.backward()
    np.testing.assert_allclose(weight.grad, w.grad, rtol=1e-12)


def test_scalar_graph_of_a_network() -> None:
    """The network once more, number by number, of nothing but + × exp log / (and relu, which has no parts)."""
    network, t = fastbp.TwoLayerNet(3, 2, 2, 0.7, rng=np.random.default_rng(4)), np.array([0, 1, 1])
    x = np.random.default_rng(5).normal(size=(3, 3))
    numbers = {name: np.vectorize(graph.variable, otypes=[object])(value) for name, value in network.params.items()}
    losses = []
    for sample, label in zip(x, t, strict=True):
        hidden = [
            graph.relu(total([w * float(s) for w, s in zip(column, sample, strict=True)]) + b)
            for column, b in zip(numbers["W1"].T, numbers["b1"], strict=True)
        ]
        scores = [
            total([w * h for w, h in zip(column, hidden, strict=True)]) + b
            for column, b in zip(numbers["W2"].T, numbers["b2"], strict=True)
        ]
        exps = [graph.exp(score) for score in scores]
        losses.append(graph.log(exps[label] / total(exps)) * -1)
    loss = total(losses) / 3
    assert {node.op for node in in_order(loss)} == {"+", "×", "exp", "log", "/", "relu", "variable", "constant"}
    loss.backward()
    of_layers = graph.from_network(network, x, t)
    found = gradients(of_layers)
    opened = gradients(of_layers.opened())
    expected = network.gradient(x, t)
    assert loss.value == pytest.approx(of_layers.value, rel=1e-13)
    for name in NAMES:
        scalar = np.vectorize(lambda node: node.grad, otypes=[float])(numbers[name])
        for gradient in (found[name], opened[name], expected[name]):
            np.testing.assert_allclose(scalar, gradient, rtol=1e-11, atol=1e-14, err_msg=name)


def total(nodes: Any) -> graph.Node:
    first, *others = nodes
    for each in others:
        first = first + each
    return first


class Holder:
    """A layer that holds its parameter under another name, without a gradient beside it."""

    def __init__(self, weight: Any) -> None:
        self.weight = weight

    def forward(self, x: Any) -> Any:
        return x @ self.weight

    def backward(self, dout: Any) -> Any:
        return dout @ self.weight.T


def network_of(*layers: Any, **params: Any) -> Any:
    return SimpleNamespace(params=params, layers=list(layers), last_layer=reference.SoftmaxWithLoss())


def test_networks_that_can_t_be_graphs() -> None:
    W = np.ones((6, 3))
    t = LABELS["index"]
    with pytest.raises(AttributeError, match="int is no network: expected params"):
        graph.from_network(3, X, t)
    no_loss = network_of(reference.Affine(W, 0))
    del no_loss.last_layer
    with pytest.raises(AttributeError, match=r"has no last_layer \(or lastLayer\)"):
        graph.from_network(no_loss, X, t)
    locked = reference.Affine(W, 0)
    locked.lock = threading.Lock()
    with pytest.raises(ValueError, match="can't be copied, and the graph works on a copy: cannot pickle"):
        graph.from_network(network_of(locked, W=W), X, t)
    loss = graph.from_network(network_of(Holder(W), W=W), X, t)
    with pytest.raises(ValueError, match="Holder1 holds a parameter as weight, but its backward has left no gradient"):
        loss.backward()
    with pytest.raises(ValueError, match=r"\.layers\[0\]\.W is a view of params\['W'\] of shape \(6, 2\)"):
        graph.from_network(network_of(reference.Affine(W[:, :2], 0), W=W), X, t)


def test_a_gradient_that_its_layers_don_t_compute() -> None:
    class Doubled(fastbp.TwoLayerNet):
        def gradient(self, x: Any, t: Any) -> Any:
            return {name: gradient * 2 for name, gradient in super().gradient(x, t).items()}

    with pytest.raises(ValueError, match=r"Doubled\.gradient computes another gradient for W\d than its layers"):
        graph.from_network(Doubled(6, 4, 3), X, LABELS["index"])


def test_text_of_a_network() -> None:
    text = str(graph.from_network(net(), X, LABELS["index"]))
    assert "(5, 6) |x|: mean " in text
    assert ", max " in text
    assert "Affine1(x, W1, b1)" in text
