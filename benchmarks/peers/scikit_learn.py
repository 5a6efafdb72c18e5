"""scikit-learn's MLPClassifier, which follows the order too: it gets the samples of all steps in that order.

`partial_fit` without shuffling takes one batch after the other, so its checks of the data are made once in a run and
not once a step. Its loop, its backpropagation and its optimizers are its own; only the loss of each step is kept.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers import BETA1, BETA2, EPSILON, RATES, Job, needs, pairs


class Peer:
    name = "scikit-learn"
    missing = staticmethod(needs("sklearn"))

    def __init__(self, job: Job) -> None:
        import sklearn
        from sklearn.neural_network import MLPClassifier

        sklearn.set_config(assume_finite=True)
        self._sklearn, self._x, self._t, self._initial = sklearn, job.x, job.t, list(pairs(job.params))
        self._losses: list[float] = []
        losses = self._losses

        class Recorded(MLPClassifier):  # type: ignore[misc]  # scikit-learn has no types
            def _backprop(self, *arguments: Any, **named: Any) -> Any:
                result = super()._backprop(*arguments, **named)
                losses.append(result[0])
                return result

        self._model = Recorded(
            job.sizes[1:-1],
            solver=job.optimizer.lower(),
            alpha=0,
            batch_size=job.batch,
            learning_rate_init=RATES[job.optimizer],
            shuffle=False,
            momentum=0,
            nesterovs_momentum=False,
            beta_1=BETA1,
            beta_2=BETA2,
            epsilon=EPSILON,
        )
        self._model.partial_fit(job.x[: job.batch], job.t[: job.batch], classes=np.arange(job.sizes[-1]))
        self.reset()

    def reset(self) -> None:
        for i, (W, b) in enumerate(self._initial):
            self._model.coefs_[i][...] = W
            self._model.intercepts_[i][...] = b
        del self._model._optimizer  # partial_fit makes a new one

    def run(self, order: NDArray[np.intp]) -> NDArray[Any]:
        self._losses.clear()
        samples = order.reshape(-1)
        self._model.partial_fit(self._x[samples], self._t[samples])
        return np.array(self._losses)

    def version(self) -> str:
        return f"scikit-learn {self._sklearn.__version__}"
