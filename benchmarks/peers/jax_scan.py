"""JAX: all steps in one `jit`, a `lax.scan` over the order, with the data on the device and donated parameters.

XLA takes as many threads as the process has cores. Unrolling the scan, telling the gather that indices are in bounds,
XLA's own vectors of 512 bits, and its oneDNN, XNNPACK and YNNPACK products were tried on 784-50-10, one thread: what
they change, if anything, is less than the noise of a shared machine.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers import BETA1, BETA2, EPSILON, RATES, Job, needs, pairs

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Peer:
    name = "JAX"
    missing = staticmethod(needs("jax"))

    def __init__(self, job: Job) -> None:
        os.environ["JAX_PLATFORMS"] = "cpu"
        if job.threads == 1:
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}"
        import jax

        self._jax, self._initial = jax, list(pairs(job.params))
        self._x, self._t = jax.device_put(job.x), jax.device_put(job.t.astype(np.int32))
        self._update = {"SGD": self._sgd, "Adam": self._adam}[job.optimizer]
        self._run = jax.jit(self._scan, donate_argnums=0)
        self.reset()

    def reset(self) -> None:
        copy = self._jax.numpy.array
        params = [(copy(W), copy(b)) for W, b in self._initial]
        m, v = (self._jax.tree.map(self._jax.numpy.zeros_like, params) for _ in range(2))
        self._state = (params, m, v, self._jax.numpy.zeros((), np.float32))

    def run(self, order: NDArray[np.intp]) -> NDArray[Any]:
        self._state, losses = self._run(self._state, self._x, self._t, order.astype(np.int32))
        self._jax.block_until_ready(self._state)
        return np.asarray(losses)

    def version(self) -> str:
        return f"JAX {self._jax.__version__}"

    def _scan(self, state: Any, x: Any, t: Any, order: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            loss, gradient = self._jax.value_and_grad(self._loss)(state[0], x[batch], t[batch])
            return self._update(state, gradient), loss

        return self._jax.lax.scan(step, state, order)

    def _loss(self, params: Any, x: Any, t: Any) -> Any:
        for W, b in params[:-1]:
            x = self._jax.nn.relu(x @ W + b)
        W, b = params[-1]
        log_y = self._jax.nn.log_softmax(x @ W + b)
        return -self._jax.numpy.take_along_axis(log_y, t[:, None], axis=1).mean()

    def _sgd(self, state: Any, gradient: Any) -> Any:
        params, *rest = state
        return (self._jax.tree.map(lambda p, g: p - RATES["SGD"] * g, params, gradient), *rest)

    def _adam(self, state: Any, gradient: Any) -> Any:
        (params, m, v, steps), each = state, self._jax.tree.map
        steps = steps + 1
        lr = RATES["Adam"] * self._jax.numpy.sqrt(1 - BETA2**steps) / (1 - BETA1**steps)
        m = each(lambda m, g: m + (1 - BETA1) * (g - m), m, gradient)
        v = each(lambda v, g: v + (1 - BETA2) * (g * g - v), v, gradient)
        sqrt = self._jax.numpy.sqrt
        return each(lambda p, m, v: p - lr * m / (sqrt(v) + EPSILON), params, m, v), m, v, steps
