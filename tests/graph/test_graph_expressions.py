"""Random expressions: gradients against central differences, and against the same graph with its nodes opened."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastbp import graph
from fastbp.graph import arithmetic, composites, matrices
from fastbp.graph.engine import in_order

Node = graph.Node
SHAPES = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (2, 1, 3), (1, 1)]


def one_input(data: st.DataObject, x: Node) -> Callable[[Node], Node]:
    """A function of one node that stays smooth and of moderate size around x."""
    choices: list[Callable[[Node], Node]] = [
        lambda x: graph.sigmoid(x),
        lambda x: graph.log(x**2 + 1),
        lambda x: graph.exp(0.3 * graph.sigmoid(x)),
        lambda x: -x,
        lambda x: 1 / (x * x + 1.5),
        lambda x: 2 ** (0.1 * graph.sigmoid(x)),
        lambda x: (x**2 + 1) ** 0.5,
        lambda x: np.float64(0.5) * x - 1,
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x.T,
        lambda x: x.reshape(-1),
    ]
    if np.all(np.abs(x.value) > 1e-2):  # away from the kink
        choices.append(graph.relu)
    if x.shape:
        axis, keepdims = data.draw(st.integers(-len(x.shape), len(x.shape) - 1)), data.draw(st.booleans())
        choices += [lambda x: x.sum(axis, keepdims), lambda x: x.mean(axis, keepdims), graph.softmax]
    if len(x.shape) in (1, 2):
        labels = np.arange(len(x.value)) % x.shape[-1] if len(x.shape) == 2 else 0
        choices += [lambda x: graph.softmax_loss(x, labels), lambda x: graph.cross_entropy(graph.softmax(x), labels)]
        W, b = np.linspace(-1, 1, x.shape[-1] * 2).reshape(-1, 2), np.array([0.5, -0.5])
        choices += [lambda x: graph.affine(x, W, b), lambda x: x @ W]
    return data.draw(st.sampled_from(choices))


def two_inputs(data: st.DataObject, x: Node, y: Node) -> Callable[[Node, Node], Node]:
    """A function of two nodes that fit each other, else of their sums."""
    choices: list[Callable[[Node, Node], Node]] = [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * graph.sigmoid(y),
        lambda x, y: x / (y * y + 1.5),
        lambda x, y: (x * x + 1) ** (0.2 * graph.sigmoid(y)),
    ]
    try:
        shape = np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        shape = None
    if shape is None or len(shape) > 3:
        return lambda x, y: x.sum() + y.mean()
    if x.shape and y.shape and x.shape[-1] == y.shape[-2 if len(y.shape) > 1 else 0]:
        choices += [lambda x, y: graph.dot(x, y) * 0.3]
        if len(x.shape) <= 2 or len(y.shape) <= 2:
            choices += [lambda x, y: (x @ y) * 0.3]
    return data.draw(st.sampled_from(choices))


@st.composite
def programs(draw: Any) -> tuple[list[Any], Callable[[list[Any]], tuple[list[Node], Node]]]:
    """(Values of the variables, a function that builds the graph of such values)."""
    data = draw(st.data())
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    values = [rng.uniform(-2, 2, shape) for shape in draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))]
    nodes = [graph.variable(value) for value in values]
    steps: list[Callable[[list[Node]], Node]] = []
    for _ in range(draw(st.integers(1, 30))):
        last = len(nodes) - 1
        i = draw(st.integers(max(0, last - 2), last))
        if draw(st.booleans()):
            j, first = draw(st.integers(0, last)), draw(st.booleans())
            i, j = (i, j) if first else (j, i)
            two = two_inputs(data, nodes[i], nodes[j])
            steps.append(lambda nodes, two=two, i=i, j=j: two(nodes[i], nodes[j]))
        else:
            one = one_input(data, nodes[i])
            steps.append(lambda nodes, one=one, i=i: one(nodes[i]))
        if np.max(np.abs(steps[-1](nodes).value)) > 20:
            large = steps.pop()
            steps.append(lambda nodes, large=large: large(nodes) * 0.01)
        nodes.append(steps[-1](nodes))

    def build(values: list[Any]) -> tuple[list[Node], Node]:
        variables = [graph.variable(value) for value in values]
        nodes = list(variables)
        for step in steps:
            nodes.append(step(nodes))
        return variables, nodes[-1]

    return values, build


SLOW = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def agrees_with_central_differences(program: Any, seed: int) -> None:
    values, build = program
    rng = np.random.default_rng(seed)
    variables, root = build(values)
    dout = rng.uniform(0.5, 1.5, root.shape)
    root.backward(dout)
    h = 1e-5
    for i, variable in enumerate(variables):
        assert (variable.grad is None) == (variable not in in_order(root))
        if variable.grad is None:
            continue
        assert np.shape(variable.grad) == variable.shape
        direction = rng.uniform(-1, 1, variable.shape)
        up, down = (
            build([value + sign * h * direction if k == i else value for k, value in enumerate(values)])[1].value
            for sign in (1, -1)
        )
        numerical = np.sum(dout * (up - down)) / (2 * h)
        analytical = np.sum(variable.grad * direction)
        scale = max(1.0, abs(analytical), float(np.sum(np.abs(root.value))))
        assert abs(numerical - analytical) < 1e-6 * scale, (i, numerical, analytical)


test_gradients_against_central_differences = SLOW(
    given(programs(), st.integers(0, 1000))(agrees_with_central_differences)
)


@SLOW
@given(programs())
def test_opened_is_the_same(program: Any) -> None:
    values, build = program
    variables, root = build(values)
    root.backward()
    closed = [variable.grad for variable in variables]
    opened = root.opened()
    np.testing.assert_allclose(opened.value, root.value, rtol=1e-12, atol=1e-13)
    names = {node.op for node in in_order(opened)}
    assert not names & {"sigmoid", "softmax", "mean", "affine", "cross entropy", "softmax with loss"}
    opened.backward()
    for variable, before in zip(variables, closed, strict=True):
        assert (variable.grad is None) == (before is None)
        if before is not None:
            scale = max(1.0, float(np.max(np.abs(before))))
            np.testing.assert_allclose(variable.grad, before, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("operation", [arithmetic.Add, arithmetic.Divide, matrices.Sum, composites.Softmax])
def test_a_wrong_derivative_is_found(operation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by a thousandth, and the comparison above fails."""
    right = operation.gradients

    def wrong(self: Any, *arguments: Any) -> Any:
        return [None if each is None else each * 1.001 for each in right(self, *arguments)]

    monkeypatch.setattr(operation, "gradients", wrong)
    check = settings(SLOW, phases=[Phase.generate])(
        given(programs(), st.integers(0, 1000))(agrees_with_central_differences)
    )
    with pytest.raises(AssertionError):
        check()
