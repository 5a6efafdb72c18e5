"""What is loaded from the disk is what was compiled: the same bits, as fast."""

import hashlib
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from numba import config
from processes import start

if config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)

# Prints a hash of all that Affine computes, in twenty shapes; then for each line that it reads the rate
# of the forward product, as a share of the peak measured beside it.
AFFINE = """
import hashlib, sys, time
import numpy as np
from fastbp.kernels.build import objects
if {loads}:
    objects.make = None  # what compiles
from fastbp import Affine
from fastbp.kernels.affine import affine_forward
from fastbp.kernels.tiles.target import lanes
from fastbp.kernels.peak import PEAK_CHAINS, fma_peak, peak_flops
from fastbp.kernels.matmul.product import scratch_size
rng = np.random.default_rng(0)
sizes, results = (1, 2, 3, 5, 8, 10, 17, 31, 50, 65, 100, 129, 241, 300, 784), hashlib.sha256()
for dtype in {dtypes}:
    for N, D, M in rng.choice(sizes, (20, 3)):
        x, W, b, dout = (rng.standard_normal(shape).astype(dtype) for shape in ((N, D), (D, M), M, (N, M)))
        layer = Affine(W, b)
        for result in layer.forward(x), layer.backward(dout), layer.dW, layer.db:
            results.update(result.tobytes())
print(results.hexdigest(), flush=True)
x, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((300, 784), (784, 400), 400))
out, scratch = np.empty((300, 400), np.float32), np.empty(scratch_size(np.dtype(np.float32)), np.float32)
chains = np.zeros(PEAK_CHAINS * lanes(np.float32), np.float32)
calls = lambda: affine_forward(x, W, b, out, scratch), lambda: fma_peak(chains, 20000)
for _ in sys.stdin:
    best = [1e9, 1e9]
    for _ in range(20):
        for which, call in enumerate(calls):
            begun = time.perf_counter()
            call()
            best[which] = min(best[which], time.perf_counter() - begun)
    print(best[1] / peak_flops(np.float32, 20000) * 2 * out.size * 784 / best[0], flush=True)
"""


class Process:
    def __init__(self, process: Any) -> None:
        self.process = process
        self.hash = process.stdout.readline()
        self.rates: list[float] = []

    def measure(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.rates.append(float(self.process.stdout.readline()))


@contextmanager
def computing(dtypes: tuple[str, ...] = ("float32",), loads: bool = True, **env: str) -> Iterator[Process]:
    def how(*arguments: Any, **options: Any) -> Any:
        return Popen(*arguments, **options | {"stdin": PIPE, "stderr": None})

    with start(AFFINE.format(dtypes=dtypes, loads=loads), how=how, NUMBA_NUM_THREADS="2", **env) as process:
        yield Process(process)
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.command
def test_the_same_bits_as_fast(tmp_path: Path) -> None:
    """On a busy machine single rates differ by a tenth: up to ten rounds, until medians come within a tenth."""
    own = {"FASTBP_CACHE_DIR": str(tmp_path)}
    with computing(loads=False, **own) as fresh, computing(**own) as loaded, computing(**own) as again:
        assert len(fresh.hash.strip()) == 2 * hashlib.sha256().digest_size
        assert fresh.hash == loaded.hash == again.hash
        apart = 1.0
        while abs(apart) > 0.1 and len(fresh.rates) < 10:
            for each in (fresh, loaded, again):
                each.measure()
            if len(fresh.rates) >= 3:
                apart = statistics.median(loaded.rates + again.rates) / statistics.median(fresh.rates) - 1
        assert abs(apart) <= 0.1, (fresh.rates, loaded.rates, again.rates)
    with computing(loads=False) as elsewhere:  # where the whole suite's kernels are kept, compiled by another process
        assert elsewhere.hash == fresh.hash


@pytest.mark.full
@pytest.mark.command
def test_the_same_bits_in_float64(tmp_path: Path) -> None:
    own = {"FASTBP_CACHE_DIR": str(tmp_path)}
    both = "float64", "float32"
    with computing(both, loads=False, **own) as fresh, computing(both, **own) as loaded:
        assert fresh.hash == loaded.hash
