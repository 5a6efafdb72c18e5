"""`fastbp.fit_many`: each network ends with the bits that it has when it is trained alone."""

import copy
import signal
import threading
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, OPTIMIZERS, Unchanged, batches, chain, compiled, data, optimizer, zeros_mostly
from nets import same_bits

import fastbp
from fastbp.engine import NotCompilable
from fastbp.engine import compiled_step as engine_step

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

X, T = zeros_mostly(50, 30), data(50, 30, 4)[1]
ORDER = batches(50, 12, 8)
ORDERS = [batches(50, 12, 8, seed) for seed in range(6)]


def networks() -> list[Any]:
    """Six that differ in their layers, their dtype and the optimizer."""
    chains = ["ARA", "A", "ASRA", "RA", "ARARA", "ARA"]
    dtypes = ["float64", "float32"]
    return [
        chain(kinds, (30, *[11 + 7 * n] * (kinds.count("A") - 1), 4), dtypes[n % 2], seed=n)
        for n, kinds in enumerate(chains)
    ]


def optimizers() -> list[Any]:
    return [optimizer(name) for name in OPTIMIZERS]


@pytest.mark.parametrize("threads", [1, 2, 3, 20, None])
@pytest.mark.parametrize(
    "orders", [ORDER, ORDERS, np.array(ORDERS), ORDER.tolist()], ids=["one", "list", "array", "lists"]
)
def test_bits_of_one_after_the_other(orders: Any, threads: int | None) -> None:
    together, alone, steps, others = networks(), networks(), optimizers(), optimizers()
    losses = fastbp.fit_many(together, steps, X, T, orders, threads=threads)
    assert losses.shape == (6, 12)
    for n, network in enumerate(alone):
        order = orders[n] if np.ndim(orders) == 3 else orders
        assert losses[n].tolist() == compiled(network, others[n]).run(X, T, order).tolist()
        same_bits(together[n].params, network.params)
    assert [getattr(each, "iter", 12) for each in steps] == [12] * 6


@pytest.mark.parametrize("source", ["global", "one generator", "one stream", "their own"])
def test_layers_that_draw(source: str) -> None:
    """From one stream in the order of the networks, whatever the number of threads."""
    results = []
    for at_once in (False, True):
        stream = np.random.default_rng(5).bit_generator
        networks = [fastbp.MultiLayerNetExtend(30, [12, 9], 4, use_dropout=True) for _ in range(4)]
        one, steps = np.random.Generator(stream), [optimizer() for _ in networks]
        np.random.seed(7)
        for n, network in enumerate(networks):
            for array in network.params.values():
                array[...] = np.random.default_rng(n).standard_normal(array.shape)
            for key in ("Dropout1", "Dropout2"):
                of = {"one generator": one, "one stream": np.random.Generator(stream), "global": None}
                network.layers[key].rng = of.get(source, np.random.default_rng(n))
        order = np.tile(ORDER, (20, 1))
        if at_once:
            losses = fastbp.fit_many(networks, steps, X, T, order, threads=4)
        else:
            runs = [fastbp.compile(*each, strict=True) for each in zip(networks, steps, strict=True)]
            losses = np.array([run.run(X, T, order) for run in runs])
        results.append((losses, [network.params for network in networks], np.random.rand(), one.random()))
    (losses, params, *after), (others, other_params, *other_after) = results
    np.testing.assert_array_equal(losses, others)
    for ours, theirs in zip(params, other_params, strict=True):
        same_bits(ours, theirs)
    assert after == other_after


@pytest.mark.parametrize("sparse", [True, False])
def test_scaled_bytes(sparse: bool) -> None:
    x = (9 * X).astype("uint8")
    together, alone = networks()[:1], networks()[:1]
    losses = fastbp.fit_many(together, optimizers()[:1], x, T, ORDER, scale=0.1, sparse=sparse)
    expected = compiled(alone[0], optimizers()[0]).run(x, T, ORDER, scale=0.1, sparse=sparse)
    assert losses.tolist() == [expected.tolist()]


def test_one_batch_size_each() -> None:
    together, alone, orders = networks(), networks(), [batches(50, 3, size) for size in (1, 50, 2, 7, 8, 9)]
    losses = fastbp.fit_many(together, optimizers(), X, T, orders)
    for n, (network, steps) in enumerate(zip(alone, optimizers(), strict=True)):
        assert losses[n].tolist() == compiled(network, steps).run(X, T, orders[n]).tolist()


def test_no_steps_and_arrays_of_networks() -> None:
    nets = np.empty(2, object)
    nets[:] = networks()[:2]
    assert fastbp.fit_many(nets, tuple(optimizers()[:2]), X, T, np.empty((0, 16), int)).shape == (2, 0)


SAME = networks()[0]
BAD_STEPS = optimizer("Adam")
BAD_STEPS.beta1 = 2.0
SHALLOW = copy.copy(SAME)
FOREIGN = chain("ARA", (30, 11, 4))
FOREIGN.layers[1] = fastbp.reference.Relu()

# (networks, optimizers, the rest) that are refused.
MISTAKES: dict[str, tuple[Any, Any, Any, type[Exception], str]] = {
    "a network twice": ([SAME, SAME], optimizers()[:2], {}, ValueError, "the same network is there twice"),
    "an optimizer twice": (networks()[:2], [BAD_STEPS] * 2, {}, ValueError, "the same optimizer is there twice"),
    "shared arrays": ([SAME, SHALLOW], optimizers()[:2], {}, ValueError, "two networks or optimizers share an array"),
    "none": ([], [], {}, ValueError, "no network to train"),
    "one optimizer less": (networks()[:2], optimizers()[:1], {}, ValueError, "got 2 networks, 1 optimizers"),
    "a foreign layer": ([SAME, FOREIGN], optimizers()[:2], {}, NotCompilable, r"networks\[1\].*is no layer that the"),
    "a hyperparameter": (networks()[:2], [optimizer(), BAD_STEPS], {}, ValueError, "beta1 must be"),
    "orders": (networks()[:2], optimizers()[:2], {"orders": ORDERS[:1]}, ValueError, "one for each of the 2 networks"),
    "orders that are none": (networks()[:2], optimizers()[:2], {"orders": None}, TypeError, "orders must be one order"),
    "a number for orders": (networks()[:2], optimizers()[:2], {"orders": 3}, TypeError, "orders must be one order"),
    "no orders": (networks()[:2], optimizers()[:2], {"orders": []}, ValueError, "one for each of the 2 networks"),
    "steps": (networks()[:2], optimizers()[:2], {"orders": [ORDER, ORDER[1:]]}, ValueError, "as many steps each"),
    "a sample": (
        networks()[:2],
        optimizers()[:2],
        {"orders": ORDER + 40},
        ValueError,
        "but the 50 samples are 0 to 49",
    ),
    "a label": (networks()[:2], optimizers()[:2], {"t": T + 1}, ValueError, "but the 4 classes are 0 to 3"),
    "prepared data": (
        networks()[:2],
        optimizers()[:2],
        {"x": compiled(networks()[0], optimizer()).prepare(X, T) if COMPILES else None},
        TypeError,
        r"prepared data go to run\(data, order\) and fastbp.predict\(network, data\) alone",
    ),
    "features": (networks()[:2], optimizers()[:2], {"x": X[:, 1:]}, ValueError, "x must have 30 features"),
    "no threads": (networks()[:2], optimizers()[:2], {"threads": 0}, ValueError, "threads must be at least 1"),
    "half a thread": (networks()[:2], optimizers()[:2], {"threads": 1.5}, TypeError, "threads must be an integer"),
}


@pytest.mark.parametrize(("nets", "steps", "changes", "error", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_change_nothing(nets: Any, steps: Any, changes: Any, error: Any, message: str) -> None:
    given = {"x": X, "t": T, "orders": ORDER, "threads": 2} | changes
    before = [(Unchanged(network, each)) for network, each in zip(nets, steps, strict=False)]
    for each in before:
        each.__enter__()
    with pytest.raises(error, match=message):
        fastbp.fit_many(nets, steps, given["x"], given["t"], given["orders"], threads=given["threads"])
    for each in before:
        each.__exit__()


def test_a_state_that_does_not_fit_changes_no_other_network() -> None:
    nets, steps = networks()[:2], [optimizer("Momentum"), optimizer("Adam")]
    steps[1].m, steps[1].v = ({"W1": np.zeros(3)} for _ in range(2))
    with (
        Unchanged(nets[0], steps[0]),
        Unchanged(nets[1], steps[1]),
        pytest.raises(ValueError, match="m of W1 must have"),
    ):
        fastbp.fit_many(nets, steps, X, T, ORDER)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread here")
def test_an_interrupt_leaves_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each network, those that have begun and those that haven't."""
    monkeypatch.setattr(engine_step, "FLOPS_OF_A_SLICE", 1e7)
    nets, order = [chain("ARA", (30, 11, 4), seed=n) for n in range(5)], np.tile(ORDER, (40_000, 1))
    steps = [optimizer("Adam") for _ in nets]
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fastbp.fit_many(nets, steps, X, T, order, threads=2)
    timer.join()
    done = [each.iter for each in steps]
    assert 0 < max(done) < len(order)
    assert min(done) == 0
    for n, network in enumerate(nets):
        other, same = chain("ARA", (30, 11, 4), seed=n), optimizer("Adam")
        compiled(other, same).run(X, T, order[: done[n]])
        same_bits(network.params, other.params)


def test_optimizers_that_share_their_state() -> None:
    made = networks()[:2]
    adam = fastbp.Adam()
    compiled(made[0], adam).run(X, T, ORDER[:1])
    with pytest.raises(ValueError, match="two networks or optimizers share an array"):
        fastbp.fit_many(made, [adam, copy.copy(adam)], X, T, ORDER)


def test_networks_that_share_memory() -> None:
    made = [chain("ARA", (30, 11, 4)) for _ in range(2)]
    made[1].params["W1"] = made[1].layers[0].W = made[0].layers[0].W[:]
    with pytest.raises(ValueError, match="two networks or optimizers share an array"):
        fastbp.fit_many(made, [optimizer() for _ in made], X, T, ORDER)


@pytest.mark.parametrize("one", [optimizer(), "adam"])
def test_optimizers_that_are_none(one: Any) -> None:
    with pytest.raises(TypeError, match="optimizers must be a sequence, one optimizer for each network, got"):
        fastbp.fit_many(networks(), one, X, T, ORDER)
    with pytest.raises(TypeError, match=r"optimizer must have update\(params, grads\)"):
        fastbp.fit_many(networks()[:2], [optimizer(), "adam"], X, T, ORDER)
