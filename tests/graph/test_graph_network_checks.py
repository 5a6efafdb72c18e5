"""What `from_network` takes and refuses: who holds parameters, the network's own loss and gradient, streams."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nets import LABELS, X, net

import fastbp
from fastbp import graph, reference

T = LABELS["index"]


def network_of(params: Any, *layers: Any, loss: Any = None) -> Any:
    return SimpleNamespace(params=params, layers=list(layers), last_layer=loss or reference.SoftmaxWithLoss())


def weights(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


def test_parameters_that_came_apart() -> None:
    network = net()
    network.params["W1"] = network.params["W1"].copy()
    with pytest.raises(ValueError, match=r"no layer holds params\['W1'\]"):
        graph.from_network(network, X, T)


class LossWithWeight:
    def __init__(self, W: Any) -> None:
        self.W, self.inner = W, reference.SoftmaxWithLoss()

    def forward(self, x: Any, t: Any) -> Any:
        self.x = x
        return self.inner.forward(x @ self.W, t)

    def backward(self, dout: Any = 1) -> Any:
        dout = self.inner.backward(dout)
        self.dW = self.x.T @ dout
        return dout @ self.W.T


def test_parameters_that_the_loss_holds() -> None:
    W = weights(6, 3)
    network = network_of({"W": W}, reference.Relu(), loss=LossWithWeight(W))
    network.last_layer.network = network  # whatever else it knows
    loss = graph.from_network(network, X, T)
    loss.backward()
    w = graph.variable(W)
    own = graph.softmax_loss(graph.dot(graph.relu(X), w), T)
    own.backward()
    np.testing.assert_allclose(loss.find("W").grad, w.grad, rtol=1e-12)


def test_views_of_parameters() -> None:
    big, W, b = weights(6, 7), weights(6, 3), np.ones(3)
    first, second = big[:, :4], big[:4, 4:]  # of one array, whose elements interleave
    columns = network_of({"W1": first, "W2": second}, reference.Affine(first, 0.0), reference.Affine(second, 0.0))
    loss = graph.from_network(columns, X, T)
    loss.backward()
    assert loss.find("W2").grad.shape == (4, 3)
    whole = network_of({"W": W, "b": b}, reference.Affine(W[:], b[:]))
    loss = graph.from_network(whole, X, T)
    loss.backward()
    assert [node.op for node in loss.inputs[0].inputs] == ["variable"] * 3
    with pytest.raises(ValueError, match=r"\.layers\[0\]\.W is a view of params\['W'\] of shape \(6, 2\)"):
        graph.from_network(network_of({"W": W}, reference.Affine(W[:, 1:], 0.0)), X, T)


def test_a_gradient_of_another_shape_beside_a_parameter() -> None:
    class Flat(reference.Affine):
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            self.dW = self.dW.ravel()
            return dx

    W = weights(6, 3)
    loss = graph.from_network(network_of({"W": W}, Flat(W, 0.0)), X, T)
    with pytest.raises(ValueError, match=r"left dW of shape \(18,\), but W has shape \(6, 3\)"):
        loss.backward()


class Changed(fastbp.TwoLayerNet):
    """A network whose own methods are what a test makes of the true ones."""

    gradients: Any = staticmethod(lambda gradients: gradients)
    losses: Any = staticmethod(lambda loss: loss)

    def gradient(self, x: Any, t: Any) -> Any:
        return self.gradients(super().gradient(x, t))

    def loss(self, x: Any, t: Any) -> Any:
        return self.losses(super().loss(x, t))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"losses": lambda loss: 5 + loss}, ValueError, r"Changed\.loss computes .*, its layers and last layer "),
        ({"gradients": lambda found: found | {"V": 1.0}}, ValueError, "has a gradient for 'V', a parameter that no"),
        ({"gradients": lambda found: list(found.values())}, TypeError, "must return a dict of gradients, got list"),
        ({"gradients": lambda found: found | {"b1": 0.0}}, ValueError, "computes another gradient for b1"),
    ],
)
def test_what_the_network_itself_computes(changes: Any, error: Any, message: str) -> None:
    network = Changed(6, 4, 3)
    graph.from_network(network, X, T)
    vars(network).update(changes)
    with pytest.raises(error, match=message):
        graph.from_network(network, X, T)


class Dropout:
    """Draws from Python's stream; when it isn't trained it passes all, as the book's does."""

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.mask = np.array([[random.random() > 0.5 for _ in row] for row in x]) if train_flg else 1
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


def test_layers_that_draw_and_have_a_mode_of_training() -> None:
    W = weights(6, 3)
    network = network_of({"W": W}, reference.Affine(W, 0.0), Dropout())
    network.loss = lambda x, t: reference.SoftmaxWithLoss().forward(x @ W, t)  # all of it passes
    state = random.getstate()
    graph.from_network(network, X, T).backward()
    assert random.getstate() == state


MODULE_S = np.random.default_rng(1)


class Noise:
    """Draws from a Generator that neither it nor the network holds."""

    def forward(self, x: Any) -> Any:
        self.factor = MODULE_S.uniform(1, 2, x.shape)
        return x * self.factor

    def backward(self, dout: Any) -> Any:
        return dout * self.factor


def test_a_stream_that_nobody_can_set_back() -> None:
    """What is drawn anew each time is compared with nothing, and refused for nothing."""
    W = weights(6, 3)
    affine, noise, last = reference.Affine(W, 0.0), Noise(), reference.SoftmaxWithLoss()
    network = network_of({"W": W}, affine, noise, loss=last)

    def gradient(x: Any, t: Any) -> Any:
        last.forward(noise.forward(affine.forward(x)), t)
        affine.backward(noise.backward(last.backward(1)))
        return {"W": affine.dW}

    network.gradient = gradient
    assert not np.array_equal(gradient(X, T)["W"], gradient(X, T)["W"])
    graph.from_network(network, X, T).backward()
