"""Pickles that an earlier release wrote, whose layers and networks stood in other modules, load and go on."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp

# Written while layers shared a file a family (`fastbp.layers.activation`, `fastbp.layers.loss`) and networks had one.
BEFORE = Path(__file__).parent / "pickles" / "one_file_a_family.pickle"
X, T = np.random.default_rng(5).standard_normal((4, 3)), np.array([0, 1, 1, 0])


@pytest.fixture
def things() -> dict[str, Any]:
    loaded: dict[str, Any] = pickle.loads(BEFORE.read_bytes())
    return loaded


def test_it_names_modules_that_are_no_more() -> None:
    """Else the tests below would show nothing."""
    assert all(f"fastbp.layers.{name}".encode() in BEFORE.read_bytes() for name in ("activation", "loss"))


def test_networks_compute_what_they_did(things: dict[str, Any]) -> None:
    network, new = things["network"], fastbp.TwoLayerNet(3, 2, 2, weight_decay_lambda=0.1)
    assert type(network) is fastbp.TwoLayerNet
    assert [type(layer) for layer in network.layers.values()] == [fastbp.Affine, fastbp.Relu, fastbp.Affine]
    for name, parameter in network.params.items():
        new.params[name][...] = parameter
    assert network.loss(X, T) == new.loss(X, T)
    assert network.layers["Affine1"].W is network.params["W1"]


def test_layers_go_backward_with_what_they_kept(things: dict[str, Any]) -> None:
    sigmoid = things["sigmoid"]
    np.testing.assert_array_equal(sigmoid.backward(np.ones((4, 3))), (1 - sigmoid.out) * sigmoid.out)
    assert things["mul"].backward(1.0) == (3.0, 2.0)
    assert things["add"].backward(1.0) == (1.0, 1.0)


def test_optimizers_go_on(things: dict[str, Any]) -> None:
    for optimizer in things["optimizers"]:
        params, grads = things["network"].params, things["network"].gradient(X, T)
        before = {name: array.copy() for name, array in params.items()}
        optimizer.update(params, grads)
        assert not all(np.array_equal(params[name], before[name]) for name in params)


def test_training_goes_on(things: dict[str, Any]) -> None:
    trainer, step = things["trainer"], things["step"]
    trainer.train()
    assert (trainer.current_epoch, len(trainer.train_loss_list)) == (4, 8)
    assert trainer.runs.endswith("compiled loop")
    assert step.report().startswith("one step of 100 samples in float64")
    assert len(step.run(things["data"], np.array([[0, 1], [2, 3]]))) == 2
    assert step.compiled
