"""`fastbp.compile`: training steps that run in the compiled loop wherever that does the same as the network."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.chain import Chain, NotCompilable
from fastbp.engine.data import Data, LayerData
from fastbp.engine.layerwise import LayerStep
from fastbp.engine.report import layers_report
from fastbp.engine.step import CompiledStep


class TrainingStep:
    """Training steps of one network with one optimizer. Made by `fastbp.compile`.

    Whenever steps are taken, it looks whether the compiled loop does the same as the network and the optimizer; where
    that isn't so, these take the steps themselves. `compiled` and `reason` say what the last steps ran by and why, or
    before the first ones what was found by `fastbp.compile`. The network's arrays are trained in place. One object
    belongs to one thread at a time, as a layer does.
    """

    def __init__(self, network: Any, optimizer: Any, *, strict: bool = False) -> None:
        self.network, self.optimizer, self.strict = network, optimizer, strict
        self.reason = ""
        self._compiled: CompiledStep | None = None
        self._runner()

    @property
    def compiled(self) -> bool:
        """Whether the last steps ran in the compiled loop."""
        return not self.reason

    def __call__(self, x: ArrayLike, t: ArrayLike, *, scale: float = 1.0) -> float:
        """One step on a batch: forward, backward, update. Returns the loss before the update.

        x (N, D), of which `scale` times is used, t (N,) class indices or (N, C) probabilities. ValueError and
        TypeError, before anything has changed, for data that don't fit, labels that are no classes, and
        hyperparameters as in the optimizer's constructor; NotCompilable where `strict` asks for compiled steps.
        """
        return self._runner()(x, t, scale=scale)

    def prepare(self, x: Any, t: ArrayLike, *, scale: float = 1.0, sparse: bool | None = None) -> Data | LayerData:
        """Checks samples and labels, and compresses samples that are mostly zeros, once for many runs.

        x (N, D) of uint8, float32 or float64, of which `scale` times is used; or a scipy.sparse matrix. `sparse` says
        whether the first Affine skips zeros, for which samples are compressed; None measures how many zeros there are.
        Dense samples are read as they lie: change them, and later runs see that. Labels and what is compressed are
        copies: after a change, prepare again. ValueError and TypeError as in a step.
        """
        runner = self._runner()
        if isinstance(runner, CompiledStep):
            return runner.prepare(x, t, scale=scale, sparse=sparse)
        self._check_sparse(sparse)
        return runner.prepare(x, t, scale=scale)

    def run(
        self,
        x: Any,
        t: Any = None,
        order: ArrayLike | None = None,
        *,
        scale: float = 1.0,
        sparse: bool | None = None,
    ) -> NDArray[np.float64]:
        """A step for each row of `order` (steps, batch), indices of samples; the losses (steps,) before each update.

        `run(x, t, order)`, or `run(data, order)` with what `prepare` made: many short runs are faster so, as each run
        compresses samples that are mostly zeros. A loss that is NaN is returned as such. Ctrl-C ends it after a whole
        step. Errors as in `prepare`, ValueError and TypeError for indices of no sample.
        """
        runner = self._runner()
        if isinstance(runner, LayerStep):
            self._check_sparse(sparse)
        return runner.run(x, t, order, scale=scale, sparse=sparse)

    def report(self, batch: int = 100) -> str:
        """What ran where in the last steps: with a batch of so many samples, the operations and bytes of each layer."""
        if self._compiled is not None and self.compiled:
            return self._compiled.report(batch)
        chain = Chain.of(self.network)
        return layers_report(chain.layers, chain.loss, self.optimizer, self.reason)

    def flops(self, batch: int, share_used: float = 1.0) -> float:
        """Useful floating-point operations of a compiled step whose first layer multiplies a share of its inputs."""
        runner = self._runner()
        return runner.flops(batch, share_used) if isinstance(runner, CompiledStep) else 0.0

    def __getstate__(self) -> dict[str, Any]:
        """What was compiled holds addresses of this network's arrays: a copy looks at its own at its first use."""
        return vars(self) | {"_compiled": None}

    def _runner(self) -> CompiledStep | LayerStep:
        """Who takes the next steps, by what network and optimizer are now."""
        compiled = self._compiled
        if compiled is None or compiled.network is not self.network or compiled.optimizer is not self.optimizer:
            compiled = self._compiled = CompiledStep(self.network, self.optimizer)
        try:
            compiled.bind()
        except NotCompilable as error:
            if self.strict:
                raise
            self.reason = str(error)
            return LayerStep(self.network, self.optimizer)
        self.reason = ""
        return compiled

    def _check_sparse(self, sparse: bool | None) -> None:
        if sparse:
            raise ValueError(f"sparse=True needs the compiled loop: {self.reason}")
