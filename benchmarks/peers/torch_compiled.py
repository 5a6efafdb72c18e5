"""PyTorch with `torch.compile`: gathering, both passes and the update are one compiled function, called once a step.

The default mode: `max-autotune-no-cudagraphs` and the C++ wrapper took as long, to within 5 % (784-50-10, one thread).
"""

import os
from importlib.util import find_spec
from shutil import which
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.bench import pytorch
from peers import BETA1, BETA2, EPSILON, RATES, Job, torch_eager


class Peer(torch_eager.Peer):
    name = "PyTorch compiled"

    def __init__(self, job: Job) -> None:
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # else a pool of processes stays
        super().__init__(job)
        self._compiled = self._torch.compile(self._step, fullgraph=True, dynamic=False)

    @staticmethod
    def missing(optimizer: str) -> str:
        if find_spec("torch") is None:
            return "torch not installed"
        return "" if which("c++") or which("g++") or which("clang++") else "no C++ compiler for torch.compile"

    def reset(self) -> None:
        self._params = [p.clone() for p in self._initial]
        self._m, self._v = ([self._torch.zeros_like(p) for p in self._initial] for _ in range(2))
        self._steps = 0

    def run(self, order: NDArray[np.intp]) -> NDArray[Any]:
        torch, losses = self._torch, []
        with torch.no_grad():
            rates = torch.tensor(self._rates(len(order)), dtype=torch.float32)
            for batch, rate in zip(torch.from_numpy(order), rates, strict=True):
                losses.append(self._compiled(self._params, self._m, self._v, rate, self._x, self._t, batch))
            return np.asarray(torch.stack(losses))

    def _rates(self, steps: int) -> list[float]:
        """The learning rate of each step; the book's Adam has its two corrections in it."""
        rate = RATES[self._optimizer_name]
        if self._optimizer_name == "SGD":
            return [rate] * steps
        done = np.arange(self._steps + 1, self._steps + steps + 1)
        self._steps += steps
        return list(rate * np.sqrt(1 - BETA2**done) / (1 - BETA1**done))

    def _step(self, params: Any, m: Any, v: Any, rate: Any, x: Any, t: Any, batch: Any) -> Any:
        def loss_of(params: Any) -> Any:
            return pytorch.chain_loss(self._torch, params, x.index_select(0, batch), t.index_select(0, batch))

        gradient, loss = self._torch.func.grad_and_value(loss_of)(params)
        for i, g in enumerate(gradient):
            if self._optimizer_name == "SGD":
                params[i].sub_(rate * g)
            else:
                m[i].add_((1 - BETA1) * (g - m[i]))
                v[i].add_((1 - BETA2) * (g * g - v[i]))
                params[i].sub_(rate * m[i] / (v[i].sqrt() + EPSILON))
        return loss
