"""Compiled steps on several threads: the same bits for any number, beside other threads and processes, after forks."""

import ctypes
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, batches, chain, compiled, data, optimizer, zeros_mostly
from nets import same_bits
from processes import python

import fastbp
from fastbp.engine import launch
from fastbp.kernels.loop import parts
from fastbp.kernels.loop.team import SIZE
from fastbp.system import threads

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture
def worth_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the smallest step is given all threads; and there are as many as are asked for, whatever the machine."""
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1e-3)
    monkeypatch.setattr(threads, "launched", lambda: 4)
    monkeypatch.setattr(launch, "_pools", {})
    monkeypatch.setattr(threads._State, "process", 4)


def trained(kinds: str, widths: tuple[int, ...], batch: int, dtype: str, name: str, sparse: bool, **how: Any) -> Any:
    """The losses and the network after some steps."""
    network = chain(kinds, widths, dtype, **how)
    samples = 3 * batch + 2
    x = zeros_mostly(samples, widths[0], dtype) if sparse else data(samples, widths[0], 2, dtype)[0]
    t = np.random.default_rng(95).integers(0, widths[-1], samples)
    return compiled(network, optimizer(name)).run(x, t, batches(samples, 4, batch), sparse=sparse), network


# Also fewer rows than threads, fewer features, and a single output.
NETS: list[tuple[str, tuple[int, ...], int]] = [
    ("ARA", (784, 50, 10), 100),
    ("ASARA", (65, 130, 33, 7), 33),
    ("RARSA", (31, 17, 5), 9),
    ("ARA", (3, 5, 2), 1),
    ("ARA", (1, 1, 1), 5),
    ("A", (300, 1), 2),
]


def test_the_team_is_as_large_as_asked(worth_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all below would compare one thread with itself."""
    sizes: list[int] = []
    make = parts.loop_of(np.dtype("float32")).function()

    def noting(address: int, leads: int) -> int:
        taken = make(address, leads)
        if leads:
            words = ctypes.c_int64.from_address(address).value  # `team` is the first field of a run
            sizes.append(ctypes.c_int64.from_address(words + 8 * SIZE).value)
        return taken

    trained("ARA", (300, 200, 10), 100, "float32", "SGD", sparse=False)  # wakes the threads
    monkeypatch.setitem(launch._loops, np.dtype("float32"), noting)
    for _ in range(20):
        with fastbp.threads(2):
            trained("ARA", (300, 200, 10), 100, "float32", "SGD", sparse=False)
    assert 2 in sizes  # a busy machine may leave some to the leader alone
    assert set(sizes) <= {1, 2}


def test_whoever_shares_work_waits_for_all(worth_threads: None) -> None:
    """Also where Ctrl-C ends its own part: the others write to memory that is let go then."""
    ended: list[int] = []

    def work(lo: int, hi: int) -> None:
        if lo == 0:
            raise KeyboardInterrupt
        time.sleep(0.2)
        ended.append(lo)

    with fastbp.threads(3), pytest.raises(KeyboardInterrupt):
        launch.share(30, 1 << 30, work)
    assert sorted(ended) == [10, 20]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(("kinds", "widths", "batch"), NETS, ids=str)
def test_same_bits_for_any_number_of_threads(
    worth_threads: None, kinds: str, widths: tuple[int, ...], batch: int, sparse: bool, dtype: str
) -> None:
    if sparse and kinds[0] != "A":
        kinds = kinds[1:]
    for name, how in (("SGD", {}), ("Adam", {"decay": 0.01})):
        with fastbp.threads(1):
            expected, network = trained(kinds, widths, batch, dtype, name, sparse, **how)
        for n in (2, 3, 4):
            with fastbp.threads(n):
                losses, other = trained(kinds, widths, batch, dtype, name, sparse, **how)
            assert losses.tolist() == expected.tolist(), (n, name)
            same_bits(other.params, network.params)


def beside_a_line(array: np.ndarray, offset: int) -> np.ndarray:
    """A copy that begins so many bytes behind a cache line."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    copied = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copied[...] = array
    return copied


@pytest.mark.parametrize("name", ["SGD", "Momentum"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_where_weights_lie_makes_no_difference(worth_threads: None, name: str, sparse: bool) -> None:
    """What straddles cache lines is copied for the time of a long run."""
    x, t = zeros_mostly(50, 40, "float32"), np.random.default_rng(95).integers(0, 10, 50)
    results = []
    for offset, n in ((0, 1), (16, 1), (16, 2), (48, 3)):
        network = chain("ARARA", (40, 256, 208, 10), "float32")
        for i, layer in enumerate(network.layers[::2], start=1):
            layer.W = network.params[f"W{i}"] = beside_a_line(layer.W, offset)
        with fastbp.threads(n):
            losses = compiled(network, optimizer(name)).run(x, t, batches(50, 40, 20), sparse=sparse)
        assert network.params["W1"] is network.layers[0].W
        assert network.params["W1"].ctypes.data % 64 == offset
        results.append((losses.tolist(), network.params))
    for losses, params in results[1:]:
        assert losses == results[0][0]
        same_bits(params, results[0][1])


def test_nets_that_are_large_enough_use_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the threshold as it is, and never more than there are cores."""
    monkeypatch.setattr(threads, "launched", lambda: 3)
    with fastbp.threads(99):
        assert launch.threads_for(1.9 * launch.FLOPS_PER_THREAD) == 1
        assert launch.threads_for(2 * launch.FLOPS_PER_THREAD) == 2
        assert launch.threads_for(99 * launch.FLOPS_PER_THREAD) == 3
    results = []
    for n in (1, 2):
        with fastbp.threads(n):
            results.append(trained("ARA", (784, 100, 10), 100, "float32", "Momentum", sparse=False))
    assert results[0][0].tolist() == results[1][0].tolist()
    same_bits(results[0][1].params, results[1][1].params)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_python_threads_at_once(worth_threads: None, sparse: bool) -> None:
    """Eight, each with a network of its own, and each asking for a team."""

    def train(seed: int) -> Any:
        network = chain("ARA", (64, 33, 5), "float32", seed=seed)
        x = zeros_mostly(50, 64, "float32", seed=seed)
        step = compiled(network, optimizer("Adam"))
        return [step.run(x, np.arange(50) % 5, batches(50, 20, 16, seed), sparse=sparse) for _ in range(5)], network

    with fastbp.threads(1):
        expected = [train(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for (losses, network), (right, other) in zip(pool.map(train, range(8)), expected, strict=True):
            np.testing.assert_array_equal(losses, right)
            same_bits(network.params, other.params)


@pytest.mark.command
def test_while_another_process_takes_the_cores(worth_threads: None) -> None:
    """A member that gets no core is not waited for, and nothing depends on whether it came."""
    with fastbp.threads(1):
        expected, network = trained("ARA", (300, 100, 10), 50, "float32", "Adam", sparse=False)
    code = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    burning = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        for _ in range(30):
            with fastbp.threads(2):
                losses, other = trained("ARA", (300, 100, 10), 50, "float32", "Adam", sparse=False)
            assert losses.tolist() == expected.tolist()
            same_bits(other.params, network.params)
    finally:
        for process in burning:
            process.kill()
            process.wait()


# Forks and interrupts -------------------------------------------------------------------------------------------------

FORK = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork itself
import numpy as np
import fastbp
from fastbp.engine import launch
from fastbp.system import threads

rng = np.random.default_rng(0)
x, t, order = rng.standard_normal((200, 300)), rng.integers(0, 10, 200), rng.integers(0, 200, (5, 100))

def train():
    net = fastbp.TwoLayerNet(300, 100, 10, 0.1, rng=np.random.default_rng(1))
    fastbp.compile(net, fastbp.Adam(), strict=True).run(x, t, order)
    return b"".join(array.tobytes() for array in net.params.values())

fastbp.set_num_threads(2)
with fastbp.threads(1):
    expected = train()
assert launch.threads_for(1e9) == 2 and not launch._pools
assert train() == expected
assert launch._pools
"""
OS_FORK = """
child = os.fork()
if child == 0:
    ok = False
    try:
        ok = launch.threads_for(1e9) == 1 and all(train() == expected for _ in range(3))
        threads._State.forked = False  # and should a later version allow threads here: a pool of its own
        ok = ok and launch.threads_for(1e9) == 2 and train() == expected
    finally:
        os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0
"""
MULTIPROCESSING = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(pool.apply_async(train).get(60) == expected for _ in range(4))
"""


@pytest.mark.command
@forks
@pytest.mark.parametrize("how", [OS_FORK, MULTIPROCESSING], ids=["os.fork", "multiprocessing"])
def test_a_forked_process_trains(how: str) -> None:
    python(FORK + how + "assert train() == expected", how=subprocess.Popen)  # also to Python's own end


# A leader that never comes: Ctrl-C while it compiles, for instance, and its members wait already.
NO_LEADER = """
import ctypes, threading
import numpy as np
from numba import njit
from fastbp.engine import launch
from fastbp.kernels.loop import plan
from fastbp.kernels.tiles import pointer
from fastbp.kernels.loop.team import join

@njit(nogil=True)
def joins(words, leads, wanted):
    return join(pointer(words), leads, wanted)[0]

joins(np.zeros(80, np.int64), True, 1)
here = threading.Event()
table = plan.Run.row()

def loop(address, leads):
    if leads:
        here.wait(10)
        raise KeyboardInterrupt
    here.set()
    words = (ctypes.c_int64 * 80).from_address(table.team)
    return joins(np.frombuffer(words, np.int64), False, 2)

launch._loops["float32"] = loop
try:
    launch.run(table, "float32", 2, lambda steps: None)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.command
def test_a_leader_that_was_interrupted_leaves_nobody_waiting() -> None:
    code = [sys.executable, "-c", NO_LEADER]
    done = subprocess.run(
        code,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        timeout=60,  # who waits, waits for ever
        check=True,
        text=True,
    )
    assert done.stdout == "interrupted\n"


# Ctrl-C in the moment when a thread of the pool has started, and is in no list of Python's yet.
STARTING = """
import threading
import numpy as np, fastbp
network = fastbp.TwoLayerNet(300, 200, 10, 0.1, dtype=np.float32)
step = fastbp.compile(network, fastbp.SGD(), strict=True)
x, t = np.random.rand(200, 300).astype("float32"), np.arange(200) % 10
order = np.random.randint(0, 200, (3, 100))
fastbp.set_num_threads(2)
start = threading.Thread.start

def interrupted(thread):
    threading.Thread.start = start
    start(thread)
    raise KeyboardInterrupt

threading.Thread.start = interrupted
try:
    step.run(x, t, order)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.command
@pytest.mark.parametrize("more", ["", "assert len(step.run(x, t, order)) == 3"], ids=["the end", "more steps"])
def test_interrupt_as_a_thread_starts(more: str) -> None:
    """The process ends: Python would wait for a thread that nobody tells to go."""
    code = [sys.executable, "-c", STARTING + more]
    done = subprocess.run(code, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


AFTER_THE_END = """
import threading, numpy as np, fastbp
network = fastbp.TwoLayerNet(300, 200, 10, 0.1, dtype=np.float32)
step = fastbp.compile(network, fastbp.SGD(), strict=True)
x, t = np.random.rand(200, 300).astype("float32"), np.arange(200) % 10
order = np.random.randint(0, 200, (4_000, 100))
def train():
    for part in np.array_split(order, 100):
        step.run(x, t, part)
    print("trained", flush=True)
fastbp.set_num_threads(2)
step.run(x, t, order[:1])
threading.Thread(target=train).start()
"""


@pytest.mark.command
def test_a_thread_that_outlives_the_script() -> None:
    """The interpreter starts no threads any more then: the loop goes on with the one it has."""
    done = subprocess.run([sys.executable, "-c", AFTER_THE_END], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "trained", done.stderr
