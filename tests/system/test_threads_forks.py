"""Python threads that compute at once, and forked processes: the same bits, and no process dies of it."""

import hashlib
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from processes import python

import fastbp
from fastbp.system import threads

layer_runs = pytest.mark.skipif(threads.threading_layer()[0] is None, reason="no threading layer loads here")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def passes(seed: int, calls: int) -> str:
    """A hash of what two layers compute in some calls, a few of them above the threshold."""
    rng, found = np.random.default_rng(seed), hashlib.sha256()
    x, W = rng.standard_normal((160, 192), np.float32), rng.standard_normal((192, 161), np.float32)
    affine, relu = fastbp.Affine(W, np.zeros(161, np.float32)), fastbp.Relu()
    for call in range(calls):
        rows = x if call % 4 == 0 else x[: 1 + call % 9]
        out = relu.forward(affine.forward(rows))
        dx = affine.backward(relu.backward(out))
        for result in (out, dx, affine.dW, affine.db):
            found.update(np.ascontiguousarray(result))
    return found.hexdigest()


def test_many_python_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads, each with layers of its own, beside a BLAS that has threads too."""
    with fastbp.threads(1):
        expected = [passes(seed, 200) for seed in range(8)]
    stop, square = threading.Event(), np.ones((300, 300))

    def multiply() -> None:
        while not stop.is_set():
            np.dot(square, square)

    fastbp_before = fastbp.get_num_threads()
    monkeypatch.setattr(threads._State, "process", max(2, fastbp_before))
    with ThreadPoolExecutor(9) as pool:
        blas = pool.submit(multiply)
        try:
            assert list(pool.map(passes, range(8), [200] * 8)) == expected
        finally:
            stop.set()
        blas.result()


# After a fork --------------------------------------------------------------------------------------------------------

FORK = """
import hashlib, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork itself
import numpy as np
import fastbp
from fastbp.system import threads

def passes():
    rng = np.random.default_rng(0)
    layer = fastbp.Affine(rng.standard_normal((300, 300)), np.zeros(300))
    out = layer.forward(rng.standard_normal((300, 300)))
    return hashlib.sha256(b"".join(a.tobytes() for a in (out, layer.backward(out), layer.dW, layer.db))).hexdigest()

fastbp.set_num_threads(2)
with fastbp.threads(1):
    expected = passes()
assert passes() == expected and threads.for_work(1e12) == 2
"""
OS_FORK = """
def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0

def serially():
    assert threads.for_work(1e12) == fastbp.get_num_threads() == 1
    assert passes() == expected

def child():
    serially()
    fastbp.set_num_threads(2)
    in_child(serially)
    serially()

in_child(child)
"""
MULTIPROCESSING = """
import multiprocessing

def child(_):
    return threads.for_work(1e12), passes()

with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(child, range(4)) == [(1, expected)] * 4
"""
AFTER = "assert passes() == expected and threads.for_work(1e12) == 2"


@pytest.mark.command
@forks
@layer_runs
@pytest.mark.parametrize("how", [OS_FORK, MULTIPROCESSING], ids=["os.fork", "multiprocessing"])
def test_forked_processes_compute_serially(how: str) -> None:
    """The child of a process that used omp is killed when it enters a parallel region."""
    python(FORK + how + AFTER, how=subprocess.Popen, NUMBA_NUM_THREADS="2")  # also to Python's own end
