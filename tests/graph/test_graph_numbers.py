"""The numbers of readers' notes on the book's chapters 4 and 5, found in computational graphs to the last digit."""

from typing import Any

import numpy as np
import pytest

from fastbp import graph, numerical_diff


def as_printed(*numbers: Any) -> str:
    return " ".join(repr(number) for number in numbers)


def test_apples() -> None:
    apple, number, tax = graph.variable(100, "apple"), graph.variable(2, "number"), graph.variable(1.1, "tax")
    apples = apple * number
    price = apples * tax
    price.backward()
    assert as_printed(price.value) == "220.00000000000003"
    assert as_printed(apple.grad, number.grad, tax.grad) == "2.2 110.00000000000001 200.0"
    assert (price.grad, apples.grad) == (1, 1.1)
    assert str(price).splitlines()[-1].split() == ["(2)", "(1)", "×", "tax", "220.00000000000003", "1"]
    assert str(price).splitlines()[4].split() == ["tax", "1.1", "200"]


def test_apples_and_oranges() -> None:
    names = ("apple", "apples", "orange", "oranges", "tax")
    variables = [graph.variable(value, name) for value, name in zip((100, 2, 150, 3, 1.1), names, strict=True)]
    apple, apples, orange, oranges, tax = variables
    all_fruit = apple * apples + orange * oranges
    price = all_fruit * tax
    price.backward()
    assert as_printed(price.value, all_fruit.value) == "715.0000000000001 650.0"
    grads = as_printed(apples.grad, apple.grad, orange.grad, oranges.grad, tax.grad)
    assert grads == "110.00000000000001 2.2 3.3000000000000003 165.0 650.0"
    assert [line.split()[-1] for line in str(price).splitlines()[1:]] == [
        *("2.2", "110.00000000000001", "1.1", "3.3000000000000003", "165", "1.1", "1.1", "650", "1")
    ]


class MulLayer:
    """As the book's readers write it."""

    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Any) -> Any:
        return dout * self.y, dout * self.x


class AddLayer:
    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, dout: Any) -> Any:
        return dout * 1, dout * 1


def test_apples_and_oranges_by_layers() -> None:
    apple, apples, orange, oranges, tax = (graph.variable(value) for value in (100, 2, 150, 3, 1.1))
    apple_price, orange_price = graph.node(MulLayer(), apple, apples), graph.node(MulLayer(), orange, oranges)
    price = graph.node(MulLayer(), graph.node(AddLayer(), apple_price, orange_price), tax)
    price.backward()
    assert as_printed(price.value) == "715.0000000000001"
    grads = as_printed(apples.grad, apple.grad, orange.grad, oranges.grad, tax.grad)
    assert grads == "110.00000000000001 2.2 3.3000000000000003 165.0 650.0"
    opened = price.opened()
    assert {node.op for node in (opened, *opened.inputs)} == {"×", "+", "variable"}


@pytest.mark.parametrize(("x", "y"), [(3, 4), (0.1, 0.7), (-2, 5)])
def test_square(x: float, y: float) -> None:
    a, b = graph.variable(x), graph.variable(y)
    z = (a + b) ** 2
    z.backward()
    assert z.op == "**2"
    assert a.grad == b.grad == 2 * (x + y)
    assert z.inputs[0].grad == 2 * (x + y)


def test_add_and_multiply_under_a_derivative() -> None:
    x, y = graph.variable(10), graph.variable(5)
    (x + y).backward(1.3)
    assert (x.grad, y.grad) == (1.3, 1.3)
    (x * y).backward(1.3)
    assert (x.grad, y.grad) == (6.5, 13.0)


def test_relu() -> None:
    x = graph.variable([[1.0, -0.5], [-2.0, 3.0]])
    y = graph.relu(x)
    y.backward()
    np.testing.assert_array_equal(y.value, [[1, 0], [0, 3]])
    np.testing.assert_array_equal(x.grad, [[1, 0], [0, 1]])


@pytest.mark.parametrize("x", [1.0, 0.0, -3.3, 25.0])
def test_sigmoid_in_four_steps(x: float) -> None:
    variable = graph.variable(x)
    closed = graph.sigmoid(variable)
    closed.backward()
    y, expected = closed.value, variable.grad
    opened = closed.opened()
    opened.backward()
    assert opened.value == y
    assert expected == y * (1 - y)
    assert variable.grad == pytest.approx(expected, rel=1e-14)
    divide, plus = opened, opened.inputs[0]
    exp = plus.inputs[0]
    times = exp.inputs[0]
    assert [node.op for node in (divide, plus, exp, times)] == ["/", "+", "exp", "×"]
    assert [node.value for node in (times.inputs[0], plus.inputs[1])] == [-1, 1]
    assert plus.grad == -(y**2)  # 1/y: minus the output squared
    assert exp.grad == plus.grad  # +: as it is
    assert times.grad == exp.grad * exp.value  # exp: its own output
    assert variable.grad == times.grad * -1


def test_a_row_times_a_matrix() -> None:
    X, W, B = graph.variable([1, 2], "X"), graph.variable([[1, 3, 5], [2, 4, 6]], "W"), graph.variable([1, 2, 3], "B")
    XW = graph.dot(X, W)
    Y = XW + B
    assert (X.shape, W.shape, B.shape, Y.shape) == ((2,), (2, 3), (3,), (3,))
    np.testing.assert_array_equal(XW.value, [5, 11, 17])
    Y.backward([1, 10, 100])
    np.testing.assert_array_equal(X.grad, W.value @ [1, 10, 100])
    np.testing.assert_array_equal(W.grad, np.outer([1, 2], [1, 10, 100]))
    np.testing.assert_array_equal(B.grad, [1, 10, 100])
    np.testing.assert_array_equal(graph.affine(X, W, B).value, Y.value)


def test_dot_of_a_vector() -> None:
    column, number = graph.dot([1, 2], [[1], [2]]), graph.dot([1, 2], [1, 2])
    assert (column.shape, column.value.tolist()) == ((1,), [5])
    assert (number.shape, number.value) == ((), 5)


def test_bias_of_a_batch() -> None:
    X, W = graph.variable([[0, 0], [-10, 10]]), graph.variable([[1, 3, 5], [2, 4, 6]])
    B = graph.variable([1, 2, 3])
    XW = graph.dot(X, W)
    np.testing.assert_array_equal(XW.value, [[0, 0, 0], [10, 10, 10]])
    for Y in (XW + B, graph.affine(X, W, B)):
        np.testing.assert_array_equal(Y.value, [[1, 2, 3], [11, 12, 13]])
        Y.backward([[1, 2, 3], [4, 5, 6]])
        np.testing.assert_array_equal(B.grad, [5, 7, 9])


def test_scores_become_probabilities() -> None:
    """The figure with a picture of a digit: scores 5.3 and 10.1 become 0.008 and 0.991."""
    x = graph.variable([5.3, 3.2, 10.1])
    y = graph.softmax(x)
    assert [round(each, 3) for each in y.value.tolist()] == [0.008, 0.001, 0.991]
    loss = graph.softmax_loss(x, [0, 0, 1])
    loss.backward()
    np.testing.assert_allclose(x.grad, y.value - [0, 0, 1], rtol=1e-13)


def test_softmax_with_loss_of_the_book() -> None:
    x = graph.variable(np.log([0.3, 0.2, 0.5]))
    loss = graph.softmax_loss(x, [0, 1, 0])
    for each in (loss, loss.opened()):
        each.backward()
        np.testing.assert_allclose(x.grad, [0.3, -0.8, 0.5], rtol=1e-13)


def test_weights_of_simplenet() -> None:
    """dW = xᵀ · (y − t): the gradients that a note prints belong to the same y."""
    printed = np.array([[0.05311223, 0.48115629, -0.53426851], [0.07966834, 0.72173443, -0.80140277]])
    y = printed[0] / 0.6 + [0, 0, 1]
    x, W = graph.variable([0.6, 0.9]), graph.variable(np.outer([0.6, 0.9], np.log(y)) / (0.6**2 + 0.9**2))
    loss = graph.softmax_loss(graph.dot(x, W), np.array([0, 0, 1]))
    loss.backward()
    np.testing.assert_allclose(W.grad, printed, atol=1.5e-8)
    loss.opened().backward()
    np.testing.assert_allclose(W.grad, printed, atol=1.5e-8)


def test_cross_entropy_of_a_table() -> None:
    assert graph.cross_entropy([0.59, 0.26, 0.15], [1, 0, 0]).value == -np.log(0.59)


def test_sum_of_squares() -> None:
    x = graph.variable([3.0, 4.0])
    (x**2).sum().backward()
    np.testing.assert_array_equal(x.grad, [6, 8])
    for value, printed in ((3.0, "6.00000000000378"), (4.0, "7.999999999999119")):
        rest = 25 - value**2
        assert repr(numerical_diff(lambda v, rest=rest: graph.variable(v).value ** 2 + rest, value)) == printed
    o, t = graph.variable([0.1, 0.05, 0.6, 0, 0.05, 0.1, 0, 0.1, 0, 0]), np.eye(10)[2]
    assert (((t - o) ** 2).sum() / 2).value == pytest.approx(0.0975)


def test_gradient_descent() -> None:
    x = np.array([-3.0, 4.0])
    for _ in range(100):
        node = graph.variable(x)
        (node**2).sum().backward()
        x = x - 0.1 * node.grad
    assert str(x) == "[-6.11110793e-10  8.14814391e-10]"


def test_swapped_inputs_of_a_product() -> None:
    x, y = graph.variable(7.0), graph.variable(0.3)
    (x * y).backward()
    assert (x.grad, y.grad) == (0.3, 7.0)
