"""fastbp's compiled training step; every input is multiplied, zeros as well."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp
from peers import RATES, Job
from peers.layered import Network


class Peer:
    name = "fastbp dense"

    def __init__(self, job: Job) -> None:
        fastbp.set_num_threads(job.threads)
        self._initial, self._optimizer, self._x, self._t = job.params, job.optimizer, job.x, job.t
        self._data: Any = None
        self.reset()

    @staticmethod
    def missing(optimizer: str) -> str:
        absent = [name for name in ("compile", optimizer) if not hasattr(fastbp, name)]
        return f"fastbp.{absent[0]} is missing" if absent else ""

    def reset(self) -> None:
        network = Network(self._initial, fastbp.layers)
        optimizer = getattr(fastbp, self._optimizer)(lr=RATES[self._optimizer])
        self._step: Any = fastbp.compile(network, optimizer)
        self._data = self.prepared() if self._data is None else self._data

    def prepared(self) -> Any:
        """What `run` takes; made once and not timed."""
        return self._step.prepare(self._x, self._t, sparse=False)

    def run(self, order: NDArray[np.intp]) -> NDArray[Any]:
        return np.asarray(self._step.run(self._data, order))

    def version(self) -> str:
        return f"fastbp {fastbp.__version__}"
