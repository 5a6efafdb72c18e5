"""Optimizers of a user's own in a trainer: their updates are called; what took the steps is told."""

from typing import Any

import numpy as np
import pytest
from book_networks import BookNet
from chains import COMPILES
from checks import close
from trainers import BATCH, SAMPLES, N, T, by_hand, trainer

import fastbp
from fastbp import SGD, Adam, Momentum


class Halved(SGD):
    def update(self, params: Any, grads: Any) -> None:
        super().update(params, {name: 0.5 * grad for name, grad in grads.items()})


class Ascending(Momentum):
    def scalars(self, step: int = 1) -> Any:
        lr, momentum = super().scalars(step)
        return -lr, momentum


class Frozen(Adam):
    """W1 stays what it is."""

    def update(self, params: Any, grads: Any) -> None:
        super().update(params, grads | {"W1": 0 * grads["W1"]})


class Foreign:
    def update(self, params: Any, grads: Any) -> None:
        for name in params:
            params[name] -= 0.1 * np.sign(grads[name])


def wrapped(kind: Any) -> Any:
    def make() -> Any:
        optimizer = kind(0.1)
        update = optimizer.update
        optimizer.update = lambda params, grads: update(params, {k: np.clip(g, -0.01, 0.01) for k, g in grads.items()})
        return optimizer

    return make


def bound(kind: Any) -> Any:
    """An update that stands in the class of another."""

    def make() -> Any:
        optimizer = kind(0.1)
        optimizer.update = Foreign().update
        return optimizer

    return make


OPTIMIZERS: dict[str, Any] = {
    "halved": lambda: Halved(0.1),
    "ascending": lambda: Ascending(0.01),
    "frozen": lambda: Frozen(0.01),
    "foreign": Foreign,
    "wrapped SGD": wrapped(SGD),
    "wrapped Momentum": wrapped(Momentum),
    "wrapped AdaGrad": wrapped(fastbp.AdaGrad),
    "wrapped RMSprop": wrapped(fastbp.RMSprop),
    "wrapped Adam": wrapped(Adam),
    "wrapped Nesterov": wrapped(fastbp.Nesterov),
    "bound": bound(SGD),
    "bound Adam": bound(Adam),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_of_ones_own_take_their_steps(make: Any) -> None:
    networks = [BookNet() for _ in range(3)]
    x = SAMPLES["dense"]()
    loop = trainer(networks[0], x, T, optimizer=make())
    loop.train()
    losses = by_hand(networks[1], x, T, optimizer=make())
    assert loop.train_loss_list == losses
    assert loop.runs.startswith("layer by layer: ")
    order = np.concatenate([np.random.default_rng(6).permutation(N).reshape(-1, BATCH)])
    assert fastbp.compile(networks[2], make()).run(x, T, order).tolist() == losses[: len(order)]


def test_a_rate_that_a_callback_changes_stays_compiled() -> None:
    network, expected, optimizer = BookNet(), BookNet(), SGD(0.1)

    def slower(loop: Any) -> None:
        loop.optimizer.lr *= 0.5

    def also(epoch: int, x: Any, t: Any) -> None:
        optimizer.lr *= 0.5

    loop = trainer(network, SAMPLES["dense"](), T, callbacks=[slower])
    loop.train()
    close(loop.train_loss_list, by_hand(expected, SAMPLES["dense"](), T, also, optimizer), 1e-12, "losses")
    assert loop.runs == "compiled loop" or not COMPILES


@pytest.mark.skipif(not COMPILES, reason="nothing is compiled")
def test_runs_says_what_did_happen() -> None:
    network = BookNet()

    def patch(loop: Any) -> None:
        if loop.current_epoch == 2:
            gradient = network.gradient
            network.gradient = lambda x, t: gradient(x, t)

    loop = trainer(network, SAMPLES["dense"](), T, callbacks=[patch])
    assert loop.runs == "no step yet"
    loop.train()
    assert loop.runs.startswith("10 steps compiled loop; 5 steps layer by layer: BookNet has a gradient of its own")
    del network.gradient
    assert loop.runs.startswith("10 steps compiled loop; 5 steps layer by layer: ")
