"""The graphs of the book's figures 5-2 to 5-30, with their numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastbp import reference
from fastbp.graph import affine, from_network, relu, sigmoid, softmax_loss, variable
from fastbp.graph.node import Node


@dataclass(frozen=True)
class Figure:
    """A graph, the derivative that comes in at its output, and the variables whose chain rule is told."""

    about: str
    output: Node
    variables: Sequence[Node]
    dout: Any = 1


def apples() -> Figure:
    """Two apples at 100 and a tax of 10% (figures 5-2, 5-5, 5-14 and 5-16)."""
    apple, number, tax = variable(100, "apple"), variable(2, "number"), variable(1.1, "tax")
    return Figure("apple × number × tax", apple * number * tax, (apple, number, tax))


def oranges() -> Figure:
    """Two apples, three oranges, and the tax on both (figures 5-3, 5-15 and 5-17)."""
    apple, apples = variable(100, "apple"), variable(2, "number of apples")
    orange, oranges = variable(150, "orange"), variable(3, "number of oranges")
    tax = variable(1.1, "tax")
    return Figure(
        "(apple × number of apples + orange × number of oranges) × tax",
        (apple * apples + orange * oranges) * tax,
        (apple, apples, orange, oranges, tax),
    )


def square() -> Figure:
    """(x + y)² by the chain rule: 2(x + y) (figures 5-7 and 5-8)."""
    x, y = variable(3, "x"), variable(4, "y")
    return Figure("z = (x + y)²: dz/dx = 2(x + y)", (x + y) ** 2, (x, y))


def add() -> Figure:
    """10 + 5 under a derivative of 1.3: both get 1.3 (figures 5-9 to 5-11)."""
    x, y = variable(10, "x"), variable(5, "y")
    return Figure("z = x + y: each input gets the derivative as it is", x + y, (x, y), 1.3)


def multiply() -> Figure:
    """10 × 5 under a derivative of 1.3: 6.5 and 13 (figures 5-12 and 5-13)."""
    x, y = variable(10, "x"), variable(5, "y")
    return Figure("z = x × y: each input gets the derivative times the other input", x * y, (x, y), 1.3)


def of_relu() -> Figure:
    """ReLU of [[1, -0.5], [-2, 3]] (figure 5-18)."""
    x = variable([[1.0, -0.5], [-2.0, 3.0]], "x")
    return Figure("y = max(x, 0): the derivative passes where x > 0", relu(x), (x,))


def of_sigmoid() -> Figure:
    """1 / (1 + exp(-x)) at x = 0.5, its derivative y(1 - y) (figures 5-19 to 5-22)."""
    x = variable(0.5, "x")
    return Figure("y = 1 / (1 + exp(−x)): dy/dx = y(1 − y)", sigmoid(x), (x,))


def of_affine() -> Figure:
    """X · W + B for a batch of two, dB = [5, 7, 9] (figures 5-24 to 5-27)."""
    X = variable([[0, 0], [-10, 10]], "X")
    W, B = variable([[1, 3, 5], [2, 4, 6]], "W"), variable([1, 2, 3], "B")
    return Figure("Y = X · W + B, with dY = [[1, 2, 3], [4, 5, 6]]", affine(X, W, B), (X, W, B), [[1, 2, 3], [4, 5, 6]])


def softmax() -> Figure:
    """Softmax with loss: scores 5.3 and 10.1 become 0.008 and 0.991, y - t backward (figures 5-28 to 5-30)."""
    x = variable([5.3, 3.2, 10.1], "x")
    return Figure("scores for the digits 0, 1 and 2; the label is 2: dL/dx = y − t", softmax_loss(x, [0, 0, 1]), (x,))


def network() -> Figure:
    """A small TwoLayerNet: Affine, ReLU, Affine and softmax with loss, for a batch of three (section 5.7)."""
    rng = np.random.default_rng(0)
    params = {"W1": rng.normal(0, 0.5, (4, 5)), "b1": np.zeros(5), "W2": rng.normal(0, 0.5, (5, 3)), "b2": np.zeros(3)}
    layers = {
        "Affine1": reference.Affine(params["W1"], params["b1"]),
        "Relu1": reference.Relu(),
        "Affine2": reference.Affine(params["W2"], params["b2"]),
    }
    net = SimpleNamespace(params=params, layers=layers, last_layer=reference.SoftmaxWithLoss())
    loss = from_network(net, rng.normal(0, 1, (3, 4)), np.array([0, 2, 1]))
    variables = [loss.find(name) for name in params]
    return Figure("the loss of a batch of 3, and its gradient by each parameter", loss, variables)


FIGURES: dict[str, Callable[[], Figure]] = {
    "apples": apples,
    "oranges": oranges,
    "square": square,
    "add": add,
    "multiply": multiply,
    "relu": of_relu,
    "sigmoid": of_sigmoid,
    "affine": of_affine,
    "softmax": softmax,
    "network": network,
}
