"""A network of any depth on the layers of a namespace, and the steps of a training loop in Python."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers import BETA1, BETA2, EPSILON, RATES, Job, Params


class Network:
    """Affine layers with ReLU between them: `params`, `layers` and `last_layer` as `fastbp.TwoLayerNet` has them."""

    def __init__(self, params: Params, namespace: Any) -> None:
        self.params = {name: parameter.copy() for name, parameter in params.items()}
        self.layers: dict[str, Any] = {}
        self.depth = len(params) // 2
        for i in range(1, self.depth + 1):
            self.layers[f"Affine{i}"] = namespace.Affine(self.params[f"W{i}"], self.params[f"b{i}"])
            if i < self.depth:
                self.layers[f"Relu{i}"] = namespace.Relu()
        self.last_layer = namespace.SoftmaxWithLoss()

    def loss_and_gradient(self, x: NDArray[Any], t: NDArray[Any]) -> tuple[float, Params]:
        for layer in self.layers.values():
            x = layer.forward(x)
        loss = self.last_layer.forward(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        gradient = {}
        for i in range(1, self.depth + 1):
            layer = self.layers[f"Affine{i}"]
            gradient |= {f"W{i}": layer.dW, f"b{i}": layer.db}
        return loss, gradient


class Layered:
    """What the peers share whose loop is Python's; a subclass has `namespace()` and `optimizer(name)`."""

    def __init__(self, job: Job) -> None:
        self._initial, self._x, self._t, self._optimizer_name = job.params, job.x, job.t, job.optimizer
        self.reset()

    def reset(self) -> None:
        self._network = Network(self._initial, self.namespace())
        self._optimizer = self.optimizer(self._optimizer_name)

    def run(self, order: NDArray[np.intp]) -> NDArray[Any]:
        network, losses = self._network, np.empty(len(order))
        for step, batch in enumerate(order):
            losses[step], gradient = network.loss_and_gradient(self._x[batch], self._t[batch])
            self._optimizer.update(network.params, gradient)
        return losses

    def namespace(self) -> Any:
        raise NotImplementedError

    def optimizer(self, name: str) -> Any:
        raise NotImplementedError


class SGD:
    """The book's, section 6.1.2."""

    def update(self, params: Params, grads: Params) -> None:
        for key in params:
            params[key] -= RATES["SGD"] * grads[key]


class Adam:
    """The book's, section 6.1.6."""

    def __init__(self) -> None:
        self.iter = 0
        self.m: Params = {}
        self.v: Params = {}

    def update(self, params: Params, grads: Params) -> None:
        if not self.m:
            self.m, self.v = ({key: np.zeros_like(p) for key, p in params.items()} for _ in range(2))
        self.iter += 1
        lr = RATES["Adam"] * np.sqrt(1.0 - BETA2**self.iter) / (1.0 - BETA1**self.iter)
        for key in params:
            self.m[key] += (1 - BETA1) * (grads[key] - self.m[key])
            self.v[key] += (1 - BETA2) * (grads[key] ** 2 - self.v[key])
            # A NumPy scalar would make float64 of a float32 product.
            params[key] -= float(lr) * self.m[key] / (np.sqrt(self.v[key]) + EPSILON)


OPTIMIZERS = {"SGD": SGD, "Adam": Adam}
