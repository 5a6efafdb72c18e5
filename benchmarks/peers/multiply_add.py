"""No peer but the limit: multiply-adds in registers, on every thread at once. A "step" is a call of the probe."""

from collections.abc import Sized
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels import peak
from peers import Job, needs

CHAIN = 20_000  # multiply-adds of each accumulator in one call: some 100 µs


class Peer:
    name = "multiply-add peak"
    missing = staticmethod(needs())

    def __init__(self, job: Job) -> None:
        dtype = np.dtype(np.float32)
        self.flops = float(peak.peak_flops(dtype, CHAIN)) * job.threads
        self._accumulators = [np.zeros(peak.peak_flops(dtype, 1) // 2, dtype) for _ in range(job.threads)]

    def reset(self) -> None:
        """Nothing is kept between runs."""

    def run(self, order: Sized) -> NDArray[Any]:
        workers = [Thread(target=self._probe, args=(a, len(order))) for a in self._accumulators[1:]]
        for worker in workers:
            worker.start()
        self._probe(self._accumulators[0], len(order))
        for worker in workers:
            worker.join()
        return np.empty(0)

    def version(self) -> str:
        return ""

    @staticmethod
    def _probe(accumulators: NDArray[Any], calls: int) -> None:
        for _ in range(calls):
            peak.fma_peak(accumulators, CHAIN)
