"""What a gradient check says of kinks and of losses too coarse for its step: fast and slow differences alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastbp import TwoLayerNet, check_gradients, layers, reference
from fastbp.gradcheck import Verdict

X = np.random.default_rng(41).standard_normal((5, 6))
T = np.array([0, 2, 1, 2, 0])
NAMES = ("W1", "b1", "W2", "b2")
both = pytest.mark.parametrize("namespace", [layers, reference], ids=["fast", "slow"])


def net(cls: type[TwoLayerNet] = TwoLayerNet, **arguments: Any) -> Any:
    return cls(6, 4, 3, 0.5, rng=np.random.default_rng(42), **arguments)


class Planted(TwoLayerNet):
    """One element of one gradient is changed."""

    name, index = "W1", (0, 1)
    change: Callable[[Any], Any] = staticmethod(lambda value: value + 1e-3)

    def gradient(self, x: Any, t: Any) -> Any:
        gradients = super().gradient(x, t)
        gradients[self.name][self.index] = self.change(gradients[self.name][self.index])
        return gradients


def at_a_distance(network: Any, distance: float) -> Any:
    """One pre-activation of the hidden layer, of sample 2 and unit 1, this far from 0."""
    network.params["b1"][1] += distance - (X[2] @ network.params["W1"] + network.params["b1"])[1]
    network.params["b1"][1] -= network.layers["Affine1"].forward(X)[2, 1] - distance
    return network


def verdicts(report: Any) -> dict[str, str]:
    return {name: str(check.verdict) for name, check in report.items()}


@both
@pytest.mark.parametrize("distance", [3e-5, -3e-5, 3e-6, -3e-6, 3e-7, -3e-7, 0.0])
def test_an_activation_that_changes_sign_within_the_step(namespace: Any, distance: float) -> None:
    report = check_gradients(at_a_distance(net(layers=namespace), distance), X, T)
    assert verdicts(report) == {"W1": "kink", "b1": "kink", "W2": "ok", "b2": "ok"}, f"\n{report}"
    assert report.ok
    # The step of W1[i, 1] moves that activation by the step times x[2, i].
    crossing = np.abs(X[2]) * 1e-4 > abs(distance)
    np.testing.assert_array_equal(report["W1"].verdicts[:, 1] == "kink", crossing)
    assert set(report["W1"].verdicts[:, [0, 2, 3]].ravel()) == {"ok"}
    assert report["b1"].verdicts.tolist() == ["ok", "kink", "ok", "ok"]
    assert report["b1"].count("kink") == report["b1"].count(Verdict.KINK) == 1
    assert report["b1"].max_difference < 1e-7


@both
def test_beside_the_step_there_is_no_kink(namespace: Any) -> None:
    report = check_gradients(at_a_distance(net(layers=namespace), 4e-4), X, T)
    assert set(verdicts(report).values()) == {"ok"}


@both
@pytest.mark.parametrize("distance", [3e-5, 3e-7, 0.0])
def test_a_mistake_at_a_kink_is_one(namespace: Any, distance: float) -> None:
    report = check_gradients(at_a_distance(net(Planted, layers=namespace), distance), X, T)
    assert verdicts(report) == {"W1": "wrong", "b1": "kink", "W2": "ok", "b2": "ok"}, f"\n{report}"
    assert (report["W1"].worst_index, report["W1"].count("wrong")) == ((0, 1), 1)
    # Without the layers held to their side, the nearest of three slopes counts.
    assert report["W1"].max_difference == pytest.approx(1e-3, rel=1e-3 if namespace is layers else 0.8)
    assert not report.ok


@both
@pytest.mark.parametrize("zeros", [("W1",), NAMES])
def test_weights_of_zero(namespace: Any, zeros: tuple[str, ...]) -> None:
    """All samples stand on all kinks, and with either step some of them switch on: no slope is the gradient."""
    network = net(layers=namespace)
    for name in zeros:
        network.params[name][...] = 0
    report = check_gradients(network, X, T)
    assert report.ok, f"\n{report}"
    expected = "kink" if zeros == ("W1",) else "ok"
    assert verdicts(report) == {"W1": expected, "b1": expected, "W2": "ok", "b2": "ok"}


def test_a_mistake_at_many_kinks_is_found_with_the_layers_held() -> None:
    network = net(Planted)
    network.params["W1"][...] = 0
    report = check_gradients(network, X, T)
    assert verdicts(report) == {"W1": "wrong", "b1": "kink", "W2": "ok", "b2": "ok"}, f"\n{report}"
    assert report["W1"].count("wrong") == 1


@both
def test_a_batch_of_one_on_a_kink(namespace: Any) -> None:
    """As where batch normalization makes a batch of one exactly 0 before its ReLU."""
    network = net(layers=namespace)
    network.params["W1"][...] = 0
    report = check_gradients(network, np.abs(X[:1]), T[:1])
    assert verdicts(report) == {"W1": "kink", "b1": "kink", "W2": "ok", "b2": "ok"}


class Absolute:
    """A layer with a kink that nothing tells of."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.abs(x)

    def backward(self, dout: Any) -> Any:
        return dout * np.sign(self.x + 1e-300)


@pytest.mark.parametrize("distance", [3e-6, 3e-7, 0.0])
def test_a_kink_that_nothing_tells_of(distance: float) -> None:
    network = at_a_distance(net(), distance)
    network.layers["Relu1"] = Absolute()
    report = check_gradients(network, X, T)
    assert report.ok, f"\n{report}"


# Rounding


class Coarse(Planted):
    """Its loss is computed as `rounded` says."""

    change = staticmethod(lambda value: value)
    rounded: Callable[[Any], Any] = staticmethod(np.float32)

    def loss(self, x: Any, t: Any) -> Any:
        return self.rounded(super().loss(x, t))

    def loss_and_gradient(self, x: Any, t: Any) -> Any:
        self.last_layer.forward(self.predict(x), t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return None, {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


COARSE = {
    "float32": np.float32,
    "a large constant": lambda loss: loss + 1e8,
    "float32 inside": lambda loss: np.float32(loss) + np.float64(1e-3),
}


@pytest.mark.parametrize("rounded", COARSE.values(), ids=COARSE)
def test_a_loss_too_coarse_for_the_step(rounded: Callable[[Any], Any]) -> None:
    network = net(Coarse)
    network.rounded = rounded
    report = check_gradients(network, X, T)
    assert set(verdicts(report).values()) == {"rounding"}, f"\n{report}"
    assert not report.ok
    assert "no verdict" in str(report)


@pytest.mark.parametrize("rounded", COARSE.values(), ids=COARSE)
def test_what_rounding_does_not_explain_is_wrong(rounded: Callable[[Any], Any]) -> None:
    network = net(Coarse)
    network.rounded, network.change = rounded, lambda value: value + 1
    report = check_gradients(network, X, T)
    assert verdicts(report)["W1"] == "wrong"
    assert report["W1"].worst_index == (0, 1)
    assert report["W1"].count("wrong") == 1


def test_a_parameter_too_large_for_the_step() -> None:
    """Beside 1e13 there is no number a step of 1e-4 away."""

    class Line:
        def __init__(self) -> None:
            self.params = {"w": np.array([1e13, 3.0])}

        def loss(self, x: Any, t: Any) -> float:
            return float(self.params["w"] @ [1e-13, 2.0])

        def gradient(self, x: Any, t: Any) -> Any:
            return {"w": np.array([1e-13, 2.0])}

    report = check_gradients(Line(), X, T)
    assert report["w"].verdicts.tolist() == ["rounding", "ok"]


@both
def test_a_gradient_that_is_wrong_everywhere(namespace: Any) -> None:
    class Twice(TwoLayerNet):
        def gradient(self, x: Any, t: Any) -> Any:
            return {name: 2 * gradient for name, gradient in super().gradient(x, t).items()}

    report = check_gradients(net(Twice, layers=namespace), X, T)
    assert set(verdicts(report).values()) == {"wrong"}
    for check in report.values():
        assert check.count("wrong") == check.verdicts.size


@both
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_wrong(namespace: Any, value: float) -> None:
    network = net(Planted, layers=namespace)
    network.change = lambda _: value
    report = check_gradients(network, X, T)
    assert report["W1"].verdicts[0, 1] == "wrong"
    assert report["W1"].count("wrong") == 1


def test_prints_what_the_verdicts_mean() -> None:
    text = str(check_gradients(at_a_distance(net(), 0.0), X, T))
    assert "kink (6 of 24 in W1, 1 of 4 in b1): an activation changes sign within the step" in text
    assert "wrong" not in text
    assert "rounding" not in text
