"""Computational graphs and the chain rule (the book's chapter 5), in NumPy.

apple, number, tax = graph.variable(100, "apple"), graph.variable(2, "number"), graph.variable(1.1, "tax")
price = apple * number * tax
price.backward()
apple.grad                   # 2.2
print(price)                 # values forward, derivatives backward
print(price.explain(apple))  # the chain rule, step by step
price.save("apples.svg")     # needs the extra `plot`
"""

from typing import Any

from fastbp.graph import composites as _composites
from fastbp.graph import functions as _functions
from fastbp.graph import matrices as _matrices
from fastbp.graph.layers import node
from fastbp.graph.network import from_network
from fastbp.graph.node import Node, apply, constant, variable
from fastbp.provided import provide

# Without sum: `from fastbp.graph import *` would replace Python's own.
__all__ = [
    "Node",
    "affine",
    "constant",
    "cross_entropy",
    "dot",
    "exp",
    "from_network",
    "log",
    "mean",
    "node",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "softmax_loss",
    "transpose",
    "variable",
]

# What a node shows of its graph, which it doesn't know.
provide("explanation", "fastbp.graph.explain", "explanation")
provide("opened graph", "fastbp.graph.opening", "opened")
provide("table of a graph", "fastbp.graph.text", "table")
provide("picture in a file", "fastbp.graph.picture", "save")
provide("picture in a notebook", "fastbp.graph.picture", "for_notebook")
provide("text in a notebook", "fastbp.graph.picture", "instead_of_picture")
provide("copy of a graph", "fastbp.graph.copies", "deep_copy")
provide("pickle of a graph", "fastbp.graph.copies", "reduced")


def exp(x: Any) -> Node:
    """e to the power of each element."""
    return apply(_functions.Exp(), x)


def log(x: Any) -> Node:
    """The natural logarithm of each element: −inf at 0 and NaN below it, as NumPy has them."""
    return apply(_functions.Log(), x)


def relu(x: Any) -> Node:
    """max(x, 0) of each element; NaN passes (the book's section 5.5.1)."""
    return apply(_functions.Relu(), x)


def sigmoid(x: Any) -> Node:
    """1 / (1 + exp(−x)) of each element (the book's section 5.5.2)."""
    return apply(_composites.Sigmoid(), x)


def sum(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Node:
    """The sum, as np.sum takes it."""
    return apply(_matrices.Sum(axis, keepdims), x)


def mean(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Node:
    """The mean, as np.mean takes it."""
    return apply(_matrices.Mean(axis, keepdims), x)


def reshape(x: Any, shape: int | tuple[int, ...]) -> Node:
    """The elements in another shape, as np.reshape. ValueError when the elements don't fill the shape."""
    return apply(_matrices.Reshape(shape), x)


def transpose(x: Any) -> Node:
    """The axes in reverse order, as np.transpose."""
    return apply(_matrices.Transpose(), x)


def dot(x: Any, y: Any) -> Node:
    """The product of np.dot, for arrays of one dimension or more. ValueError for shapes that don't fit."""
    return apply(_matrices.Dot(), x, y)


def affine(x: Any, W: Any, b: Any) -> Node:
    """x · W + b for x (D,), (N, D), or (N, ...) with D numbers a sample, W (D, M), b (M,) or a number (section 5.6).

    ValueError for shapes that don't fit.
    """
    return apply(_composites.Affine(), x, W, b)


def softmax(x: Any) -> Node:
    """exp(x) / Σ exp(x) along the last axis, for scores of any shape but () (the book's section 3.5)."""
    return apply(_composites.Softmax(), x)


def cross_entropy(y: Any, t: Any) -> Node:
    """−Σ t·log(y) / N for probabilities y of shape (N, C) or (C,), where N is 1 (the book's section 4.2, without 1e-7).

    Labels t are class indices (N,), or probabilities in the shape of y; they get no derivative. A class that isn't
    meant costs nothing, even where y is 0. ValueError for shapes that don't fit and an index that is no class.
    """
    return apply(_composites.CrossEntropy(), y, _composites.labels_as_node(t))


def softmax_loss(x: Any, t: Any) -> Node:
    """The cross-entropy of softmax(x), the mean over the batch; its derivative is (y − t) / N (section 5.6.3).

    Scores x have shape (N, C) or (C,); labels as in `cross_entropy`.
    """
    return apply(_composites.SoftmaxLoss(), x, _composites.labels_as_node(t))
