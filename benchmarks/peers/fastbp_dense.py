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
        self._initial, self._x, self._t = job.params, job.x, job.t
        self._network = Network(job.params, fastbp.layers)
        self._optimizer = getattr(fastbp, job.optimizer)(lr=RATES[job.optimizer])
        self._new = dict(vars(self._optimizer))
        self._step = fastbp.compile(self._network, self._optimizer)
        self._data = self.prepared()

    @staticmethod
    def missing(optimizer: str) -> str:
        absent = [name for name in ("compile", optimizer) if not hasattr(fastbp, name)]
        return f"fastbp.{absent[0]} is missing" if absent else ""

    def reset(self) -> None:
        """What is compiled, and the memory of the epoch before, are kept, as in one training of many epochs."""
        for name, initial in self._initial.items():
            self._network.params[name][...] = initial
        vars(self._optimizer).update(self._new)

    def prepared(self) -> Any:
        """What `run` takes; made once and not timed."""
        return self._step.prepare(self._x, self._t, sparse=False)

    def run(self, order: NDArray[np.intp]) -> NDArray[Any]:
        return np.asarray(self._step.run(self._data, order))

    def version(self) -> str:
        return f"fastbp {fastbp.__version__}"
