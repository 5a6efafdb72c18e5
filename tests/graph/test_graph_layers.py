"""Layers as nodes of computational graphs, fastbp's and the reader's own; composite nodes and their parts."""

import copy
import threading
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import graph, reference
from fastbp.graph.engine import in_order

X = np.array([[1.0, -0.5, 2.0], [-2.0, 3.0, 0.5]])
W, B = np.arange(6.0).reshape(3, 2) - 2, np.array([0.5, -1.0])


@pytest.mark.parametrize("namespace", [fastbp, reference], ids=["layers", "oracle"])
def test_layers_agree_with_the_graph_s_own_functions(namespace: Any) -> None:
    x, t = graph.variable(X, "x"), np.array([0, 1])
    pairs = [
        (graph.node(namespace.Relu(), x), graph.relu(x)),
        (graph.node(namespace.Sigmoid(), x), graph.sigmoid(x)),
        (graph.node(namespace.Affine(W, B), x), graph.affine(x, W, B)),
        (graph.node(namespace.SoftmaxWithLoss(), x, t), graph.softmax_loss(x, t)),
        (graph.node(namespace.MulLayer(), x, x), x * x),
        (graph.node(namespace.AddLayer(), x, x * 2), x + x * 2),
    ]
    for layer, own in pairs:
        np.testing.assert_allclose(layer.value, own.value, rtol=1e-12)
        own.backward(0.7)
        expected = x.grad
        for each in (layer, layer.opened()):
            each.backward(0.7)
            np.testing.assert_allclose(x.grad, expected, rtol=1e-12, atol=1e-15, err_msg=layer.op)
        assert layer.op == type(layer.operation.layer).__name__
        assert layer.explain(x).splitlines()[5:] != []
    layer.explain(x)


class OverwritingRelu:
    """As the book has it: backward writes into dout; this one into its input as well."""

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        x[self.mask] = 0
        return x

    def backward(self, dout: Any) -> Any:
        dout[self.mask] = 0
        return dout


def test_layers_may_write_into_what_they_get() -> None:
    x = graph.variable(X)
    y = graph.node(OverwritingRelu(), x * 1)
    (y + y).backward()
    np.testing.assert_array_equal(y.value, np.maximum(X, 0))
    np.testing.assert_array_equal(x.grad, 2.0 * (X > 0))
    np.testing.assert_array_equal(y.grad, np.full(X.shape, 2.0))
    np.testing.assert_array_equal(y.inputs[0].value, X)


class Returns:
    """A layer whose backward returns what it is told to."""

    def __init__(self, *gradients: Any) -> None:
        self.gradients = gradients

    def forward(self, *x: Any) -> Any:
        return x[0] * 2

    def backward(self, dout: Any) -> Any:
        return self.gradients if len(self.gradients) != 1 else self.gradients[0]


def test_gradients_of_a_wrong_number_or_shape() -> None:
    x, y = graph.variable(X), graph.variable(3.0)
    for layer, inputs, message in (
        (
            Returns(X),
            (x, y),
            r"Returns\.backward returned 1 gradient for 2 inputs, none for input 1: return one for each",
        ),
        (Returns(X, 1.0, 2.0), (x, y), r"returned 3 gradients for 2 inputs"),
        (Returns(1.0, X), (x, y), r"a gradient of shape \(\) for input 0, which has shape \(2, 3\)"),
        (Returns(None), (x,), "returned 0 gradients for 1 inputs, none for input 0"),
    ):
        node = graph.node(layer, *inputs)
        with pytest.raises(ValueError, match=message):
            node.backward()
    assert x.grad is None
    with pytest.raises(TypeError, match=r"the result of Returns\.backward must be a number"):
        graph.node(Returns("text"), x).backward()
    labels = graph.node(Returns(X), x, np.array([1, 2]))  # arrays need none
    labels.backward()
    assert labels.inputs[1].value.dtype.kind == "i"
    with pytest.raises(ValueError, match="none for input 1"):
        graph.node(reference.SoftmaxWithLoss(), x, graph.variable([[0, 1, 0], [1, 0, 0]])).backward()


def test_what_is_no_layer() -> None:
    x = graph.variable(X)
    for thing, message in (
        (np.exp, "a layer must have forward and backward, got ufunc"),
        (fastbp.Relu, r"Relu is a class: give a layer of it, Relu\(\.\.\.\)"),
        (3, "got int"),
    ):
        with pytest.raises(TypeError, match=message):
            graph.node(thing, x)
    with pytest.raises(TypeError, match="Returns: expected its inputs after the layer"):
        graph.node(Returns())
    with pytest.raises(TypeError, match="an input must hold real numbers"):
        graph.node(Returns(), "text")


def test_a_layer_used_twice() -> None:
    x, layer = graph.variable(3.0), reference.MulLayer()
    first = graph.node(layer, x, x)
    with pytest.raises(RuntimeError, match=r"MulLayer has been used by another node since.*a layer of its own"):
        graph.node(layer, first + 1, x).backward()
    second = graph.node(layer, x, 5)  # another graph: the layer now belongs to this one
    second.backward()
    assert x.grad == 5
    with pytest.raises(RuntimeError, match="MulLayer has been used by another node since"):
        (first + second).backward()
    del second  # what the layer has forgotten stays forgotten
    with pytest.raises(RuntimeError, match="MulLayer has been used by another node since"):
        first.backward()
    del first
    assert graph.node(layer, x, 7).value == 21


def test_copies_have_layers_of_their_own() -> None:
    x, layer = graph.variable(3.0), reference.MulLayer()
    node = graph.node(layer, x, 4)
    for other in (copy.deepcopy(node), node.opened()):
        layer.forward(0, 0)
        other.backward()
        assert (other.inputs[0].grad if other.op == "MulLayer" else x.grad) == 4
        node = graph.node(layer, x, 4)


# Opened --------------------------------------------------------------------------------------------------------------


def ops(node: graph.Node) -> list[str]:
    return [each.op for each in in_order(node) if each.inputs]


def test_parts() -> None:
    x = graph.variable(X, "x")
    weights, bias = graph.variable(W, "W"), graph.variable(B, "b")
    assert ops(graph.sigmoid(x).opened()) == ["×", "exp", "+", "/"]
    assert ops(graph.softmax(x).opened()) == ["−", "exp", "sum", "/"]
    loss = graph.softmax_loss(x, [0, 1])
    assert ops(loss.opened()) == ["−", "exp", "sum", "/", "log", "×", "sum", "×", "/"]
    assert ops(graph.softmax_loss(X[0], 1).opened()) == ["−", "exp", "sum", "/", "log", "×", "sum", "×"]
    assert ops(graph.affine(x, weights, bias).opened()) == ["dot", "+"]
    assert ops(graph.affine(x.reshape(1, 2, 3), np.ones((6, 1)), 0).opened()) == ["reshape", "reshape", "dot", "+"]
    assert ops(x.mean().opened()) == ["sum", "/"]
    assert ops(graph.relu(x).opened()) == ["relu"]
    assert ops((graph.sigmoid(x) * 2).opened()) == ["×", "exp", "+", "/", "×"]
    named = graph.sigmoid(x)
    named.name = "y"
    assert named.opened().name == "y"
    assert named.op == "sigmoid"
    assert [each for each in in_order(named.opened()) if each.op == "variable"] == [x]


def test_the_batch_divides_the_loss() -> None:
    x = graph.variable(X)
    t = np.eye(3)[[0, 1]]
    for loss in (graph.softmax_loss(x, t), graph.softmax_loss(x, t).opened()):
        loss.backward()
        np.testing.assert_allclose(x.grad, (graph.softmax(x).value - t) / 2, rtol=1e-13)


def test_what_would_not_be_the_same_stays_closed() -> None:
    x = graph.variable([800.0, 0.0])
    assert ops(graph.softmax_loss(x, 0).opened()) == ["softmax with loss"]  # 0 · log 0 would be NaN

    class Sigmoid:
        """With the typing error of a reader's note: 1 / 1 + exp(−x)."""

        def forward(self, x: Any) -> Any:
            self.x = x
            return 1 / 1 + np.exp(-x)

        def backward(self, dout: Any) -> Any:
            return -dout * np.exp(-self.x)

    y = graph.node(Sigmoid(), graph.variable(1.0))
    assert ops(y.opened()) == ["Sigmoid"]
    y.opened().backward()
    with_eps = graph.node(reference.SoftmaxWithLoss(eps=0.1), graph.variable(X), np.array([0, 1]))
    assert ops(with_eps.opened()) == ["SoftmaxWithLoss"]


class Affine:
    """Of that name, and nothing like it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def forward(self, x: Any) -> Any:
        return x + 1

    def backward(self, dout: Any) -> Any:
        return dout


def test_a_layer_that_can_t_be_copied() -> None:
    node = graph.node(Affine(), graph.variable(1.0))
    node.backward()
    assert node.inputs[0].grad == 1
    with pytest.raises(ValueError, match="Affine can't be copied"):
        node.opened()


# Explained -----------------------------------------------------------------------------------------------------------


def test_explanation_of_apples() -> None:
    apple, number, tax = graph.variable(100, "apple"), graph.variable(2, "number"), graph.variable(1.1, "tax")
    price = apple * number * tax
    expected = """\
d output / d apple = 2.2, by one path:

(2) × ← (1) × ← apple
      1           from above
    × 1.1  (2) ×  the derivative from above times the other input, 1 × 1.1 = 1.1
    × 2    (1) ×  the derivative from above times the other input, 1.1 × 2 = 2.2
    = 2.2"""
    assert price.explain(apple) == expected
    assert apple.grad is None  # to explain changes nothing
    price.backward()
    assert price.explain(apple) == expected
    price.name = "price"
    assert price.explain(apple).startswith("d price / d apple = 2.2, by one path:\n\nprice ← (1) × ← apple\n")


def test_rules_in_words() -> None:
    x, y = graph.variable(3.0, "x"), graph.variable(2.0, "y")
    rules = {
        x + y: "passes it on",
        x - y: "passes it on",
        x / y: "the derivative from above times 1/y, 1 × 0.5 = 0.5",
        1 / x: "for 1/y minus the output squared",
        graph.exp(x): f"times its own output, 1 × {np.exp(3)} = {np.exp(3)}",
        graph.log(x): "times 1/x",
        x**2: "times twice the input, 2x, 1 × 6 = 6",
        x**3: "times 3·x**2, 1 × 27 = 27",
        -x: "passes it on with the sign changed, 1 × -1 = -1",
        graph.sigmoid(x): "times y(1 − y), y its own output",
    }
    for node, words in rules.items():
        assert words in node.explain(x), node.op
    assert "for the divisor −x/y² times the derivative from above, 1 × -0.75 = -0.75" in (x / y).explain(y)


def test_rules_of_arrays() -> None:
    x, weights, bias = graph.variable(X, "X"), graph.variable(W, "W"), graph.variable(B, "B")
    dot = graph.dot(x, weights)
    assert "dX = dY · Wᵀ, shapes (2, 2) · (2, 3)" in dot.explain(x)
    assert "dW = Xᵀ · dY, shapes (3, 2) · (2, 2)" in dot.explain(weights)
    assert "passes it on; broadcast: summed over the batch, (2, 2) to (2,)" in (dot + bias).explain(bias)
    assert "divided by their number, 6: () to (2, 3)" in x.mean().explain(x)
    assert "times y − t, y the softmax, over the batch of 2" in graph.softmax_loss(x, [0, 1]).explain(x)


def test_paths_and_their_sum() -> None:
    x, y = graph.variable(3.0, "x"), graph.variable(4.0, "y")
    told = (x * y + x).explain(x)
    assert told.startswith("d output / d x = 4 + 1 = 5, the sum over 2 paths:")
    assert told.count(" ← ") == 3
    assert told.count("from above\n") == 2
    z = x
    for _ in range(30):
        z = z + z
    told = z.explain(x)
    assert "the sum over 1,073,741,824 paths; the first 20 are written out:" in told
    assert told.count("(30) + ←") == 20
    assert "= 1073741824, " in told


def test_explanation_under_a_derivative() -> None:
    x, y = graph.variable(10, "x"), graph.variable(5, "y")
    z = x * y
    z.backward(1.3)
    assert z.explain(x).startswith("d output / d x, with 1.3 from above = 6.5, by one path:")
    assert "1.3 × 5 = 6.5" in z.explain(x)


def test_explanation_of_labels() -> None:
    loss = graph.softmax_loss(graph.variable(X), [0, 1])
    assert "labels have none" in loss.explain(loss.inputs[1])
