"""Values, names and words of nodes at the edges: numbers with an axis, −0, shapes of products, what Python asks."""

import copy
import re
from typing import Any

import numpy as np
import pytest

from fastbp import graph

X = graph.variable(np.arange(6.0).reshape(2, 3), "x")


@pytest.mark.parametrize("axis", [0, -1, (), None])
@pytest.mark.parametrize("function", [graph.sum, graph.mean])
def test_axes_of_a_number(function: Any, axis: Any) -> None:
    x = graph.variable(2.0)
    y = function(x, axis)
    y.backward(3)
    assert (y.value, x.grad) == (2, 3)
    with pytest.raises(np.exceptions.AxisError):
        function(x, 1)


@pytest.mark.parametrize("name", [" ", "\n", "\u200f", "\t \x07"])
def test_names_that_nobody_can_see(name: str) -> None:
    x = graph.variable(1.0, name)
    y = x * 2
    y.name = name
    assert (x.name, y.name) == ("", "")
    assert str(y).splitlines()[1].split() == ["input", "1", "1"]
    assert y.explain(x).startswith("d output / d input 1 = 2")


def test_a_divisor_whose_square_overflows() -> None:
    for size in (1e200, 1e-200, 1e300):
        x, y = graph.variable(size), graph.variable(size)
        (x / y).backward()
        assert y.grad == pytest.approx(-1 / size)
    single = graph.variable(np.array([1e-20, 1e25], np.float32))
    (np.array([1e-20, 1e20], np.float32) / single).backward()
    np.testing.assert_allclose(single.grad, [-1e20, -1e-30], rtol=1e-5)


def test_nothing_is_printed_as_minus_0() -> None:
    losses = [
        graph.softmax_loss(graph.variable([800.0, 0.0]), 0),
        graph.cross_entropy(graph.variable([1.0, 0.0]), [1, 0]),
        graph.cross_entropy(graph.variable([[1.0, 0.0]]), [0]),
    ]
    for loss in losses:
        assert np.copysign(1, loss.value) == 1
        assert "-0" not in str(loss)
    assert "-0" not in repr(graph.variable(-0.0)) + str(graph.variable(-0.0) * 1) + str(graph.variable([-0.0]) * 1)


def test_labels_are_no_variables() -> None:
    for labels in (graph.variable([0.3, 0.7]), graph.softmax(graph.variable([1.0, 2.0]))):
        for function in (graph.cross_entropy, graph.softmax_loss):
            with pytest.raises(TypeError, match="labels get no derivative"):
                function(graph.softmax(graph.variable([1.0, 2.0])), labels)
            function(graph.variable([0.5, 0.5]), labels.value).backward()
    smooth = graph.constant([1.0, 0.0]) * 0.9 + 0.05
    assert graph.cross_entropy(graph.variable([0.5, 0.5]), smooth).value == pytest.approx(np.log(2))


PRODUCTS = [((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,))]
STACKS = [
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((7, 1, 2, 3), (5, 3, 4)),
]


@pytest.mark.parametrize(("left", "right"), PRODUCTS + STACKS)
def test_the_shapes_of_a_rule_multiply(left: Any, right: Any) -> None:
    x, w = graph.variable(np.ones(left)), graph.variable(np.ones(right))
    products = [x @ w] + ([graph.dot(x, w)] if len(right) < 3 else [])
    if len(right) == 2 and len(left) < 3:
        products.append(graph.affine(x, w, 0.0))
    for product in products:
        for node, shape in ((x, left), (w, right)):
            rule = product.explain(node)
            a, b = (eval(each) for each in re.search(r"shapes (\(.*?\)) · (\(.*?\))", rule).groups())  # type: ignore[union-attr]
            made = np.matmul(np.ones(a), np.ones(b)).shape
            if made != shape:
                how = "as" if np.prod(made) == np.prod(shape) else "summed to"
                assert f"{how} {shape}" in rule


def test_a_rule_of_np_dot_with_stacks() -> None:
    x, w = graph.variable(np.ones((2, 3))), graph.variable(np.ones((4, 3, 5)))
    product = graph.dot(x, w)
    assert "dX = dY · Wᵀ, summed over the axes that dY (2, 4, 5) and W (4, 3, 5) share, to (2, 3)" in product.explain(x)
    assert "dW = Xᵀ · dY, summed over the axes that X (2, 3) and dY (2, 4, 5) share, to (4, 3, 5)" in product.explain(w)


def test_reshape_s_arguments() -> None:
    for shape in (6, np.int64(6), (6,), [6], (3, 2), np.array([3, 2]), (-1, 2)):
        expected = X.value.reshape(shape)
        assert X.reshape(shape).shape == graph.reshape(X, shape).shape == expected.shape
    assert X.reshape(np.int64(3), 2).shape == (3, 2)
    for shape in ((2.7, 2), (2.0, 3), 6.0, "6"):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            graph.reshape(X, shape)
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        X.reshape(2.7, 2)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda x: x == 220, r"node\.value == 220"),
        (lambda x: x != 2.5, r"compare its value"),
        (lambda x: x == np.float32(1), r"compare its value"),
        (lambda x: x == np.ones(2), r"compare its value"),
        (lambda x: float(x), r"take node\.value"),
        (lambda x: int(x), r"take node\.value"),
        (lambda x: x[0], r"node\.value\[0\]"),
        (lambda x: len(x), r"node\.value"),
        (lambda x: list(x), r"node\.value"),
        (lambda x: f"{x:.2f}", r"write {node\.value:\.2f}"),
    ],
)
def test_what_python_asks_of_a_number(ask: Any, message: str) -> None:
    for node in (X, graph.variable(220.0)):
        with pytest.raises(TypeError, match=message):
            ask(node)


def test_nodes_are_equal_to_themselves() -> None:
    other = graph.variable(X.value, "x")
    assert X == X
    assert X != other
    assert X != None  # noqa: E711
    assert len({X, other}) == 2
    assert [other, X].index(X) == 1
    assert f"{X}" == str(X)


def test_a_copy_has_the_same_inputs() -> None:
    x = graph.variable(3.0, "x")
    y = x * 2
    y.backward()
    other = copy.copy(y)
    other.name = "other"
    assert y.name == ""
    assert all(a is b for a, b in zip(other.inputs, y.inputs, strict=True))
    assert other.grad == 1
    assert other.explain(x).startswith("d other / d x = 2, by one path:")
    other.backward(5)
    assert (x.grad, y.grad) == (10, 1)


def test_labels_are_told_by_their_range() -> None:
    t = np.array([0, 2, 1, 1, 0, 2, 1])
    text = str(graph.softmax_loss(graph.variable(np.ones((7, 3))), t))
    line = next(line.strip() for line in text.splitlines() if line.strip().startswith("t "))
    assert line.endswith("(7,) integers, 0 to 2")
