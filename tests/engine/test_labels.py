"""Labels are checked before a step where layers and loss say which fit, also where the compiled loop stands aside."""

from collections import UserDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import layers, reference
from fastbp.chain import Chain
from fastbp.engine.labels import check_of
from fastbp.reads import Reads

RNG = np.random.default_rng(31)
X = RNG.standard_normal((6, 4))


class Foreign:
    """A layer that neither the loop nor the proof knows."""

    def forward(self, x: Any) -> Any:
        return 2 * x

    def backward(self, dout: Any) -> Any:
        return 2 * dout


class Net:
    """A network without methods, of these layers."""

    def __init__(self, make: Callable[[dict[str, Any]], list[Any]], loss: Any) -> None:
        self.params = {"W": RNG.standard_normal((4, 3)), "b": np.zeros(3)}
        self.layers, self.last_layer = make(self.params), loss


CHAINS: dict[str, Callable[[dict[str, Any]], list[Any]]] = {
    "an Affine last": lambda p: [Foreign(), layers.Affine(p["W"], p["b"])],
    "the oracle's": lambda p: [Foreign(), reference.Affine(p["W"], p["b"])],
    "more on top of it": lambda p: [Foreign(), layers.Affine(p["W"], p["b"]), layers.Relu(), layers.Dropout(0.2)],
}


@pytest.mark.parametrize("make", CHAINS.values(), ids=CHAINS)
def test_refused_before_a_step(make: Any) -> None:
    for loss, wrong, message in (
        (layers.SoftmaxWithLoss(), [0, 1, 2, 0, 1, 3], r"t\[5\] is 3, but the 3 classes are 0 to 2"),
        (reference.SoftmaxWithLoss(), [0, 1, 2, 0, 1, -1], r"t\[5\] is -1, but the 3 classes are 0 to 2"),
        (layers.IdentityWithLoss(), np.zeros((6, 2)), r"t must have the shape of the outputs, \(6, 3\), got \(6, 2\)"),
    ):
        network = Net(make, loss)
        before = network.params["W"].copy()
        step = fastbp.compile(network, fastbp.SGD(0.1))
        assert not step.compiled
        with pytest.raises(ValueError, match=message):
            step.prepare(X, np.array(wrong))
        with pytest.raises(ValueError, match=f"t_train doesn't go with the network: {message}"):
            fastbp.Trainer(network, X, np.array(wrong), X, np.array(wrong))
        np.testing.assert_array_equal(network.params["W"], before)


def test_not_checked_where_code_of_the_users_own_says_what_they_are() -> None:
    class Own(layers.SoftmaxWithLoss):
        """Still a softmax, of the scores that the network has."""

    def check(chain: list[Any], **own: Any) -> Any:
        network = Net(lambda p: chain, Own())
        vars(network).update(own)
        return check_of(Chain(network), Reads())

    affine = layers.Affine(np.ones((4, 3)), np.zeros(3))
    assert check([affine]) is not None
    assert check([affine, Foreign()]) is None  # which may give any shape
    assert check([layers.Affine([[1.0]], [0.0])]) is None
    assert check([affine], loss=lambda x, t: 0.0) is None


def test_after_an_error_the_network_is_read_anew() -> None:
    network = Net(lambda p: [Foreign(), layers.Affine(p["W"][:], p["b"])], layers.SoftmaxWithLoss())
    step, t = fastbp.compile(network, fastbp.SGD(0.1)), np.array([0, 1, 2, 0, 1, 2])
    with pytest.raises(ValueError, match=r"no layer holds params\['W'\] itself"):
        step(X, t)
    network.layers[1].W = network.params["W"]
    before = network.params["W"].copy()
    assert step(X, t) > 0
    assert not np.array_equal(network.params["W"], before)


@pytest.mark.parametrize("kind", [list, dict, UserDict])
def test_the_layers_may_change_between_steps(kind: Any) -> None:
    """Whatever the network has them in: the next step passes through those that are there."""
    network = Net(lambda p: [Foreign(), layers.Affine(p["W"], p["b"])], layers.SoftmaxWithLoss())
    network.layers = kind(network.layers if kind is list else enumerate(network.layers))
    step, t = fastbp.compile(network, fastbp.SGD(0.0)), np.array([0, 1, 2, 0, 1, 2])
    first = step(X, t)
    network.layers[0] = layers.Relu()
    assert step(X, t) != first
    network.layers[0] = Foreign()
    assert step(X, t) == first
