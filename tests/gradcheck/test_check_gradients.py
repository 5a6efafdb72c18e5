"""The check of backpropagation against central differences: what it must pass, what it must find."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastbp import Affine, Relu, SoftmaxWithLoss, TwoLayerNet, check_gradients, layers, reference

NAMES = ("W1", "b1", "W2", "b2")
X = np.random.default_rng(41).standard_normal((5, 6))
T = np.array([0, 2, 1, 2, 0])


def net(cls: type[TwoLayerNet] = TwoLayerNet, **arguments: Any) -> TwoLayerNet:
    return cls(6, 4, 3, 0.5, rng=np.random.default_rng(42), **arguments)


@pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("t", [T, np.eye(3)[T], np.random.default_rng(43).random((5, 3))], ids=["index", "hot", "soft"])
def test_right_gradients_pass(namespace: Any, dtype: str, t: np.ndarray) -> None:
    report = check_gradients(net(dtype=dtype, layers=namespace), X, t)
    assert tuple(report) == NAMES
    assert report.ok, f"\n{report}"
    for name, check in report.items():
        assert check.ok
        assert check.mean_difference <= check.max_difference < 1e-8, name
        assert check.relative_error < 1e-8, name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_is_left_as_it_was(dtype: str) -> None:
    network = net(dtype=dtype)
    network.gradient(X, T)
    arrays, saved = dict(network.params), network.layers["Affine1"].x
    before = {name: array.tobytes() for name, array in arrays.items()}
    check_gradients(network, X, T)
    assert network.layers["Affine1"].x is saved
    for name, array in arrays.items():
        layer = network.layers[f"Affine{name[1]}"]
        assert network.params[name] is array is getattr(layer, name[0])
        assert array.dtype == dtype
        assert array.tobytes() == before[name]


class Planted(TwoLayerNet):
    """One element of one gradient is changed."""

    name = "W1"
    index: tuple[int, ...] = (0, 0)
    change: Callable[[float], float] = staticmethod(lambda value: value)

    def gradient(self, x: Any, t: Any) -> Any:
        gradients = super().gradient(x, t)
        gradients[self.name][self.index] = self.change(gradients[self.name][self.index])
        return gradients


def planted(name: str, index: tuple[int, ...], change: Callable[[float], float]) -> Any:
    network = net(Planted)
    network.name, network.index, network.change = name, index, change
    return network


ELEMENTS = [("W1", (5, 2)), ("W1", (0, 0)), ("b1", (3,)), ("W2", (1, 2)), ("b2", (0,))]


@pytest.mark.parametrize(("name", "index"), ELEMENTS, ids=str)
@pytest.mark.parametrize("off", [1e-4, -0.5, np.nan, np.inf, -np.inf])
def test_one_wrong_element_is_found(name: str, index: tuple[int, ...], off: float) -> None:
    network = planted(name, index, lambda value: value + off)
    report = check_gradients(network, X, T)
    assert not report.ok
    assert [key for key, check in report.items() if not check.ok] == [name]
    wrong = report[name]
    assert wrong.worst_index == index
    size = network.params[name].size
    # The nearest of three slopes counts, so that the smallest of these is measured 0.1 % too small.
    assert wrong.max_difference == pytest.approx(abs(off), rel=3e-3, nan_ok=True)
    assert wrong.mean_difference == pytest.approx(abs(off) / size, rel=3e-3, nan_ok=True)
    assert not wrong.relative_error < 1e-5


def test_relative_error_is_that_of_the_norms() -> None:
    right = net().gradient(X, T)["W2"]
    report = check_gradients(planted("W2", (1, 1), lambda value: value + 0.3), X, T)
    wrong = right.copy()
    wrong[1, 1] += 0.3
    assert report["W2"].relative_error == pytest.approx(0.3 / (np.linalg.norm(right) + np.linalg.norm(wrong)), rel=1e-6)


class DoutIgnored(layers.Affine):
    def backward(self, dout: Any) -> Any:
        return super().backward(np.ones_like(dout))


class BiasAveraged(layers.Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = self.db / len(dout)
        return dx


class ReluUpsideDown(layers.Relu):
    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, dout, 0)


class LossTwice(layers.SoftmaxWithLoss):
    def backward(self, dout: Any = 1) -> Any:
        return 2 * super().backward(dout)


@pytest.mark.parametrize(
    ("mistake", "found"),
    [
        ({"Affine": DoutIgnored}, NAMES),
        ({"Affine": BiasAveraged}, ("b1", "b2")),
        ({"Relu": ReluUpsideDown}, ("W1", "b1")),
        ({"SoftmaxWithLoss": LossTwice}, NAMES),
    ],
    ids=["dout ignored", "bias averaged", "relu upside down", "loss twice"],
)
def test_wrong_layers_are_found(mistake: dict[str, Any], found: tuple[str, ...]) -> None:
    namespace = SimpleNamespace(**(vars(layers) | mistake))
    report = check_gradients(net(layers=namespace), X, T)
    assert tuple(name for name, check in report.items() if not check.ok) == found, f"\n{report}"


NEAR_A_KINK = [3e-5, -3e-5, 9e-5, 3e-6, -3e-6, 3e-7, -3e-7, 0.0]


def near_a_kink(distance: float, network: Any = None) -> Any:
    """One pre-activation of the hidden layer, of 20, is this near to 0."""
    network = network or net()
    before = X[2] @ network.params["W1"] + network.params["b1"]
    network.params["b1"][1] += distance - before[1]
    after = network.layers["Affine1"].forward(X)[2, 1]
    network.params["b1"][1] -= after - distance  # the last rounding errors
    return network


@pytest.mark.parametrize("distance", NEAR_A_KINK)
def test_kinks_are_no_mistakes(distance: float) -> None:
    network = near_a_kink(distance)
    assert network.layers["Affine1"].forward(X)[2, 1] == pytest.approx(distance, abs=1e-15)
    report = check_gradients(network, X, T)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize("distance", NEAR_A_KINK)
@pytest.mark.parametrize("index", [(0, 1), (3, 2)])
def test_mistakes_near_a_kink_are_found(distance: float, index: tuple[int, int]) -> None:
    report = check_gradients(near_a_kink(distance, planted("W1", index, lambda value: value + 1e-4)), X, T)
    assert [name for name, check in report.items() if not check.ok] == ["W1"], f"\n{report}"
    assert report["W1"].worst_index == index


def test_blank_samples_stand_on_every_kink() -> None:
    x = X.copy()
    x[1:3] = 0  # with biases of 0 all their pre-activations are exactly 0
    report = check_gradients(net(), x, T)
    assert report.ok, f"\n{report}"


def test_the_books_loss_passes() -> None:
    network = net()
    network.last_layer = SoftmaxWithLoss(eps=1e-7)
    report = check_gradients(network, X, T)
    assert report.ok, f"\n{report}"
    assert report["b2"].max_difference > 10 * check_gradients(net(), X, T)["b2"].max_difference


def test_prints_as_a_table() -> None:
    report = check_gradients(planted("W2", (3, 1), lambda value: value + 1), X, T)
    heading, *rows, wrong, seconds = str(report).splitlines()
    assert heading.split() == ["mean", "|diff|", "max", "|diff|", "relative", "worst", "at", "verdict"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [
        ("W1", "ok"),
        ("b1", "ok"),
        ("W2", "wrong"),
        ("b2", "ok"),
    ]
    assert f"{report['W2'].mean_difference:.2e}" in rows[2]
    assert "1.00e+00" in rows[2]
    assert "(3, 1)" in rows[2]
    assert wrong == "wrong (1 of 12 in W2): the gradient is not that of the loss"
    assert seconds.startswith("numerical ")
    assert report.numerical_seconds > report.backprop_seconds > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_no_layer_holds_is_named(name: str) -> None:
    network = net()
    layer = network.layers[f"Affine{name[1]}"]
    setattr(layer, name[0], getattr(layer, name[0]).copy())
    with pytest.raises(ValueError, match=rf"no layer holds params\['{name}'\]"):
        check_gradients(network, X, T)


def test_a_gradient_of_another_shape_is_refused() -> None:
    class Row(TwoLayerNet):
        def gradient(self, x: Any, t: Any) -> Any:
            gradients = super().gradient(x, t)
            return gradients | {"b1": gradients["b1"][None]}

    with pytest.raises(ValueError, match=r"must have its parameter's shape, \(4,\), got \(1, 4\)"):
        check_gradients(net(Row), X, T)


class Scale:
    """A layer with a parameter without axes, and without a __dict__."""

    __slots__ = ("backward_factor", "dfactor", "factor", "x")

    def __init__(self, factor: np.ndarray, backward_factor: float = 1.0) -> None:
        self.factor = factor
        self.backward_factor = backward_factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.factor

    def backward(self, dout: Any) -> Any:
        self.dfactor = np.sum(dout * self.x) * self.backward_factor
        return dout * self.factor


class Slotted:
    """A layer without a __dict__."""

    __slots__ = ()

    def forward(self, x: Any) -> Any:
        return x + 0.5

    def backward(self, dout: Any) -> Any:
        return dout * 1


class ListNet:
    """Keeps its layers in a list, as the book's chapter 8 does."""

    def __init__(self, backward_factor: float = 1.0) -> None:
        rng = np.random.default_rng(44)
        self.params = {"W": rng.standard_normal((6, 3)), "b": rng.standard_normal(3), "factor": np.array(1.7)}
        scale = Scale(self.params["factor"], backward_factor)
        self.layers = [Affine(self.params["W"], self.params["b"]), Relu(), Slotted(), scale]
        self.last_layer = SoftmaxWithLoss()

    def loss(self, x: Any, t: Any) -> float:
        for layer in self.layers:
            x = layer.forward(x)
        return self.last_layer.forward(x, t)

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return {"W": self.layers[0].dW, "b": self.layers[0].db, "factor": self.layers[3].dfactor}


@pytest.mark.parametrize(("factor", "found"), [(1.0, []), (1.01, ["factor"])])
def test_a_list_of_layers_and_a_parameter_without_axes(factor: float, found: list[str]) -> None:
    report = check_gradients(ListNet(factor), X, T)
    assert [name for name, check in report.items() if not check.ok] == found, f"\n{report}"
    assert report["factor"].worst_index == ()


@pytest.mark.parametrize(
    ("x", "error", "message"), [(X[:0], ValueError, "x is empty"), (X + 0j, TypeError, "x must hold real numbers")]
)
def test_check_gradients_refuses(x: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_gradients(net(), x, T)


def test_x_and_t_are_not_changed() -> None:
    x, t = X.copy(), T.copy()
    check_gradients(net(), x, t)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, T)


@pytest.mark.parametrize("kept", [None, 3, [6, 4, 3]], ids=str)
def test_a_network_without_layers(kept: Any) -> None:
    """As in the book's chapter 4, it computes with its parameters."""

    class Line:
        def __init__(self) -> None:
            self.params = {"W": np.arange(6.0), "b": np.array(0.5)}
            self.layers = kept

        def loss(self, x: Any, t: Any) -> float:
            return float(0.5 * np.sum((x @ self.params["W"] + self.params["b"] - t) ** 2))

        def gradient(self, x: Any, t: Any) -> Any:
            error = x @ self.params["W"] + self.params["b"] - t
            return {"W": x.T @ error, "b": np.sum(error) * (1.0 if kept is None else 1.01)}

    report = check_gradients(Line(), X, T)
    assert [name for name, check in report.items() if not check.ok] == ([] if kept is None else ["b"])
