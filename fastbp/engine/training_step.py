"""`fastbp.compile`: training steps that run in the compiled loop wherever that does the same as the network."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.chain import NotCompilable
from fastbp.engine.clipping import max_norm_of
from fastbp.engine.compiled_step import CompiledStep
from fastbp.engine.data import Data, LayerData, check_apart, check_plain, given_of
from fastbp.engine.layer_step import LayerStep


class TrainingStep:
    """Training steps of one network with one optimizer. Made by `fastbp.compile`.

    Whenever steps are taken, it looks whether the compiled loop does the same as the network and the optimizer; where
    that isn't so, these take the steps themselves. `compiled` and `reason` say what took the last steps, or before the
    first ones what `fastbp.compile` found. The network's arrays are trained in place. One object belongs to one thread
    at a time, as a layer does.
    """

    max_norm: float | None = None  # which pickles of earlier releases lack

    def __init__(self, network: Any, optimizer: Any, *, strict: bool = False, max_norm: float | None = None) -> None:
        self.network, self.optimizer, self.strict, self.max_norm = network, optimizer, strict, max_norm
        self.compiled, self.reason = False, ""
        self._compiled: CompiledStep | None = None
        self._layers: LayerStep | None = None
        self._noted: Any = None
        self._reporter: Any = None
        self.refusal = ""  # why the compiled loop can't take the next steps
        self._note(self.runner())

    def __call__(self, x: ArrayLike, t: ArrayLike, *, scale: float = 1.0) -> float:
        """One step on a batch: forward, backward, update. Returns the loss before the update.

        x (N, D) or (N, C, H, W), of which `scale` times is used; t (N,) class indices, (N, classes) probabilities, or
        values to predict. ValueError and TypeError, before anything has changed, for data that don't fit, labels that
        are no classes, and hyperparameters as in the optimizer's constructor; NotCompilable where `strict` asks for
        compiled steps.
        """
        runner = self.runner(x, t)
        loss = runner(x, t, scale=scale)
        self._note(runner)
        return loss

    def prepare(self, x: Any, t: ArrayLike, *, scale: float = 1.0, sparse: bool | None = None) -> Data | LayerData:
        """Checks samples and labels, and compresses those that are to be, once for many runs.

        x (N, D) or (N, C, H, W) of uint8, float32 or float64, of which `scale` times is used; or a scipy.sparse matrix.
        `sparse` says whether the first Affine skips zeros, for which samples of another dtype than the network's, or of
        a scale, are compressed; None measures how many zeros there are. C-contiguous samples of these dtypes are read
        where they lie, of everything else copies may be made: so after samples or labels have changed, prepare them
        again. ValueError and TypeError as in a step.
        """
        runner = self.runner(x, t)
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
        lr: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """A step for each row of `order` (steps, batch), indices of samples; the losses (steps,) before each update.

        `run(x, t, order)`, or `run(data, order)` with what `prepare` made: many short runs are faster so, as each run
        checks, and compresses, what it is given. A loss that is NaN is returned as such. Ctrl-C ends it after a whole
        step, with the random numbers of layers drawn as far as those of the steps taken. `lr` (steps,) has a learning
        rate for each step, instead of the optimizer's. Errors as in `prepare`, ValueError and TypeError for indices of
        no sample, and for rates that are negative, NaN, or not one a step.
        """
        runner = self.runner(x, t)
        if isinstance(runner, LayerStep):
            self._check_sparse(sparse)
        try:
            losses = runner.run(x, t, order, scale=scale, sparse=sparse, lr=lr)
        except KeyboardInterrupt:
            self._note(runner)
            raise
        self._note(runner)
        return losses

    def report(self, batch: int = 100) -> str:
        """What took the last steps: with a batch of so many samples, the operations and bytes of each layer."""
        if self._reporter is None:  # a copy, before its first step
            self._note(self.runner())
        return str(self._reporter(batch))

    def flops(self, batch: int, share_used: float = 1.0) -> float:
        """Useful floating-point operations of a compiled step whose first layer multiplies a share of its inputs."""
        runner = self.runner()
        return runner.flops(batch, share_used) if isinstance(runner, CompiledStep) else 0.0

    def runner(self, x: Any = None, t: Any = None) -> CompiledStep | LayerStep:
        """Who takes the next step on such data, or all of a run, by what network and optimizer are now.

        NotCompilable where that must be the loop and can't. ValueError naming the parameters that came apart from their
        layers.
        """
        compiled, layers = self._compiled, self._layers
        if (
            compiled is None
            or compiled.network is not self.network
            or compiled.optimizer is not self.optimizer
            or compiled.max_norm != self.max_norm
        ):
            parts = self.network, self.optimizer, max_norm_of(self.max_norm)
            compiled, layers = self._compiled, self._layers = CompiledStep(*parts), LayerStep(*parts)
        assert layers is not None
        try:
            compiled.bind()
            samples, labels = given_of(x, t)
            check_plain(samples, labels)
            check_apart(samples, labels, compiled.trained)
        except NotCompilable as error:
            if self.strict:
                raise
            self.refusal = str(error)
            layers.look()
            return layers
        return compiled

    def _note(self, runner: CompiledStep | LayerStep) -> None:
        if self._noted is runner.noted:  # the same as before: known without a look in 0.1 µs instead of 3
            return
        self._noted = runner.noted
        self.compiled = isinstance(runner, CompiledStep)
        self.reason = "" if self.compiled else self.refusal
        self._reporter = runner.reporter(self.reason)

    def __getstate__(self) -> dict[str, Any]:
        """What was compiled holds addresses of this network's arrays: a copy looks at its own at its first use."""
        return vars(self) | dict.fromkeys(("_compiled", "_layers", "_noted"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Also that of an earlier release, whose `_report` is of another form."""
        state.pop("_report", None)
        vars(self).update({"_reporter": None} | state)

    def _check_sparse(self, sparse: bool | None) -> None:
        if sparse:
            raise ValueError(f"sparse=True needs the compiled loop: {self.refusal}")
