"""Any number of threads gives the same bits."""

import pytest
from processes import python

from fastbp.system import threads

layer_runs = pytest.mark.skipif(threads.threading_layer()[0] is None, reason="no threading layer loads here")

# Prints a hash of all results for each number of threads, up to 4, with the threshold out of the way.
BITS = """
import hashlib, sys
import numpy as np
from fastbp import Affine
from fastbp.system import threads
threads.FLOPS_PER_THREAD = 1e-3
rng = np.random.default_rng(0)
sizes = (1, 2, 3, 5, 8, 10, 17, 31, 50, 65, 100, 129, 241, 300, 784)
for x_dtype, dtype in (("float32", "float32"), ("float64", "float64"), ("float32", "float64")):
    for N, D, M in rng.choice(sizes, (40, 3)):
        x, W = rng.standard_normal((N, D)).astype(x_dtype), rng.standard_normal((D, M)).astype(dtype)
        b, dout = rng.standard_normal(M).astype(dtype), rng.standard_normal((N, M)).astype(dtype)
        hashes = []
        for n in (1, 2, 3, 4):
            with threads.threads(n):
                assert threads.for_work(2 * N * D * M) == min(n, 2000 * N * D * M), threads.for_work(2 * N * D * M)
                layer = Affine(W, b)
                results = layer.forward(x), layer.backward(dout), layer.dW, layer.db
            hashes.append(hashlib.sha256(b"".join(result.tobytes() for result in results)).hexdigest())
        assert len(set(hashes)) == 1, (x_dtype, dtype, N, D, M, hashes)
        print(hashes[0])
"""


@pytest.mark.command
@layer_runs
def test_same_bits_for_any_number_of_threads() -> None:
    assert len(python(BITS, NUMBA_NUM_THREADS="4", FASTBP_NUM_THREADS="4").split()) == 120
