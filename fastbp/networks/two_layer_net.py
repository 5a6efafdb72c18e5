"""The book's network of chapters 4 and 5."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import fastbp.layers
from fastbp.boundary.arguments import not_negative
from fastbp.networks.initial import affine_parameters
from fastbp.networks.network import Network
from fastbp.originals import original


@original
class TwoLayerNet(Network):
    """Affine, ReLU, Affine and a softmax loss (the book's section 5.7).

    `params` holds W1 b1 W2 b2, `layers` the layers in order, `last_layer` (and `lastLayer`, the same object) the loss.
    Weights are normal with standard deviation `weight_init_std`, drawn in float64 and then cast to `dtype`, float32 or
    float64; `rng=None` draws from NumPy's global state, in the book's order. Biases start at 0. `layers` is the
    namespace to take the layers from. A `weight_decay_lambda` λ above 0 adds ½·λ·ΣW² over both weights, not the biases,
    to the loss, and λ·W to its gradients (the book's section 6.4.2).
    ValueError for a size below 1 or a λ that is negative or not finite, TypeError for another dtype or kind of rng.
    """

    holders = (("W1", "Affine1", "W"), ("b1", "Affine1", "b"), ("W2", "Affine2", "W"), ("b2", "Affine2", "b"))

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
        self.weight_decay_lambda = not_negative(weight_decay_lambda, "weight_decay_lambda")
        self.params = affine_parameters((input_size, hidden_size, output_size), weight_init_std, dtype, rng)
        self.layers = {
            "Affine1": layers.Affine(self.params["W1"], self.params["b1"]),
            "Relu1": layers.Relu(),
            "Affine2": layers.Affine(self.params["W2"], self.params["b2"]),
        }
        self.last_layer = layers.SoftmaxWithLoss()
        self.last_layer._of_network = True

    @property
    def lastLayer(self) -> Any:
        """`last_layer` under the name that it has in the book's chapter 5."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, layer: Any) -> None:
        self.last_layer = layer
