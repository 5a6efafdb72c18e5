"""The book's network of chapters 4 and 5."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import fastbp.layers
from fastbp.boundary.arguments import generator, not_negative
from fastbp.networks.accuracy import share_right
from fastbp.originals import original


@original
class TwoLayerNet:
    """Affine, ReLU, Affine and a softmax loss (the book's section 5.7).

    `params` holds W1 b1 W2 b2, `layers` the layers in order, `last_layer` (and `lastLayer`, the same object) the loss.
    Weights are normal with standard deviation `weight_init_std`, drawn in float64 and then cast to `dtype`, float32 or
    float64; `rng=None` draws from NumPy's global state, in the book's order. Biases start at 0. `layers` is the
    namespace to take the layers from. A `weight_decay_lambda` λ above 0 adds ½·λ·ΣW² over both weights, not the biases,
    to the loss, and λ·W to its gradients (the book's section 6.4.2).
    ValueError for a size below 1 or a λ that is negative or not finite, TypeError for another dtype or kind of rng.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
        layers: Any = fastbp.layers,
        weight_decay_lambda: float = 0.0,
    ) -> None:
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("output_size", output_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        rng = generator(rng)
        self.weight_decay_lambda = not_negative(weight_decay_lambda, "weight_decay_lambda")
        normal = np.random.randn if rng is None else lambda *shape: rng.standard_normal(shape)
        self.params = {
            "W1": (weight_init_std * normal(input_size, hidden_size)).astype(dtype),
            "b1": np.zeros(hidden_size, dtype),
            "W2": (weight_init_std * normal(hidden_size, output_size)).astype(dtype),
            "b2": np.zeros(output_size, dtype),
        }
        self.layers: dict[str, Any] = {
            "Affine1": layers.Affine(self.params["W1"], self.params["b1"]),
            "Relu1": layers.Relu(),
            "Affine2": layers.Affine(self.params["W2"], self.params["b2"]),
        }
        self.last_layer: Any = layers.SoftmaxWithLoss()
        self.last_layer._of_network = True

    @property
    def lastLayer(self) -> Any:
        """`last_layer` under the name that it has in the book's chapter 5."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, layer: Any) -> None:
        self.last_layer = layer

    def predict(self, x: Any) -> Any:
        """Scores (N, output_size), before the softmax, for x (N, input_size) or a single sample."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        """The mean loss of x against labels t, class indices or probabilities; plus the weight decay, if any."""
        loss = self.last_layer.forward(self.predict(x), t)
        if self.weight_decay_lambda:  # 0 · inf would be NaN
            for layer in (self.layers["Affine1"], self.layers["Affine2"]):
                squares = float(np.sum(np.square(layer.W, dtype=np.float64)))
                loss = loss + 0.5 * self.weight_decay_lambda * squares
        return loss

    def accuracy(self, x: Any, t: ArrayLike) -> float:
        """The share of samples, 0 to 1, whose highest score is at the label (the highest probability of t)."""
        return share_right(self._scores(x), t)

    def _scores(self, x: Any) -> Any:
        """What `predict` returns; of many samples by chunks that stay in the caches, where that is the same."""
        from fastbp.engine import predict  # which imports this module

        return predict(self, x)

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, NDArray[Any]]:
        """The gradient of the loss for each parameter by central differences, in float64 whatever the network's dtype.

        Fast where `loss` is the class's own; `fastbp.check_gradients` compares it with `gradient`.
        """
        from fastbp.gradcheck import numerical_gradients  # which imports the engine, and that this module

        return numerical_gradients(self, x, t)

    def gradient(self, x: Any, t: Any) -> dict[str, NDArray[Any]]:
        """The gradient of the loss for each parameter by backpropagation; `last_layer.loss` is the mean loss alone."""
        return self.loss_and_gradient(x, t)[1]

    def loss_and_gradient(self, x: Any, t: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
        """What `loss` and `gradient` return, from one forward pass."""
        loss = self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        gradients = {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}
        if self.weight_decay_lambda:
            for name, layer in (("W1", first), ("W2", second)):
                gradients[name] = layer.dW + self.weight_decay_lambda * layer.W
        return loss, gradients
