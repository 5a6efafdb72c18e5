"""PyTorch without compiling: autograd, its own optimizers, a loop in Python.

`index_select` gathers six times as fast as `x[batch]`. Of Adam's forms the fused one is fastest (64-32-10: 219 µs a
step, foreach 298, a plain loop 275); those of SGD take the same time to within the noise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.bench import pytorch
from peers import BETA1, BETA2, EPSILON, RATES, Job, needs, pairs


class Peer:
    name = "PyTorch eager"
    missing = staticmethod(needs("torch"))

    def __init__(self, job: Job) -> None:
        import torch

        torch.set_num_threads(job.threads)
        torch.set_flush_denormal(True)
        self._torch, self._optimizer_name = torch, job.optimizer
        self._initial = pytorch.transposed(torch, (p for pair in pairs(job.params) for p in pair))
        self._x, self._t = torch.from_numpy(job.x), torch.from_numpy(job.t.astype(np.int64))
        self.reset()

    def reset(self) -> None:
        optim = self._torch.optim
        self._params = [p.clone().requires_grad_() for p in self._initial]
        rate = RATES[self._optimizer_name]
        if self._optimizer_name == "SGD":
            self._optimizer = optim.SGD(self._params, lr=rate, foreach=False)
        else:
            self._optimizer = optim.Adam(self._params, lr=rate, betas=(BETA1, BETA2), eps=EPSILON, fused=True)

    def run(self, order: NDArray[np.intp]) -> NDArray[Any]:
        losses = []
        for batch in self._torch.from_numpy(order):
            self._optimizer.zero_grad(set_to_none=True)
            x, t = self._x.index_select(0, batch), self._t.index_select(0, batch)
            loss = pytorch.chain_loss(self._torch, self._params, x, t)
            loss.backward()
            self._optimizer.step()
            losses.append(loss.detach())
        return np.asarray(self._torch.stack(losses))

    def version(self) -> str:
        return f"PyTorch {self._torch.__version__}"
