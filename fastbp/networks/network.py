"""What the library's networks share: chaining, loss, gradient, accuracy, weight decay."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.layers.without_dx import backward_without_dx
from fastbp.networks.accuracy import share_right
from fastbp.originals import original
from fastbp.provided import provided


@original
class Network:
    """Layers in order, and a loss.

    A network class sets `params`, `layers`, a dict in the order of the samples' way, `last_layer`, the loss,
    `weight_decay_lambda`, and `holders`: (name of a parameter, key of the layer that holds it, its attribute) for each.
    Attributes called W decay.
    """

    params: dict[str, NDArray[Any]]
    layers: dict[str, Any]
    last_layer: Any
    weight_decay_lambda: float
    holders: tuple[tuple[str, str, str], ...]

    def predict(self, x: Any) -> Any:
        """Scores (N, classes), before the loss's softmax, for samples x (N, ...), or a single one.

        ValueError and TypeError as from the layers.
        """
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        """The mean loss of x against labels t, class indices or probabilities; plus the weight decay, if any.

        ValueError and TypeError as from the layers.
        """
        return self._decayed(self.last_layer.forward(self.predict(x), t))

    def _decayed(self, loss: Any) -> Any:
        """The loss, plus the weight decay."""
        if self.weight_decay_lambda:  # 0 · inf would be NaN
            for _, key, attribute in self.holders:
                if attribute == "W":
                    squares = float(np.sum(np.square(self.layers[key].W, dtype=np.float64)))
                    loss = loss + 0.5 * self.weight_decay_lambda * squares
        return loss

    def accuracy(self, x: Any, t: ArrayLike) -> float:
        """The share of samples, 0 to 1, whose highest score is at the label (the highest probability of t)."""
        return share_right(self._scores(x), t)

    def _scores(self, x: Any) -> Any:
        """What `predict` returns; of many samples by chunks that stay in the caches, where that is the same."""
        scores = provided("scores")
        return scores(self, x) if scores else self.predict(x)

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, NDArray[Any]]:
        """The gradient of the loss for each parameter by central differences, in float64 whatever the network's dtype.

        Fast where `loss` is the class's own; `fastbp.check_gradients` compares it with `gradient`.
        """
        gradients = provided("numerical gradients")
        if gradients is None:
            raise RuntimeError("nobody provides numerical gradients: import fastbp")
        found: dict[str, NDArray[Any]] = gradients(self, x, t)
        return found

    def gradient(self, x: Any, t: Any) -> dict[str, NDArray[Any]]:
        """The gradient of the loss for each parameter by backpropagation; `last_layer.loss` is the mean loss alone."""
        return self.loss_and_gradient(x, t)[1]

    def loss_and_gradient(self, x: Any, t: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
        """What `loss` and `gradient` return, from one forward pass."""
        loss = self.loss(x, t)
        return loss, self._gradients()

    def _gradients(self) -> dict[str, NDArray[Any]]:
        """The gradients of the loss that was computed last."""
        dout, layers = self.last_layer.backward(1), list(self.layers.values())
        for layer in reversed(layers[1:]):
            dout = layer.backward(dout)
        for first in layers[:1]:
            backward_without_dx(first, dout)
        gradients = {}
        for name, key, attribute in self.holders:
            layer = self.layers[key]
            gradients[name] = getattr(layer, "d" + attribute)
            if self.weight_decay_lambda and attribute == "W":
                gradients[name] = gradients[name] + self.weight_decay_lambda * layer.W
        return gradients
