"""Nodes of computational graphs: what they are, what they take, what they refuse."""

import builtins
import copy
import gc
import pickle
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from processes import python

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


# Mistakes ------------------------------------------------------------------------------------------------------------

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


# Many nodes ----------------------------------------------------------------------------------------------------------


def chain(length: int) -> tuple[graph.Node, graph.Node]:
    x = graph.variable(1.0, "x")
    y = x
    for _ in range(length):
        y = y * 1.00001
    return x, y


def test_a_chain_of_100_000_nodes() -> None:
    x, y = chain(100_000)
    y.backward()
    assert x.grad == y.value == pytest.approx(np.exp(1), rel=1e-4)
    assert "99,961 nodes in between are left out" in str(y)
    assert len(str(y).splitlines()) == 42
    told = y.explain(x)
    assert "99,980 factors are left out" in told
    assert f"= {y.value!r}" in told
    del x, y
    gc.collect()


def test_copies_of_a_long_chain() -> None:
    _, y = chain(10_000)
    for other in (copy.deepcopy(y), pickle.loads(pickle.dumps(y)), y.opened()):
        assert other.value == y.value
        other.backward()
        assert len(str(other).splitlines()) == 42


def test_time_is_linear() -> None:
    """100 times the nodes take less than 1,000 times as long; quadratic would be 10,000."""

    def seconds(length: int) -> float:
        _, y = chain(length)
        begun = time.process_time()
        y.backward()
        return time.process_time() - begun

    assert min(seconds(20_000) for _ in range(2)) < 1000 * np.median([seconds(200) for _ in range(20)])


def test_paths_don_t_cost_time() -> None:
    x = graph.variable(1.0, "x")
    y = x
    for _ in range(300):
        y = y + y
    y.backward()
    assert x.grad == 2.0**300
    assert "the sum over more than 1e18 paths; the first 20 are written out" in y.explain(x)


def test_copies_share_what_their_graphs_share() -> None:
    x = graph.variable(3.0, "x")
    y, z = x * 2, x * 5
    y.backward()
    x2, y2, z2 = copy.deepcopy((x, y, z))
    assert y2.inputs[0] is x2 is z2.inputs[0] is not x
    assert (x2.grad, x2.op, str(y2)) == (2, "variable", str(y))
    z2.backward()
    assert (x2.grad, x.grad) == (5, 2)
    again = pickle.loads(pickle.dumps(y))
    assert str(again) == str(y)
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(graph.variable(A))).value[0] = 0


def test_public_names() -> None:
    assert set(graph.__all__) & set(dir(builtins)) == set()
    for name in graph.__all__:
        assert (getattr(graph, name).__doc__ or "").strip(), name


def test_numba_is_not_imported() -> None:
    code = """
        import sys, numpy as np
        from fastbp import graph
        x = graph.variable(np.ones((2, 3)), "x")
        loss = graph.softmax_loss(graph.affine(x, np.ones((3, 2)), 0), [0, 1])
        loss.backward(); str(loss); loss.explain(x); loss.opened()
        print(sorted({"numba", "llvmlite", "matplotlib", "fast_sugiyama", "typer"} & set(sys.modules)))
    """
    assert python(code) == "[]\n"
