"""Runs: slices, repetitions, what is compiled, memory, a Ctrl-C."""

import gc
import itertools
import mmap
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, OPTIMIZERS, Unchanged, batches, chain, compiled, data, optimizer, zeros_mostly
from nets import same_bits
from processes import python, start

import fastbp
from fastbp.engine import compiled_step as engine_step
from fastbp.engine import launch
from fastbp.kernels.build import objects

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

X, T = zeros_mostly(60, 30), data(60, 30, 4)[1]
ORDER = batches(60, 50, 8)


def trained(
    name: str = "Adam", sparse: bool = False, order: Any = ORDER, dtype: str = "float64", **how: Any
) -> tuple[np.ndarray, Any, Any]:
    network, steps = chain("ARA", (30, 17, 4), dtype, **how), optimizer(name)
    return compiled(network, steps).run(X.astype(dtype), T, order, sparse=sparse), network, steps


# Slices and repetitions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slices_make_no_difference(name: str, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of the user nor those in which a long run goes to the compiled code."""
    losses, network, steps = trained(name, sparse, decay=0.01)
    other, same = chain("ARA", (30, 17, 4), decay=0.01), optimizer(name)
    step = compiled(other, same)
    prepared = step.prepare(X, T, sparse=sparse)
    cut = [step.run(prepared, part) for part in (ORDER[:1], ORDER[1:1], ORDER[1:30], ORDER[30:])]
    assert np.concatenate(cut).tolist() == losses.tolist()
    same_bits(network.params, other.params)
    assert getattr(steps, "iter", None) == getattr(same, "iter", None)
    calls: list[int] = []
    run = launch.run
    monkeypatch.setattr(launch, "run", lambda *arguments: calls.append(1) or run(*arguments))
    monkeypatch.setattr(engine_step, "FLOPS_OF_A_SLICE", 7.5 * step.flops(8, prepared.share_used))
    again, third, _ = trained(name, sparse, decay=0.01)
    assert len(calls) == 8  # of 7 steps each
    assert again.tolist() == losses.tolist()
    same_bits(network.params, third.params)


def test_batches_of_any_size_one_after_the_other() -> None:
    """The memory of a large batch serves a small one, and the other way round."""
    together, network = [], chain("ARASA", (30, 17, 9, 4))
    step, sizes = compiled(network, optimizer("Adam")), (3, 60, 1, 8, 61, 2)
    for size in sizes:
        together += step.run(X, T, batches(60, 2, size)).tolist()
    alone, other, steps = [], chain("ARASA", (30, 17, 9, 4)), optimizer("Adam")
    for size in sizes:
        alone += compiled(other, steps).run(X, T, batches(60, 2, size)).tolist()
    assert together == alone
    same_bits(network.params, other.params)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_twenty_repetitions(dtype: str) -> None:
    expected, network, _ = trained(dtype=dtype)
    for _ in range(20):
        losses, other, _ = trained(dtype=dtype)
        assert losses.tolist() == expected.tolist()
        same_bits(network.params, other.params)


def test_a_loss_that_is_nan_is_returned() -> None:
    network, steps = chain("ARA", (30, 17, 4)), optimizer("Adam")
    step = compiled(network, steps)
    network.params["b2"][0] = np.nan
    losses = step.run(X, T, ORDER)
    assert losses.shape == (50,)
    assert np.isnan(losses).all()
    assert steps.iter == 50
    assert np.isnan(step(X, T))


def test_no_steps_change_nothing() -> None:
    losses, network, steps = trained()
    with Unchanged(network, steps):
        assert compiled(network, steps).run(X, T, np.empty((0, 5), int)).shape == (0,)
    assert compiled(network, steps).run(X, T, ORDER[:0]).dtype == losses.dtype


# What is compiled -----------------------------------------------------------------------------------------------------

BITS = """
import hashlib
import numpy as np
import fastbp
found, rng = hashlib.sha256(), np.random.default_rng(3)
for dtype in (np.float32, np.float64):
    for name in ("SGD", "Adam"):
        for sparse in (False, True):
            net = fastbp.TwoLayerNet(70, 33, 10, 0.1, dtype=dtype, rng=rng, weight_decay_lambda=0.01)
            x, t = rng.standard_normal((90, 70)) * (rng.random((90, 70)) < 0.3), rng.integers(0, 10, 90)
            step = fastbp.compile(net, getattr(fastbp, name)(), strict=True)
            found.update(step.run(x.astype(dtype), t, rng.integers(0, 90, (9, 21)), sparse=sparse).tobytes())
            found.update(b"".join(array.tobytes() for array in net.params.values()))
print(found.hexdigest())
"""


@pytest.mark.full
@pytest.mark.command
def test_same_bits_from_the_compiler_and_from_the_cache(tmp_path: Any) -> None:
    cold, cached = (python(BITS, FASTBP_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert cold == cached == python(BITS)


def read_only(array: Any) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array


def machine_code() -> set[str]:
    """The C functions that have been compiled, or loaded, in this process."""
    return set(objects._addresses)


def test_another_architecture_compiles_nothing() -> None:
    """A part is compiled when the first network needs it; nor does any form of the data, the order or the numbers."""
    kinds = ["A", "SA", "RSARRSA", "ARARARARARA"]

    def train(widths: int) -> None:
        for kind in kinds:
            sizes = (30, *range(5 + widths, 4 + widths + kind.count("A")), 4)
            network = chain(kind, sizes, as_dict=True, eps=1e-7, decay=0.1, loss_name="lastLayer")
            compiled(network, fastbp.Adam())(X, T)

    train(0)
    network = chain("ARA", (30, 17, 4))
    for name in OPTIMIZERS:
        compiled(network, optimizer(name)).run(X, T, ORDER[:2])
    step = compiled(network, fastbp.SGD())
    for x in (X.astype("uint8"), X.astype("float32"), X):
        step.run(x, np.eye(4)[T], ORDER[:2], scale=0.5, sparse=False)
        fastbp.predict(network, x)
    before = machine_code()
    train(7)
    for steps in (fastbp.SGD(1), fastbp.SGD(np.float32(0.1)), fastbp.Adam(1), *map(optimizer, OPTIMIZERS)):
        compiled(network, steps).run(X, T, ORDER[:2])
    for order in (ORDER.tolist(), read_only(ORDER), ORDER[::-2], ORDER.astype("uint8"), np.asfortranarray(ORDER)):
        step.run(X, T, order)
    for x in (X.astype("uint8"), X.astype("float32"), X.tolist(), read_only(X), X[:, ::-1], X.astype(">f8")):
        step.run(x, np.eye(4)[T], ORDER, scale=0.5, sparse=False)
        fastbp.predict(network, x)
        fastbp.predict(network, x[0], scale=0.5)
    with fastbp.threads(2):
        step(np.zeros((2000, 30)), np.zeros(2000, int))
    assert machine_code() == before


def test_nothing_is_compiled_that_is_not_used() -> None:
    done = python(
        """
        import numpy as np, fastbp
        from fastbp.kernels.build import objects
        network = fastbp.TwoLayerNet(20, 5, 3)
        fastbp.compile(network, fastbp.SGD(), strict=True)(np.ones((30, 20)), np.arange(30) % 3)
        print(*objects._addresses)
        """
    )
    for name in ("sigmoid", "momentum", "adam", "penalty", "sparse", "float32", "probabilities"):
        assert name not in done, done
    assert "fastbp_training_train_Runfloat64l" in done


def test_kernels_that_compress_are_compiled_once_a_dtype() -> None:
    step = compiled(chain("ARA", (30, 17, 4), "float32"), fastbp.SGD())
    step.prepare(X, T, sparse=True)
    before = machine_code()
    for x in (X[::-1], np.asfortranarray(X), read_only(X), X.tolist()):
        assert step.prepare(x, T, sparse=True).is_sparse
    assert machine_code() == before


# Memory ---------------------------------------------------------------------------------------------------------------


def resident() -> int:
    """In bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc here")
def test_memory_does_not_grow() -> None:
    """Over 10,000 steps, each a call of its own with a batch of its own; and over steps that are made and dropped."""
    network = chain("ARA", (30, 17, 4))
    step = compiled(network, optimizer("Adam"))

    def use(times: int) -> None:
        for n in range(times):
            step(X[: 1 + n % 60], T[: 1 + n % 60])
        for _ in range(times // 100):
            compiled(chain("ARA", (300, 170, 4)), optimizer("Adam")).run(np.ones((9, 300)), T[:9], [[0, 8]])
            fastbp.predict(network, X)

    use(1000)
    gc.collect()
    before = resident()
    use(10_000)
    gc.collect()
    # Each of the hundred that were dropped has half a megabyte and more.
    assert resident() - before < 16 * 2**20


# Ctrl-C ---------------------------------------------------------------------------------------------------------------

INTERRUPTED = """
import copy, sys
import numpy as np
import fastbp

rng = np.random.default_rng(0)
x, t, order = rng.standard_normal((50, 300)), rng.integers(0, 10, 50), rng.integers(0, 50, ({steps}, 20))
net = fastbp.TwoLayerNet(300, 100, 10, 0.1, rng=rng)
other, adam, same = copy.deepcopy(net), fastbp.Adam(), fastbp.Adam()
fastbp.set_num_threads({threads})
step = fastbp.compile(net, adam, strict=True)
step.run(x, t, order[:1])
print("go", flush=True)
try:
    step.run(x, t, order[1:])
except KeyboardInterrupt:
    fastbp.compile(other, same).run(x, t, order[: adam.iter])
    assert adam.iter == same.iter
    for name, array in net.params.items():
        assert array.tobytes() == other.params[name].tobytes(), name
        assert adam.v[name].tobytes() == same.v[name].tobytes(), name
    print(adam.iter, flush=True)
    raise
"""


@pytest.mark.command
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("delay", [0.02, 0.3])
def test_an_interrupted_run_has_taken_whole_steps(threads: int, delay: float) -> None:
    total = 600_000  # half a minute
    with start(INTERRUPTED.format(steps=total, threads=threads)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        output, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert 1 <= int(output) < total
    assert time.monotonic() - begin < 20


def test_an_interrupted_run_counts_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process, by a signal that comes while a slice runs."""
    monkeypatch.setattr(engine_step, "FLOPS_OF_A_SLICE", 1e7)
    network, adam = chain("ARA", (30, 17, 4)), optimizer("Adam")
    step = compiled(network, adam)
    step.run(X, T, ORDER[:1])
    order = np.tile(ORDER, (20_000, 1))
    slices, run_slice = itertools.count(1), launch.run
    sender = threading.Thread(target=signal.raise_signal, args=[signal.SIGINT])

    def run(*arguments: Any) -> int:
        if next(slices) == 3:
            sender.start()
        return run_slice(*arguments)

    monkeypatch.setattr(launch, "run", run)
    with pytest.raises(KeyboardInterrupt):
        step.run(X, T, order)
    sender.join()
    monkeypatch.undo()
    assert 1 < adam.iter < len(order)
    other, same = chain("ARA", (30, 17, 4)), optimizer("Adam")
    compiled(other, same).run(X, T, np.concatenate([ORDER[:1], order[: adam.iter - 1]]))
    same_bits(network.params, other.params)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_read_only_samples_are_read_where_they_lie(dtype: str) -> None:
    step, x = compiled(chain("ARA", (6, 5, 3)), optimizer()), np.ones((60, 6), dtype)
    view = x.view()
    view.flags.writeable = False
    prepared = step.prepare(view, T % 3, sparse=False)
    assert np.shares_memory(prepared.x, x)
    assert np.isfinite(step.run(prepared, ORDER)).all()
    assert x.ctypes.data == prepared.x.ctypes.data


def test_the_first_samples_of_prepared_data() -> None:
    prepared = compiled(chain("ARA", (6, 5, 3)), optimizer()).prepare(np.ones((40, 6)), np.zeros(40, int))
    for count, expected in ((3, 3), (0, 0), (-3, 0), (99, 40), (None, 40)):
        first = prepared.first(count)
        assert (first.samples, len(first.x), len(first.labels)) == (expected,) * 3
