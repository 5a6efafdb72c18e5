"""TwoLayerNet with weight decay: what it adds to the loss and the gradients, and to nothing else."""

import copy
from typing import Any

import checks
import numpy as np
import pytest
from cases import DTYPES
from nets import LABELS, T, X, net, same_bits
from numba import config

from fastbp import SGD, Trainer, TwoLayerNet, check_gradients, layers, reference
from fastbp.boundary.arrays import TOLERANCE


@pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_gradient(dtype: str, namespace: Any) -> None:
    decayed, plain = net(dtype=dtype, layers=namespace, weight_decay_lambda=0.3), net(dtype=dtype, layers=namespace)
    assert decayed.weight_decay_lambda == 0.3
    same_bits(decayed.params, plain.params)
    W1, W2 = (plain.params[name].astype(np.float64) for name in ("W1", "W2"))
    tolerance = TOLERANCE[np.dtype(dtype)]
    expected = plain.loss(X, T) + 0.15 * (np.sum(W1**2) + np.sum(W2**2))
    assert type(decayed.loss(X, T)) is float
    checks.close(decayed.loss(X, T), expected, tolerance, "loss")
    loss, gradients = decayed.loss_and_gradient(X, T)
    assert loss == decayed.loss(X, T)
    same_bits(gradients, decayed.gradient(X, T))
    without = plain.gradient(X, T)
    assert list(gradients) == list(without)
    for name, W in (("W1", W1), ("W2", W2)):
        assert gradients[name].dtype == without[name].dtype
        checks.close(gradients[name], without[name] + 0.3 * W, tolerance, name)
    same_bits(*({name: some[name] for name in ("b1", "b2")} for some in (gradients, without)))
    np.testing.assert_array_equal(decayed.layers["Affine1"].dW, without["W1"])
    assert decayed.last_layer.loss == plain.loss(X, T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("t", LABELS.values(), ids=LABELS)
def test_check_gradients(dtype: str, t: np.ndarray) -> None:
    network = net(dtype=dtype, weight_decay_lambda=0.5)
    assert check_gradients(network, X, t).ok
    broken = copy.deepcopy(network)
    broken.gradient = net(dtype=dtype).gradient  # without the decay
    assert broken.loss(X, t) == network.loss(X, t)
    assert not check_gradients(broken, X, t).ok


def test_numerical_gradient() -> None:
    network = net(weight_decay_lambda=0.5)
    expected = network.gradient(X, T)
    for name, gradient in network.numerical_gradient(X, T).items():
        checks.close(gradient, expected[name], 1e-8, name)


@np.errstate(invalid="ignore")  # of NumPy's products, where nothing is compiled
def test_zero_changes_nothing() -> None:
    """Not even for infinite weights, of which 0 times the square is NaN."""
    network, twin = net(weight_decay_lambda=0.0), net()
    for some in (network, twin):
        some.params["W1"][2, 1] = -np.inf  # its neuron is off where x > 0
    x = np.abs(X)
    loss, gradients = network.loss_and_gradient(x, T)
    assert np.isfinite(loss)
    assert loss == twin.loss(x, T) == network.last_layer.loss
    same_bits(gradients, twin.gradient(x, T))
    assert np.isfinite(gradients["W1"]).all()
    assert network.gradient(x, T)["W1"] is network.layers["Affine1"].dW
    network.weight_decay_lambda = 0.1
    assert network.loss(x, T) == np.inf


def test_weights_of_any_layout() -> None:
    """A layer's W may be rebound: it is what counts."""
    network = net(weight_decay_lambda=0.3)
    expected, gradients = network.loss_and_gradient(X, T)
    network.layers["Affine1"].W = np.asfortranarray(network.params["W1"])
    loss, others = network.loss_and_gradient(X, T)
    assert loss == expected
    same_bits(others, gradients)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="too long for kernels that run as Python")
def test_training_shrinks_the_weights() -> None:
    networks = net(weight_decay_lambda=0.5), net()
    for network in networks:
        Trainer(network, X, T, X, T, 200, 5, "Adam", {"lr": 0.01}, verbose=False, rng=np.random.default_rng(7)).train()
    decayed, plain = (float(np.linalg.norm(network.params["W1"])) for network in networks)
    assert decayed < plain / 2
    weights = networks[0].params["W1"].copy()
    SGD(0.1).update(networks[0].params, networks[0].gradient(X, T))
    assert not np.array_equal(weights, networks[0].params["W1"])


@pytest.mark.parametrize("wrong", [-0.1, -1e-300, np.nan, np.inf, -np.inf])
def test_bad_lambdas(wrong: float) -> None:
    message = f"^weight_decay_lambda must be a finite number, zero or positive, got {wrong}$"
    with pytest.raises(ValueError, match=message):
        TwoLayerNet(6, 4, 3, weight_decay_lambda=wrong)
    with pytest.raises(TypeError):
        TwoLayerNet(6, 4, 3, weight_decay_lambda="0.1")
    with pytest.raises(TypeError):
        TwoLayerNet(6, 4, 3, 0.01, 0.1)
