"""Learning rates that change: a function of the step, an array for a run, and assignments in between."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from chains import OPTIMIZERS, arrays_of, batches, chain, data
from nets import same_bits

import fastbp
from fastbp import Trainer
from fastbp.engine.layer_step import LayerStep

X, T = data(40, 6, 3)
ORDER = batches(40, 12, 8)
RATES = 0.1 / (1 + np.arange(12))


def rate(step: int) -> float:
    return 0.1 / (1 + step)


def optimizer(name: str, lr: Any) -> Any:
    return getattr(fastbp, name)(**(OPTIMIZERS[name] | {"lr": lr}))


def one_by_one(name: str) -> tuple[Any, Any]:
    """A network after a step at each rate, each assigned before it; and the optimizer."""
    network, steps = chain("ARA", (6, 5, 3)), optimizer(name, 1.0)
    by_layers = LayerStep(network, steps)
    for batch, each in zip(ORDER, RATES, strict=True):
        steps.lr = each
        by_layers(X[batch], T[batch])
    return network, steps


def agree(network: Any, steps: Any, name: str) -> None:
    expected, theirs = one_by_one(name)
    for key, array in expected.params.items():
        np.testing.assert_allclose(network.params[key], array, rtol=1e-11, atol=1e-13, err_msg=key)
    for key, array in arrays_of(theirs).items():
        np.testing.assert_allclose(arrays_of(steps)[key], array, rtol=1e-10, atol=1e-14, err_msg=key)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_function_of_the_step(name: str) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer(name, rate)
    step = fastbp.compile(network, steps)
    assert step.compiled
    step.run(X, T, ORDER[:5])
    step(X[ORDER[5]], T[ORDER[5]])
    step.run(X, T, ORDER[6:])
    agree(network, steps, name)
    assert (steps.steps_done, steps.lr) == (12, rate)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_function_of_the_step_without_compilation(name: str) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer(name, rate)
    by_layers = LayerStep(network, steps)
    by_layers.run(X, T, ORDER[:5])
    by_layers.run(X, T, ORDER[5:])
    agree(network, steps, name)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("layers", [False, True], ids=["compile", "layers"])
def test_an_array_for_a_run(name: str, layers: bool) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer(name, 7.0)
    step = LayerStep(network, steps) if layers else fastbp.compile(network, steps)
    step.run(X, T, ORDER[:4], lr=RATES[:4])
    step.run(X, T, ORDER[4:], lr=list(RATES[4:]))
    agree(network, steps, name)
    assert steps.lr == 7.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_prepared_data_take_rates_too(name: str) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer(name, 7.0)
    step = fastbp.compile(network, steps)
    step.run(step.prepare(X, T), ORDER, lr=RATES)
    agree(network, steps, name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_assignments_between_calls(name: str) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer(name, RATES[0])
    step = fastbp.compile(network, steps)
    for batch, each in zip(ORDER, RATES, strict=True):
        steps.lr *= each / steps.lr
        step.run(X, T, batch[None])
    agree(network, steps, name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_update_counts(name: str) -> None:
    """The optimizer alone, as the book uses it."""
    params, fixed = {"p": np.array([1.0, -2.0])}, {"p": np.array([1.0, -2.0])}
    seen: list[int] = []
    moving, still = optimizer(name, lambda step: seen.append(step) or rate(step)), optimizer(name, 1.0)
    for number in range(5):
        moving.update(params, {"p": params["p"] * 0.3})
        still.lr = rate(number)
        still.update(fixed, {"p": fixed["p"] * 0.3})
    np.testing.assert_array_equal(params["p"], fixed["p"])
    assert sorted(set(seen)) == [0, 1, 2, 3, 4]


def test_trainer() -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer("Momentum", rate)
    trainer = Trainer(network, X, T, X, T, 3, 8, steps, verbose=False, rng=np.random.default_rng(1))
    trainer.train()
    assert steps.steps_done == trainer.current_iter == 15
    other, by_hand = chain("ARA", (6, 5, 3)), optimizer("Momentum", 1.0)
    hand = Trainer(other, X, T, X, T, 3, 8, by_hand, verbose=False, rng=np.random.default_rng(1))
    for number in range(15):
        by_hand.lr = rate(number)
        hand.train_step()
    for key, array in other.params.items():
        np.testing.assert_allclose(network.params[key], array, rtol=1e-11, err_msg=key)


def test_the_life_goes_on_in_copies_and_pickles() -> None:
    steps, params = optimizer("SGD", rate), {"p": 1.0}
    steps.update(params, {"p": 1.0})
    for twin in (copy.deepcopy(steps), pickle.loads(pickle.dumps(steps))):
        assert twin.steps_done == 1
        assert twin.rate() == rate(1)


def test_adam_counts_by_iter() -> None:
    steps = optimizer("Adam", rate)
    steps.iter = 4
    assert steps.rate() == rate(4)
    assert steps.rate(3) == rate(6)


BAD = [
    (RATES[:11], ValueError, r"a rate for each of 12 steps, shape \(12,\), got shape \(11,\)"),
    (0.1, ValueError, r"got shape \(\)"),
    (RATES[None], ValueError, r"got shape \(1, 12\)"),
    ([], ValueError, r"got shape \(0,\)"),
    (np.where(np.arange(12) == 3, np.nan, 0.1), ValueError, r"zero or positive: lr\[3\] is nan"),
    (np.where(np.arange(12) == 5, -0.1, 0.1), ValueError, r"lr\[5\] is -0.1"),
    (np.where(np.arange(12) == 5, np.inf, 0.1), ValueError, r"lr\[5\] is inf"),
    (["a"] * 12, TypeError, "lr must hold real numbers"),
]


@pytest.mark.parametrize(("rates", "error", "message"), BAD)
@pytest.mark.parametrize("layers", [False, True], ids=["compile", "layers"])
def test_arrays_that_are_refused(layers: bool, rates: Any, error: type[Exception], message: str) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer("Momentum", 0.1)
    before = copy.deepcopy(network.params)
    step = LayerStep(network, steps) if layers else fastbp.compile(network, steps)
    with pytest.raises(error, match=message):
        step.run(X, T, ORDER, lr=rates)
    same_bits(network.params, before)
    assert steps.lr == 0.1


@pytest.mark.parametrize(
    ("bad", "error"),
    [(-1.0, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("a", TypeError), (None, TypeError)],
)
def test_functions_that_are_refused(bad: Any, error: type[Exception]) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer("SGD", lambda step: 0.1 if step < 3 else bad)
    step = fastbp.compile(network, steps)
    before = copy.deepcopy(network.params)
    with pytest.raises(error, match=r"lr\(3\) must be a"):
        step.run(X, T, ORDER)
    same_bits(network.params, before)  # the rates of a run are known before it begins
    with pytest.raises(error, match=r"lr\(0\) must be a"):
        optimizer("SGD", lambda step: bad)


def test_an_optimizer_without_lr() -> None:
    class Fixed:
        def update(self, params: Any, grads: Any) -> None:
            raise AssertionError

    with pytest.raises(ValueError, match="but Fixed has none"):
        fastbp.compile(chain("ARA", (6, 5, 3)), Fixed()).run(X, T, ORDER, lr=RATES)


def test_a_function_that_exchanges_what_is_trained() -> None:
    """What it exchanges before the run begins counts, or is an error; never is something else trained in silence."""
    network = chain("ARA", (6, 5, 3))

    def exchanging(step: int) -> float:
        if step == 2:
            network.layers[0].W = network.params["W1"] = network.params["W1"].copy()
        return 0.1

    fixed, plain = chain("ARA", (6, 5, 3)), optimizer("SGD", 0.1)
    fastbp.compile(fixed, plain).run(X, T, ORDER)
    fastbp.compile(network, optimizer("SGD", exchanging)).run(X, T, ORDER)
    np.testing.assert_allclose(network.params["W1"], fixed.params["W1"], rtol=1e-11)
