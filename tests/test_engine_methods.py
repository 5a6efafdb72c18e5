"""Networks with methods of their own: in compiled code where those do what the layers do, else by the methods."""

import copy
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, data
from checks import close
from nets import same_bits

import fastbp
from fastbp import SGD, Affine, Relu, SoftmaxWithLoss, Trainer, TwoLayerNet
from fastbp.engine import CompiledStep, LayerStep

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

X, T = data(40, 6, 3)
ORDER = np.random.default_rng(5).integers(0, 40, (6, 8))


class BookNet:
    """A network as the book's readers have it, with a method for everything; `decay` as in its chapter 6."""

    def __init__(self, decay: float = 0.0, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.weight_decay_lambda = decay
        self.params = {"W1": rng.standard_normal((6, 5)), "b1": rng.standard_normal(5)}
        self.params |= {"W2": rng.standard_normal((5, 3)), "b2": rng.standard_normal(3)}
        self.layers: Any = OrderedDict()
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        decay = sum(0.5 * self.weight_decay_lambda * np.sum(self.params[name] ** 2) for name in ("W1", "W2"))
        return self.lastLayer.forward(self.predict(x), t) + decay

    def accuracy(self, x: Any, t: Any) -> float:
        return float(np.mean(np.argmax(self.predict(x), axis=1) == t))

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        decay = self.weight_decay_lambda
        return {
            "W1": first.dW + decay * first.W,
            "b1": first.db,
            "W2": second.dW + decay * second.W,
            "b2": second.db,
        }


class ByAttributes(BookNet):
    """The layers are also attributes, which its methods use."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.second = self.layers.values()
        self.blocks = ((self.first, self.relu), [self.second])

    def predict(self, x: Any) -> Any:
        for block in self.blocks:
            for layer in block:
                x = layer.forward(x)
        return x


class ByKind(BookNet):
    """It asks what its layers are."""

    def gradient(self, x: Any, t: Any) -> Any:
        super().gradient(x, t)
        affine = [layer for layer in self.layers.values() if isinstance(layer, Affine)]
        assert [type(layer).__name__ for layer in self.layers.values()] == ["Affine", "Relu", "Affine"]
        return {f"{key}{n}": getattr(layer, f"d{key}") for n, layer in enumerate(affine, 1) for key in "Wb"}


class Locked(BookNet):
    """No hash, and a lock, which can't be copied."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __eq__(self, other: object) -> bool:
        return self is other


class Clipped(BookNet):
    """Gradients of a norm above 5 are scaled down: small samples don't show it."""

    def gradient(self, x: Any, t: Any) -> Any:
        gradients = super().gradient(x, t)
        norm = sum(float(np.sum(gradient**2)) for gradient in gradients.values()) ** 0.5
        return {name: gradient * min(1.0, 5 / norm) for name, gradient in gradients.items()}


class Decayed(BookNet):
    """A weight decay under another name."""

    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) + 0.05 * float(np.sum(self.params["W1"] ** 2))

    def gradient(self, x: Any, t: Any) -> Any:
        gradients = super().gradient(x, t)
        return gradients | {"W1": gradients["W1"] + 0.1 * self.params["W1"]}


class Scaled(BookNet):
    def predict(self, x: Any) -> Any:
        return super().predict(x / 255)


class Frozen(BookNet):
    def gradient(self, x: Any, t: Any) -> Any:
        return super().gradient(x, t) | {"b1": np.zeros(5)}


class Noisy(BookNet):
    def predict(self, x: Any) -> Any:
        return super().predict(x + np.random.randn(*x.shape))


class Cutting(BookNet):
    """It takes one-hot labels alone."""

    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t[:, :])


class OwnLoss(TwoLayerNet):
    def __init__(self) -> None:
        super().__init__(6, 5, 3, 0.5, rng=np.random.default_rng(8))

    def loss(self, x: Any, t: Any) -> Any:
        return 2 * super().loss(x, t)


class OwnGradient(OwnLoss):
    loss = TwoLayerNet.loss

    def gradient(self, x: Any, t: Any) -> Any:
        return {name: 0.5 * gradient for name, gradient in super().gradient(x, t).items()}


class Logged(OwnLoss):
    """It does what its class does, and more."""

    def loss(self, x: Any, t: Any) -> Any:
        return TwoLayerNet.loss(self, x, t)


SAME: dict[str, Callable[[], Any]] = {
    "the book's": BookNet,
    "with decay": lambda: BookNet(0.1),
    "layers in attributes": ByAttributes,
    "asks what they are": ByKind,
    "a lock": Locked,
    "calls its class": Logged,
    "zeros": lambda: emptied(BookNet()),
}
OTHER: dict[str, tuple[Callable[[], Any], str]] = {
    "clipped": (Clipped, "Clipped has a gradient of its own, which does not compute what the layers do"),
    "decay": (Decayed, "Decayed has a loss of its own, which"),
    "scaled samples": (Scaled, "Scaled has a loss of its own, which"),
    "frozen": (Frozen, "Frozen has a gradient of its own, which"),
    "noise": (Noisy, "Noisy has a loss of its own, which"),
    "other labels": (Cutting, "Cutting has a loss of its own, which can't be tried: too many indices"),
    "loss of a subclass": (OwnLoss, "OwnLoss has a loss of its own, which"),
    "gradient of a subclass": (OwnGradient, "OwnGradient has a gradient of its own, which"),
    "method of an object": (lambda: with_method(BookNet()), "^BookNet has a gradient of its own$"),
}


def emptied(network: Any) -> Any:
    for array in network.params.values():
        array[...] = 0
    return network


def with_method(network: Any) -> Any:
    original = network.gradient
    network.gradient = lambda x, t: {name: 3 * gradient for name, gradient in original(x, t).items()}
    return network


def by_hand(network: Any, x: Any, t: Any) -> list[float]:
    losses = []
    for batch in ORDER:
        gradients = network.gradient(x[batch], t[batch])
        losses.append(float(network.loss(x[batch], t[batch])))
        SGD(0.1).update(network.params, gradients)
    return losses


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_methods_that_do_what_the_layers_do_are_compiled(make: Any) -> None:
    network, expected = make(), make()
    state, before = np.random.get_state()[1].copy(), copy.deepcopy(network.params)
    step = fastbp.compile(network, SGD(0.1), strict=True)
    assert isinstance(step, CompiledStep)
    same_bits(network.params, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert all(getattr(layer, "x", None) is None for layer in network.layers.values())  # tried on a copy
    close(step.run(X, T, ORDER), by_hand(expected, X, T), 1e-12, "losses")
    for name, array in network.params.items():
        close(array, expected.params[name], 1e-12, name)
    for _ in range(2):
        np.testing.assert_array_equal(fastbp.predict(network, X), network.predict(X))


@pytest.mark.parametrize(("make", "reason"), OTHER.values(), ids=OTHER)
def test_methods_that_do_something_else_take_the_steps(make: Any, reason: str) -> None:
    labels = np.eye(3)[T] if make is Cutting else T
    step, expected = fastbp.compile(make(), SGD(0.1)), make()
    assert isinstance(step, LayerStep)
    with pytest.raises(fastbp.NotCompilable, match=reason) as raised:
        fastbp.compile(make(), SGD(0.1), strict=True)
    assert step.reason == str(raised.value)
    np.random.seed(3)
    losses = step.run(X, labels, ORDER)
    np.random.seed(3)
    np.testing.assert_array_equal(losses, by_hand(expected, X, labels))
    same_bits(step.network.params, expected.params)


@pytest.mark.parametrize("make", [Clipped, Decayed, Scaled, Frozen, OwnLoss, OwnGradient])
def test_the_trainer_takes_them_too(make: Any) -> None:
    network, expected = make(), make()
    loop = Trainer(network, X, T, X, T, 2, 8, SGD(0.1), verbose=False, rng=np.random.default_rng(6))
    assert loop.runs.startswith(f"layer by layer: {make.__name__} has a ")
    loop.train()
    losses = by_epochs(expected, 2)
    assert loop.train_loss_list == losses
    same_bits(network.params, expected.params)


def by_epochs(network: Any, epochs: int) -> list[float]:
    """What a trainer with this seed does."""
    rng, losses = np.random.default_rng(6), []
    for _ in range(epochs):
        for batch in rng.permutation(40).reshape(5, 8):
            gradients = network.gradient(X[batch], T[batch])
            losses.append(float(network.loss(X[batch], T[batch])))
            SGD(0.1).update(network.params, gradients)
    return losses


def test_the_trainer_compiles_the_books_network() -> None:
    network, expected = BookNet(), BookNet()
    loop = Trainer(network, X, T, X, T, 3, 8, SGD(0.1), verbose=False, rng=np.random.default_rng(6))
    assert loop.runs == "compiled loop"
    loop.train()
    close(loop.train_loss_list, by_epochs(expected, 3), 1e-12, "losses")
    close(network.params["W1"], expected.params["W1"], 1e-12, "W1")
    assert loop.test_acc_list[-1] == network.accuracy(X, T)


def test_predict_is_the_networks_own_where_that_differs() -> None:
    network = Scaled()
    for _ in range(2):
        np.testing.assert_array_equal(fastbp.predict(network, X), network.predict(X))
    assert (fastbp.predict(network, X) != BookNet.predict(network, X)).any()


def test_a_method_that_is_replaced_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    network = BookNet()
    scores = fastbp.predict(network, X)
    monkeypatch.setattr(BookNet, "predict", lambda self, x: 2 * scores)
    np.testing.assert_array_equal(fastbp.predict(network, X), 2 * scores)
    network = BookNet()
    network.predict = lambda x: 3 * scores
    np.testing.assert_array_equal(fastbp.predict(network, X), 3 * scores)


def test_a_predict_that_steps_do_not_need() -> None:
    """The loss goes through the layers; `predict` gives probabilities."""

    class Probabilities(BookNet):
        def loss(self, x: Any, t: Any) -> Any:
            return self.lastLayer.forward(super().predict(x), t)

        def predict(self, x: Any) -> Any:
            scores = np.exp(super().predict(x))
            return scores / scores.sum(axis=1, keepdims=True)

    network = Probabilities()
    assert fastbp.compile(network, SGD(0.1), strict=True).compiled
    np.testing.assert_allclose(fastbp.predict(network, X).sum(axis=1), 1)


def test_a_network_that_cannot_be_copied() -> None:
    class Single(BookNet):
        def __copy__(self) -> Any:
            raise RuntimeError("there is but one")

    step = fastbp.compile(Single(), SGD(0.1))
    assert step.reason == "Single can't be copied, to see what its methods compute: there is but one"
    step(X, T)


def test_methods_are_tried_again_for_other_layers() -> None:
    class Named(BookNet):
        """Its gradient is right for the layers that it was written for."""

        def gradient(self, x: Any, t: Any) -> Any:
            gradients = super().gradient(x, t)
            return gradients if isinstance(self.layers["Relu1"], Relu) else {k: 2 * v for k, v in gradients.items()}

    network = Named()
    step = fastbp.compile(network, SGD(0.1), strict=True)
    step(X, T)
    network.layers["Relu1"] = fastbp.Sigmoid()
    for _ in range(2):
        with pytest.raises(fastbp.NotCompilable, match="Named has a gradient of its own, which does not"):
            step(X, T)
    network.layers["Relu1"] = Relu()
    step(X, T)


class WithStep(BookNet):
    """It holds the step that trains it."""

    def __init__(self) -> None:
        super().__init__()
        self.step = fastbp.compile(self, SGD(0.1), strict=True)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_network_that_holds_its_step_can_be_copied(copied: Any) -> None:
    network = WithStep()
    network.step(X, T)
    other = copied(network)
    assert other.step.network is other
    assert other.step.flops(8) == network.step.flops(8)
    np.testing.assert_array_equal(other.step.run(X, T, ORDER), network.step.run(X, T, ORDER))
    same_bits(other.params, network.params)
    assert not np.shares_memory(other.params["W1"], network.params["W1"])


def test_large_networks_are_tried_in_time() -> None:
    network = BookNet()
    rng = np.random.default_rng(9)
    network.params |= {"W1": rng.random((3000, 3000)), "b1": np.zeros(3000), "W2": np.zeros((3000, 3))}
    network.layers["Affine1"].W, network.layers["Affine1"].b = network.params["W1"], network.params["b1"]
    network.layers["Affine2"].W = network.params["W2"]
    assert fastbp.compile(network, SGD(), strict=True).compiled


def test_nothing_of_a_network_is_changed_when_its_methods_are_tried() -> None:
    class Counting(BookNet):
        """It keeps count in arrays and lists of its own, which are in one another."""

        def __init__(self) -> None:
            super().__init__()
            self.seen, self.calls = np.zeros(1), []
            self.both = {"seen": self.seen, "calls": self.calls}

        def loss(self, x: Any, t: Any) -> Any:
            self.seen += len(x)
            self.calls.append(len(x))
            assert self.both["seen"] is self.seen
            return super().loss(x, t)

    network = Counting()
    assert fastbp.compile(network, SGD(0.1), strict=True).compiled
    assert (network.seen, network.calls) == (0, [])
