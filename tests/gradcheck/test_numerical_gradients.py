"""The fast central differences of a network against a call of its loss for each: the same, wherever they are taken."""

from typing import Any

import numpy as np
import pytest
from chains import COMPILES, chain
from nets import LABELS, NAMES, T, X, net

import fastbp
from fastbp import TwoLayerNet, gradient, layers, reference
from fastbp.chain import NotCompilable
from fastbp.gradcheck import chain_losses, numerical_gradients
from fastbp.gradcheck.chain_losses import ChainLosses
from fastbp.gradcheck.losses import NetworkLosses, gradient_of, losses_of

compiles = pytest.mark.skipif(not COMPILES, reason="as Python, kernels are too slow for these")

# Of two losses of about 1, each summed in an order of its own, divided by 2e-4.
TOLERANCE = 1e-10


class Summed:
    """Any chain of layers, with the loss of one."""

    def __init__(self, kinds: str, widths: tuple[int, ...], decay: float = 0.0, **arguments: Any) -> None:
        vars(self).update(vars(chain(kinds, widths, decay=decay, **arguments)))
        self.decay = decay

    def predict(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        squares = 0
        for name, parameter in self.params.items():
            if name.startswith("W"):
                squares = squares + np.sum(parameter**2)
        return self.last_layer.forward(self.predict(x), t) + 0.5 * self.decay * squares


def agree(network: Any, x: Any, t: Any, tolerance: float = TOLERANCE) -> None:
    losses = losses_of(NetworkLosses(network, x, t))
    assert isinstance(losses, ChainLosses)
    slow = NetworkLosses(network, x, t)
    for name, parameter in network.params.items():
        expected = gradient.numerical_gradient(lambda _: network.loss(x, t), parameter)
        for which in (losses, slow):
            np.testing.assert_allclose(gradient_of(which, name), expected, rtol=1e-9, atol=tolerance, err_msg=name)


CHAINS = [
    ("A", (6, 3)),
    ("AR", (6, 3)),
    ("RA", (6, 3)),
    ("SRA", (6, 3)),
    ("ARA", (6, 4, 3)),
    ("ASA", (6, 1, 3)),
    ("AA", (6, 5, 3)),
    ("ARSARA", (6, 5, 7, 3)),
    ("AARASARS", (6, 5, 7, 4, 3)),
]


@compiles
@pytest.mark.parametrize(("kinds", "widths"), CHAINS, ids=lambda value: str(value))
@pytest.mark.parametrize("chunk", [1, 40, chain_losses.CHUNK])
def test_any_chain(kinds: str, widths: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_losses, "CHUNK", chunk)
    agree(Summed(kinds, widths), X, T)


@compiles
@pytest.mark.parametrize("eps", [0.0, 1e-7, 1e-3])
@pytest.mark.parametrize("t", LABELS.values(), ids=LABELS)
def test_any_labels(t: Any, eps: float) -> None:
    agree(Summed("ARA", (6, 4, 3), eps=eps), X, t)


@compiles
@pytest.mark.parametrize("decay", [0.01, 7.0])
def test_weight_decay(decay: float) -> None:
    agree(Summed("ARASA", (6, 4, 5, 3), decay), X, T, decay * TOLERANCE * 100)
    agree(net(weight_decay_lambda=decay), X, T, decay * TOLERANCE * 100)


@compiles
@pytest.mark.parametrize(("x", "t"), [(X[0], 2), (X[0], np.eye(3)[1]), (X.reshape(5, 2, 3), T), (X[:1], T[:1])])
def test_forms_of_samples(x: Any, t: Any) -> None:
    agree(net(), x, t)


@compiles
def test_blank_features_and_dead_units() -> None:
    x = np.where(np.arange(6) % 2, X, 0.0)
    network = net()
    network.params["b1"][:2] = -100
    agree(network, x, T)
    found = numerical_gradients(network, x, T)
    assert not found["W1"][::2].any()
    assert not found["W1"][:, :2].any()


@compiles
def test_scores_far_apart() -> None:
    """Where a step of 1e-4 moves scores by hundreds, and the loss with them."""
    network = Summed("ARA", (6, 4, 3))
    network.params["W2"] *= 1e6
    for name in ("W1", "W2", "b2"):
        expected = gradient.numerical_gradient(lambda _: network.loss(X, T), network.params[name])
        np.testing.assert_allclose(numerical_gradients(network, X, T)[name], expected, rtol=1e-6, atol=1e-4)


@compiles
def test_the_loss_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NetworkLosses, "at", None)
    assert numerical_gradients(net(), X, T).keys() == set(NAMES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_the_class(dtype: str) -> None:
    """In float64, whatever the network's dtype is; backpropagation agrees with it to its own precision."""
    network = net(dtype=dtype)
    before = {name: array.copy() for name, array in network.params.items()}
    got, expected = network.numerical_gradient(X, T), network.gradient(X, T)
    for name in NAMES:
        assert got[name].dtype == np.float64
        np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=1e-8 if dtype == "float64" else 1e-6)
        assert network.params[name].tobytes() == before[name].tobytes()


# Where it must not stand in


class HalfTheLoss(TwoLayerNet):
    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) / 2


class Clipped(TwoLayerNet):
    def predict(self, x: Any) -> Any:
        return np.minimum(super().predict(x), 0.2)


class Doubling(layers.Relu):
    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


def with_doubling() -> TwoLayerNet:
    network = net()
    network.layers["Relu1"] = Doubling()
    return network


def of_class(cls: type[TwoLayerNet]) -> TwoLayerNet:
    return cls(6, 4, 3, 0.5, rng=np.random.default_rng(62))


def with_a_flag() -> TwoLayerNet:
    network = net()
    network.layers["Affine1"].forward = lambda x: reference.Affine(*list(network.params.values())[:2]).forward(x) + 1
    return network


@pytest.mark.parametrize(
    "make",
    [
        lambda: of_class(HalfTheLoss),
        lambda: of_class(Clipped),
        with_doubling,
        with_a_flag,
        lambda: net(layers=reference),
    ],
    ids=["loss", "predict", "layer", "forward of an object", "oracle"],
)
def test_what_is_not_proved_is_asked(make: Any) -> None:
    network = make()
    assert isinstance(losses_of(NetworkLosses(network, X, T)), NetworkLosses)
    got = numerical_gradients(network, X, T)
    for name, parameter in network.params.items():
        expected = gradient.numerical_gradient(lambda _: network.loss(X, T), parameter)
        np.testing.assert_allclose(got[name], expected, rtol=1e-9, atol=TOLERANCE, err_msg=name)
    plain = numerical_gradients(net(), X, T)
    same = all(np.allclose(got[name], plain[name], atol=1e-6) for name in NAMES)
    assert same == (network.layers["Affine1"].__class__ is reference.Affine)


@compiles
def test_a_class_that_changes_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network = net()
    assert isinstance(losses_of(NetworkLosses(network, X, T)), ChainLosses)
    monkeypatch.setattr(fastbp.Relu, "forward", Doubling.forward)
    assert isinstance(losses_of(NetworkLosses(network, X, T)), NetworkLosses)


def test_tied_weights_are_asked() -> None:
    W, c = np.random.default_rng(64).standard_normal((3, 3)), np.zeros(3)
    network: Any = Summed("ASA", (3, 3, 3))
    network.params = {"W": W, "b": network.params["b1"], "c": c}
    network.layers[0].W, network.layers[2].W, network.layers[2].b = W, W, c
    x, t = X[:, :3], T
    assert isinstance(losses_of(NetworkLosses(network, x, t)), NetworkLosses)
    expected = gradient.numerical_gradient(lambda _: network.loss(x, t), W)
    np.testing.assert_allclose(numerical_gradients(network, x, t)["W"], expected, atol=TOLERANCE)


@compiles
def test_a_loss_that_is_not_finite_is_asked() -> None:
    network = net()
    network.params["W1"][0, 0] = np.nan
    with pytest.raises(NotCompilable, match="not finite"):
        ChainLosses(network, X, T)
    assert isinstance(losses_of(NetworkLosses(network, X, T)), NetworkLosses)
