"""Gradients clipped by the norm of all of them: PyTorch's meaning, compiled or not, for any number of threads."""

import copy
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, OPTIMIZERS, TOLERANCE, arrays_of, batches, chain, data, optimizer, zeros_mostly
from nets import same_bits

import fastbp
from fastbp import Relu, Trainer, threads
from fastbp.engine import launch
from fastbp.engine.clipping import clipped
from fastbp.engine.layer_step import LayerStep

X, T = data(40, 6, 3)
ORDER = batches(40, 9, 8)


def norm_of(gradients: Any) -> float:
    return float(np.sqrt(sum(np.sum(np.square(gradient, dtype=np.float64)) for gradient in gradients.values())))


def test_the_formula() -> None:
    """torch.nn.utils.clip_grad_norm_ of [3, 4] and [12], whose norm is 13."""
    gradients = {"a": np.array([3.0, 4.0]), "b": np.array([12.0])}
    found = clipped(gradients, gradients, 6.5)
    factor = 6.5 / (13 + 1e-6)
    np.testing.assert_allclose(found["a"], np.array([3.0, 4.0]) * factor, rtol=1e-15)
    np.testing.assert_allclose(found["b"], [12 * factor], rtol=1e-15)
    np.testing.assert_array_equal(gradients["a"], [3.0, 4.0])
    assert clipped(gradients, gradients, None) is gradients
    assert clipped(gradients, gradients, 13.1) is gradients


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    gradients = {name: rng.standard_normal(shape) for name, shape in (("W", (4, 3)), ("b", 3))}
    for max_norm in (0.1, 1.0, 100.0):
        tensors = [torch.zeros(each.shape, dtype=torch.float64, requires_grad=True) for each in gradients.values()]
        for tensor, gradient in zip(tensors, gradients.values(), strict=True):
            tensor.grad = torch.from_numpy(gradient.copy())
        torch.nn.utils.clip_grad_norm_(tensors, max_norm)
        found = clipped(gradients, gradients, max_norm)
        for tensor, gradient in zip(tensors, found.values(), strict=True):
            np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-13)


def test_gradients_of_nothing_trained_count_for_nothing() -> None:
    found = clipped({"p": 3.0, "other": np.array([400.0])}, {"p": 1.0}, 1.0)
    assert found["other"] == 400.0
    assert found["p"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_norm_that_is_not_finite(value: float) -> None:
    with np.errstate(invalid="ignore"):
        found = clipped({"p": np.array([value, 1.0])}, {"p": 0}, 1.0)["p"]
    assert np.isnan(found[0])
    assert found[1] == 0 if value == np.inf else np.isnan(found[1])


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loop_agrees_with_the_layers(dtype: str, name: str, decay: float) -> None:
    """On the way some steps are clipped, and some aren't."""
    x = X.astype(dtype)
    ours, theirs = (chain("ARA", (6, 5, 3), dtype, decay=decay) for _ in range(2))
    first, second = optimizer(name), optimizer(name)
    step, by_layers = fastbp.compile(ours, first, max_norm=0.9), LayerStep(theirs, second, 0.9)
    assert step.compiled
    losses = step.run(x, T, ORDER), by_layers.run(x, T, ORDER)
    np.testing.assert_allclose(*losses, rtol=20 * TOLERANCE[dtype])
    for key, array in theirs.params.items():
        np.testing.assert_allclose(ours.params[key], array, rtol=1e-3, atol=20 * TOLERANCE[dtype], err_msg=key)
    assert step(x[:8], T[:8]) == pytest.approx(by_layers(x[:8], T[:8]), rel=20 * TOLERANCE[dtype])


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_one_step_of_sgd_is_as_long_as_it_may_be(decay: float) -> None:
    network = chain("ARA", (6, 5, 3), decay=decay)
    before = {name: array.copy() for name, array in network.params.items()}
    fastbp.compile(network, fastbp.SGD(lr=1.0), max_norm=0.01)(X, T)
    taken = {name: before[name] - array for name, array in network.params.items()}
    assert norm_of(taken) == pytest.approx(0.01, rel=1e-3)
    plain = chain("ARA", (6, 5, 3), decay=decay)
    fastbp.compile(plain, fastbp.SGD(lr=1.0))(X, T)
    whole = {name: before[name] - array for name, array in plain.params.items()}
    factor = 0.01 / (norm_of(whole) + 1e-6)
    for name, array in whole.items():
        np.testing.assert_allclose(taken[name], array * factor, rtol=1e-9, atol=1e-15)


def test_a_norm_that_is_never_reached_changes_nothing() -> None:
    clips, plain = chain("ARA", (6, 5, 3), decay=0.1), chain("ARA", (6, 5, 3), decay=0.1)
    step = fastbp.compile(clips, optimizer("Adam"), max_norm=1e6)
    step.run(X, T, ORDER)
    fastbp.compile(plain, optimizer("Adam")).run(X, T, ORDER)
    same_bits(clips.params, plain.params)


@pytest.mark.skipif(not COMPILES, reason="as Python, there is one thread")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kinds", "widths"), [("ARA", (70, 33, 5)), ("ARASA", (300, 257, 130, 7))], ids=str)
def test_any_number_of_threads_gives_the_same_bits(
    kinds: str, widths: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1.0)
    monkeypatch.setattr(launch.threads, "launched", lambda: 4)
    x, t = data(64, widths[0], widths[-1], dtype)
    results = []
    for n in (1, 2, 3):
        network = chain(kinds, widths, dtype, decay=0.01)
        with threads(n):
            losses = fastbp.compile(network, optimizer("Momentum"), max_norm=0.5).run(x, t, batches(64, 6, 32))
        results.append((losses.tobytes(), network.params))
    for losses, params in results[1:]:
        assert losses == results[0][0]
        same_bits(params, results[0][1])


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_samples_that_are_mostly_zeros(name: str, scipy_sparse: Any) -> None:
    x = zeros_mostly(40, 30)
    networks = [chain("ARA", (30, 5, 3)) for _ in range(3)]
    fastbp.compile(networks[0], optimizer(name), max_norm=0.5).run(x, T, ORDER, sparse=True)
    fastbp.compile(networks[1], optimizer(name), max_norm=0.5).run(scipy_sparse.csr_matrix(x), T, ORDER)
    fastbp.compile(networks[2], optimizer(name), max_norm=0.5).run(x, T, ORDER, sparse=False)
    for network in networks[:2]:
        for key, array in network.params.items():
            np.testing.assert_allclose(array, networks[2].params[key], rtol=1e-9, atol=1e-12, err_msg=key)


def test_the_data_of_a_step_without_it_serve() -> None:
    """And the other way round: a workspace is arranged anew."""
    network, same = chain("ARA", (30, 5, 3)), chain("ARA", (30, 5, 3))
    x = zeros_mostly(40, 30)
    step = fastbp.compile(network, optimizer("SGD"))
    prepared = step.prepare(x, T, sparse=True)
    step.run(prepared, ORDER[:3])
    step.max_norm = None
    fastbp.compile(network, optimizer("SGD"), max_norm=0.3).run(prepared, ORDER[3:])
    fastbp.compile(same, optimizer("SGD")).run(x, T, ORDER[:3], sparse=False)
    fastbp.compile(same, optimizer("SGD"), max_norm=0.3).run(x, T, ORDER[3:], sparse=False)
    for key, array in network.params.items():
        np.testing.assert_allclose(array, same.params[key], rtol=1e-9, atol=1e-12)


def test_fit_many() -> None:
    alone, beside = [[chain("ARA", (6, 5, 3), seed=n) for n in range(3)] for _ in range(2)]
    for network in alone:
        fastbp.compile(network, optimizer("Momentum"), max_norm=0.4).run(X, T, ORDER)
    steps = [optimizer("Momentum") for _ in beside]
    fastbp.fit_many(beside, steps, X, T, ORDER, threads=2, max_norm=0.4)
    for one, other in zip(alone, beside, strict=True):
        same_bits(one.params, other.params)


@pytest.mark.parametrize("foreign", [False, True], ids=["compiled", "layers"])
def test_trainer(foreign: bool) -> None:
    network, expected = chain("ARA", (6, 5, 3)), chain("ARA", (6, 5, 3))
    if foreign:
        network.layers[1].note = "an attribute of its own"
        network.layers[1].forward = type(network.layers[1])().forward
        network.layers[1].backward = network.layers[1].forward.__self__.backward
    arguments = (X, T, X, T, 3, 8)
    trainer = Trainer(network, *arguments, optimizer("SGD"), verbose=False, rng=np.random.default_rng(1), max_norm=0.2)
    trainer.train()
    hand = Trainer(expected, *arguments, optimizer("SGD"), verbose=False, rng=np.random.default_rng(1))
    by_layers = LayerStep(expected, hand.optimizer, 0.2)
    for _ in range(15):
        batch = hand._next_batch()
        by_layers(X[batch], T[batch])
        hand.current_iter += 1
    for key, array in expected.params.items():
        np.testing.assert_allclose(network.params[key], array, rtol=1e-9, atol=1e-12, err_msg=key)
    assert trainer.runs.startswith("layer by layer" if foreign else "compiled loop")


@pytest.mark.parametrize("foreign", [False, True], ids=["compiled", "layers"])
def test_a_norm_may_be_changed_between_steps(foreign: bool) -> None:
    ours, theirs = chain("ARA", (6, 5, 3)), chain("ARA", (6, 5, 3))
    if foreign:
        ours.layers[1].forward = Relu.forward.__get__(ours.layers[1])
    step = fastbp.compile(ours, optimizer("SGD"))
    assert step.compiled is not foreign
    for max_norm in (None, 0.2, 0.05, None):
        step.max_norm = max_norm
        step(X, T)
        LayerStep(theirs, optimizer("SGD"), max_norm)(X, T)
    for key, array in theirs.params.items():
        np.testing.assert_allclose(ours.params[key], array, rtol=1e-12, atol=1e-14, err_msg=key)
    step.max_norm = -1.0
    with pytest.raises(ValueError, match="max_norm must be a"):
        step(X, T)


def test_nan_stays_nan() -> None:
    x = X.copy()
    x[0, 0] = np.nan
    network = chain("ARA", (6, 5, 3))
    assert np.isnan(fastbp.compile(network, optimizer("SGD"), max_norm=1.0)(x, T))
    assert all(np.isnan(array).all() for array in network.params.values())


@pytest.mark.parametrize(
    ("bad", "error"),
    [(0, ValueError), (-1.0, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("a", TypeError)],
)
def test_a_norm_is_a_positive_number(bad: Any, error: type[Exception]) -> None:
    network, steps = chain("ARA", (6, 5, 3)), optimizer("SGD")
    before = copy.deepcopy(network.params)
    with pytest.raises(error, match="max_norm must be a"):
        fastbp.compile(network, steps, max_norm=bad)
    with pytest.raises(error, match="max_norm must be a"):
        fastbp.fit_many([network], [steps], X, T, ORDER, max_norm=bad)
    with pytest.raises(error, match="max_norm must be a"):
        Trainer(network, X, T, X, T, max_norm=bad)
    same_bits(network.params, before)
    assert not arrays_of(steps)
