"""What nodes of computational graphs refuse: errors that say what to write instead."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fastbp import graph

A = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])

X, V = graph.variable(A, "X"), graph.variable(2.0)
MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "np.exp": (lambda: np.exp(V), TypeError, r"np.exp takes no nodes: write graph\.exp\(x\)"),
    "np.log": (lambda: np.log(X), TypeError, r"write graph\.log\(x\)"),
    "np.sum": (lambda: np.sum(X), TypeError, r"write graph\.sum\(x\)"),
    "np.dot": (lambda: np.dot(A.T, X), TypeError, r"write graph\.dot\(x\)"),
    "np.maximum": (lambda: np.maximum(X, 0), TypeError, r"write graph\.relu\(x\)"),
    "np.tanh": (lambda: np.tanh(X), TypeError, r"nothing like it: take node\.value"),
    "np.array": (lambda: np.array(X), TypeError, r"a node is no array: take node\.value"),
    "np.add.reduce": (lambda: np.add.reduce(X), TypeError, "np.add takes no nodes"),
    "if": (lambda: bool(V), TypeError, r"write `if node\.value > 0:`"),
    "<": (lambda: V < 3, TypeError, r"compare their values, as in `node\.value > 0`"),
    "shapes": (lambda: X + np.ones(2), ValueError, r"\+: shapes \(2, 3\) and \(2,\) don't fit"),
    "shapes of dot": (lambda: X @ A, ValueError, r"dot: shapes \(2, 3\) and \(2, 3\) don't fit"),
    "dot of numbers": (lambda: graph.dot(V, X), ValueError, r"write x \* W"),
    "reshape": (lambda: X.reshape(4), ValueError, r"\(2, 3\) has 6 elements, which don't make one of shape \(4,\)"),
    "affine W": (lambda: graph.affine(X, A, 0), ValueError, r"affine: x of shape \(2, 3\) doesn't have the 2 features"),
    "affine b": (
        lambda: graph.affine(X, A.T, np.ones(3)),
        ValueError,
        r"affine: W must have shape .* got \(3, 2\) and",
    ),
    "axis": (lambda: X.sum(5), ValueError, "axis 5 is out of bounds"),
    "text": (lambda: V + "a", TypeError, "an operand must be a number or an array of numbers, got str"),
    "None": (lambda: V * None, TypeError, "got NoneType"),
    "complex": (lambda: V * 1j, TypeError, "real numbers"),
    "object": (lambda: V + object(), TypeError, "real numbers"),
    "empty": (lambda: graph.variable([]), ValueError, "empty"),
    "ragged": (lambda: graph.variable([[1], [1, 2]]), ValueError, "inhomogeneous"),
    "a node as a variable": (lambda: graph.variable(V), TypeError, r"it is a node already"),
    "nodes in a list": (lambda: graph.variable([V, V]), TypeError, r"take node\.value"),
    "name": (lambda: graph.variable(1, 5), TypeError, "name of a node must be a str, got int"),
    "masked": (lambda: graph.variable(np.ma.array([1.0], mask=[True])), TypeError, "masked"),
    "label": (lambda: graph.softmax_loss(X, [0, 3]), ValueError, r"t\[1\] is 3, but the 3 classes are 0 to 2"),
    "label as a variable": (
        lambda: graph.softmax_loss(X, graph.variable([0, 1])),
        TypeError,
        r"give t\.value",
    ),
    "labels": (lambda: graph.cross_entropy(X, [0, 1, 2]), ValueError, r"t must have shape \(2,\) \(class indices\)"),
    "softmax of a number": (lambda: graph.softmax(V), ValueError, r"got a number"),
    "scores of 3 dimensions": (
        lambda: graph.softmax_loss(np.ones((1, 2, 3)), [0]),
        ValueError,
        "scores must have shape",
    ),
    "in place": (lambda: np.add(A, V, out=A.copy()), TypeError, r"write `a = a \+ node` instead of `a \+= node`"),
    "explain a number": (lambda: V.explain(3), TypeError, "explain takes a node of the graph, got int"),
    "explain another": (lambda: V.explain(X), ValueError, "doesn't depend on 'X'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case: str) -> None:
    action, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        action()


def test_fractions_are_exponents_only() -> None:
    assert (V ** Fraction(1, 2)).value == 2**0.5
    with pytest.raises(TypeError):
        V * Fraction(1, 2)


def test_labels_in_every_form() -> None:
    scores = graph.variable(A)
    forms = [[0, 2], np.array([0, 2], np.uint8), np.array([[0], [2]]), np.eye(3)[[0, 2]], np.eye(3, dtype=int)[[0, 2]]]
    losses = [graph.softmax_loss(scores, t) for t in forms]
    assert len({loss.value for loss in losses}) == 1
    soft = graph.softmax_loss(scores, np.full((2, 3), 0.2))
    soft.backward()
    np.testing.assert_allclose(scores.grad, (graph.softmax(scores).value * 0.6 - 0.2) / 2)
    assert graph.softmax_loss(A[0], 1).value == graph.softmax_loss(A[0], np.array([1])).value
