"""The numbers that the book, and readers' notes on its chapters 4 and 5, print."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mnist_real import REAL, real_data

from fastbp import (
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    check_gradients,
    datasets,
    gradient_descent,
    layers,
    numerical_diff,
    reference,
)

both = pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])


def as_printed(*numbers: Any) -> str:
    """The numbers to their last digit."""
    return " ".join(repr(number) for number in numbers)


@both
def test_apples(namespace: Any) -> None:
    apples, tax = namespace.MulLayer(), namespace.MulLayer()
    price = tax.forward(apples.forward(100, 2), 1.1)
    assert as_printed(price) == "220.00000000000003"
    d_apples, d_tax = tax.backward(1)
    assert as_printed(*apples.backward(d_apples), d_tax) == "2.2 110.00000000000001 200"


@both
def test_apples_and_oranges(namespace: Any) -> None:
    apples, oranges, tax = (namespace.MulLayer() for _ in range(3))
    fruit = namespace.AddLayer()
    price = tax.forward(fruit.forward(apples.forward(100, 2), oranges.forward(150, 3)), 1.1)
    assert as_printed(price) == "715.0000000000001"
    d_fruit, d_tax = tax.backward(1)
    d_apples, d_oranges = fruit.backward(d_fruit)
    d_apple, d_apple_count = apples.backward(d_apples)
    numbers = as_printed(d_apple_count, d_apple, *oranges.backward(d_oranges), d_tax)
    assert numbers == "110.00000000000001 2.2 3.3000000000000003 165.0 650"


@both
def test_bias_gradient(namespace: Any) -> None:
    affine = namespace.Affine(np.random.default_rng(1).standard_normal((2, 3)), np.array([1, 2, 3]))
    affine.forward(np.array([[0, 0], [10, 10]]))
    affine.backward(np.array([[1, 2, 3], [4, 5, 6]]))
    np.testing.assert_array_equal(affine.db, [5, 7, 9])


@both
def test_relu_mask(namespace: Any) -> None:
    relu = namespace.Relu()
    relu.forward(np.array([[1.0, -0.5], [-2.0, 3.0]]))
    np.testing.assert_array_equal(relu.mask, [[False, True], [True, False]])


def test_gradient_descent() -> None:
    x, _ = gradient_descent(lambda x: x[0] ** 2 + x[1] ** 2, np.array([-3.0, 4.0]), lr=0.1, step_num=100)
    assert str(x) == "[-6.11110793e-10  8.14814391e-10]"


@pytest.mark.parametrize(
    ("f", "x", "printed"),
    [
        (lambda x: x * x + 4.0**2, 3.0, "6.00000000000378"),
        (lambda x: 3.0**2 + x * x, 4.0, "7.999999999999119"),
    ],
)
def test_numerical_diff(f: Callable[[float], float], x: float, printed: str) -> None:
    assert as_printed(numerical_diff(f, x)) == printed


# Chapter 5 on MNIST


@pytest.fixture(scope="module")
def mnist() -> Any:
    return datasets.load_mnist(REAL, one_hot_label=True)


@real_data
def test_gradient_check_with_the_books_loss(mnist: Any) -> None:
    (x, t), _ = mnist
    network = TwoLayerNet(784, 50, 10, rng=np.random.default_rng(0))
    network.last_layer = SoftmaxWithLoss(eps=1e-7)
    report = check_gradients(network, x[:3], t[:3])
    assert report.ok, f"\n{report}"
    # To within a factor of two: the weights are random.
    for name, mean in {"W1": 4e-10, "b1": 2.6e-9, "W2": 6e-9, "b2": 1.4e-7}.items():
        assert mean / 2 < report[name].mean_difference < mean * 2, f"{name}\n{report}"


@real_data
def test_gradient_check_with_the_exact_loss(mnist: Any) -> None:
    (x, t), _ = mnist
    network = TwoLayerNet(784, 50, 10, rng=np.random.default_rng(0))
    del network.params["W1"]  # with it this would take ten times as long
    report = check_gradients(network, x[:3], t[:3])
    for name, mean in {"b1": 2.6e-9, "W2": 6e-9, "b2": 1.4e-7}.items():
        assert report[name].mean_difference < mean / 100, f"{name}\n{report}"


@real_data
@pytest.mark.full
def test_training(mnist: Any) -> None:
    (x_train, t_train), (x_test, t_test) = mnist
    network = TwoLayerNet(784, 50, 10, rng=np.random.default_rng(0))
    trainer = Trainer(
        network,
        x_train,
        t_train,
        x_test,
        t_test,
        epochs=17,
        optimizer_param={"lr": 0.1},
        verbose=False,
        rng=np.random.default_rng(1),
        sampling="choice",
    )
    trainer.train()
    assert len(trainer.train_loss_list) == 17 * 600
    assert trainer.train_acc_list[-1] > 0.975
    assert trainer.test_acc_list[-1] >= 0.965
    assert trainer.train_acc_list[0] > 0.85
    assert len(trainer.test_acc_list) == 17
