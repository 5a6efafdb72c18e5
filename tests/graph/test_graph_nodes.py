"""Nodes of computational graphs: what they are, and what they take."""

import gc
from typing import Any

import numpy as np
import pytest

from fastbp import graph

A = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])


def test_a_node() -> None:
    x, y = graph.variable(3, "x"), graph.variable(4)
    z = x * y
    assert (z.value, z.op, z.name, z.inputs, z.grad) == (12.0, "×", "", (x, y), None)
    assert (x.op, x.inputs, x.name, x.grad) == ("variable", (), "x", None)
    assert type(z.value) is float
    z.backward()
    assert (z.grad, x.grad, y.grad) == (1.0, 4.0, 3.0)
    assert all(type(each.grad) is float for each in (x, y, z))
    z.name = "area"
    assert repr(z) == "<graph.Node × 'area': 12, grad 1>"
    assert repr(graph.variable(A, "A")) == "<graph.Node variable 'A': array (2, 3) float64>"
    assert "\n" not in repr(graph.variable(A, "two\nlines"))


OPERATORS = {
    "+": lambda x, y: x + y,
    "−": lambda x, y: x - y,
    "×": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
}


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize(
    "other", [2.5, 3, np.float64(2.5), np.float32(2.5), np.int64(3), True, A[0] ** 2, A**2, (A**2).astype(np.float32)]
)
def test_numbers_and_arrays_on_either_side(op: str, other: Any) -> None:
    function, x = OPERATORS[op], graph.variable(np.abs(A))
    for node, expected in (
        (function(x, other), function(np.abs(A), np.asarray(other, np.float64))),
        (function(other, x), function(np.asarray(other, np.float64), np.abs(A))),
    ):
        assert isinstance(node, graph.Node)
        assert node.op[: len(op)] == op
        np.testing.assert_allclose(node.value, expected, rtol=1e-15)
        node.backward()
        assert x.grad.shape == A.shape


def test_matrix_product_of_an_array_and_a_node() -> None:
    x = graph.variable(A)
    assert [(A.T @ x).op, (x @ A.T).op] == ["dot", "dot"]
    np.testing.assert_array_equal((A.T @ x).value, A.T @ A)


@pytest.mark.parametrize(
    ("left", "right"), [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4))]
)
def test_dot_and_its_operator_agree(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, W = graph.variable(rng.normal(size=left)), graph.variable(rng.normal(size=right))
    results = []
    for node in (graph.dot(x, W), x.dot(W), x @ W):
        node.backward(rng.normal(size=node.shape) if not results else results[0][0])
        results.append((node.grad, node.value, x.grad, W.grad))
    for result in results[1:]:
        for ours, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-13)
    np.testing.assert_allclose(results[0][1], np.dot(x.value, W.value))


def test_dot_of_more_dimensions() -> None:
    rng = np.random.default_rng(0)
    a, b, dout = rng.normal(size=(2, 3)), rng.normal(size=(4, 3, 5)), rng.normal(size=(2, 4, 5))
    x, W = graph.variable(a), graph.variable(b)
    graph.dot(x, W).backward(dout)
    np.testing.assert_allclose(x.grad, np.einsum("ijm,jdm->id", dout, b))
    np.testing.assert_allclose(W.grad, np.einsum("ijm,id->jdm", dout, a))
    stack = rng.normal(size=(4, 2, 3))
    y = graph.variable(stack)
    (y @ W).backward()
    np.testing.assert_allclose(y.grad, np.matmul(np.ones((4, 2, 5)), b.swapaxes(1, 2)))


def test_dtypes() -> None:
    single = graph.variable(A.astype(np.float32))
    for node in (
        single * 2,
        1 / single,
        single**2,
        graph.sigmoid(single),
        graph.softmax(single),
        single.T,
        single / 3.1,
    ):
        assert node.value.dtype == np.float32, node.op
        node.backward()
        assert single.grad.dtype == np.float32, node.op
    assert (single * graph.variable(A)).value.dtype == np.float64
    (single * graph.variable(A)).backward()
    assert single.grad.dtype == np.float32
    assert graph.variable(np.array([1, 2])).value.dtype == np.float64
    assert graph.variable(np.array([1.0], np.float16)).value.dtype == np.float32
    assert type(single.sum().value) is float


def test_broadcasting_is_summed_back() -> None:
    x, b, s = graph.variable(A), graph.variable([[1.0], [2.0]]), graph.variable(3.0)
    (x * b + s).backward()
    np.testing.assert_array_equal(b.grad, A.sum(1, keepdims=True))
    np.testing.assert_array_equal(s.grad, 6)
    np.testing.assert_array_equal(x.grad, np.broadcast_to([[1.0], [2.0]], A.shape))


def test_nan_and_infinity_are_numpy_s() -> None:
    x = graph.variable([0.0, -1.0, np.nan, np.inf])
    with np.errstate(all="ignore"):
        for node, expected in (
            (graph.log(x), np.log(x.value)),
            (1 / x, 1 / x.value),
            (x / x, x.value / x.value),
            (x**0.5, x.value**0.5),
            (graph.exp(x * 1000), np.exp(x.value * 1000)),
            (graph.relu(x), np.where(x.value <= 0, 0, x.value)),
        ):
            np.testing.assert_array_equal(node.value, expected)
            node.backward()
    zero = graph.variable(0.0)
    inverse = 1 / zero
    inverse.backward()
    assert (inverse.value, zero.grad) == (np.inf, -np.inf)
    assert np.isnan(graph.log(graph.variable(-1)).value)
    assert np.isnan((graph.variable(-8) ** (1 / 3)).value)
    power = zero**0
    power.backward()
    assert (power.value, zero.grad) == (1.0, 0.0)
    far = graph.variable([-800.0, 800.0])
    np.testing.assert_array_equal(graph.sigmoid(far).value, [0, 1])
    np.testing.assert_array_equal(graph.softmax(far).value, [0, 1])
    loss = graph.softmax_loss(far, 0)
    assert loss.value == 1600
    assert graph.cross_entropy(graph.softmax(far), 1).value == 0
    assert graph.cross_entropy(graph.softmax(far), 0).value == np.inf


# Backward ------------------------------------------------------------------------------------------------------------


def test_a_value_used_twice_sums_its_derivatives() -> None:
    x = graph.variable(3.0)
    (x * x + x).backward()
    assert x.grad == 7
    (x + x + x).backward()
    assert x.grad == 3


def test_each_backward_replaces_what_is_below() -> None:
    x, y = graph.variable(3.0), graph.variable(5.0)
    middle = x * y
    top = middle + 1
    top.backward()
    top.backward()
    assert (x.grad, middle.grad) == (5, 1)
    middle.backward(10)
    assert (x.grad, middle.grad, top.grad) == (50, 10, 1)
    (x + 2).backward()
    assert (x.grad, y.grad) == (1, 30)


def test_a_graph_shows_its_own_derivatives() -> None:
    x = graph.variable(3.0, "x")
    ours, other = x * x + x, x * 100
    assert "←" not in str(ours)
    ours.backward()
    shown = str(ours)
    assert "7 = 3 + 3 + 1" in shown
    other.backward()
    assert x.grad == 100
    assert str(ours) == shown
    ours.inputs[0].backward(10)  # now its derivatives are of another backward, and are not shown as ours
    assert [line.split()[-1] for line in str(ours).splitlines()[1:]] == ["3", "1", "1"]


def test_dout_of_backward() -> None:
    x = graph.variable(A)
    y = x * 2
    y.backward()
    np.testing.assert_array_equal(x.grad, np.full(A.shape, 2.0))
    y.backward(3)
    np.testing.assert_array_equal(x.grad, np.full(A.shape, 6.0))
    y.backward(A)
    np.testing.assert_array_equal(x.grad, 2 * A)
    with pytest.raises(ValueError, match=r"dout must be a number or have the shape of the node, \(2, 3\), got \(3,\)"):
        y.backward([1, 2, 3])
    with pytest.raises(TypeError, match="dout must be a number"):
        y.backward("1")
    np.testing.assert_array_equal(x.grad, 2 * A)  # a refused call has changed nothing


def test_a_variable_is_its_own_graph() -> None:
    x = graph.variable(3, "x")
    x.backward(2)
    assert x.grad == 2
    assert "x" in str(x)


def test_find() -> None:
    x, y = graph.variable(3.0, "x"), graph.variable(1.0, "y")
    z = x * y
    assert z.find("x") is x
    with pytest.raises(ValueError, match="no node is named 'w'; the names in this graph: x, y"):
        z.find("w")
    with pytest.raises(ValueError, match="2 nodes are named 'x'"):
        (z + graph.variable(3.0, "x")).find("x")


def test_graph_outlives_its_variables() -> None:
    def made() -> graph.Node:
        x = graph.variable(3.0, "x")
        return graph.exp(x * x)

    node = made()
    gc.collect()
    node.backward()
    assert node.inputs[0].inputs[0].grad == pytest.approx(6 * np.exp(9))


# Values stay what they are -------------------------------------------------------------------------------------------


def test_what_is_written_into_an_array_later_changes_no_graph() -> None:
    values = A.copy()
    x = graph.variable(values)
    y = x * values
    values[:] = 0
    y.backward()
    np.testing.assert_array_equal(y.value, A * A)
    np.testing.assert_array_equal(x.grad, A)
    assert graph.variable(values.reshape(3, 2)).value.base is not values


def test_values_and_gradients_are_read_only() -> None:
    x = graph.variable(A)
    y = x + 1
    y.backward()
    for array in (x.value, y.value, x.grad, y.grad, y.T.value, y.reshape(6).value):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    with pytest.raises(AttributeError, match=r"compute the graph anew, with graph\.variable"):
        x.value = 3
    with pytest.raises(AttributeError):
        x.grad = None
