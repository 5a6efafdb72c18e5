"""The book's networks of chapter 6: any number of hidden layers, also with batch normalization and dropout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import fastbp.layers
from fastbp.boundary.arguments import not_negative
from fastbp.networks.initial import affine_parameters, layer_sizes
from fastbp.networks.network import Network
from fastbp.originals import original

ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}  # the class of the layer


class _Layered(Network):
    """What the two build themselves with."""

    def _begin(self, inputs: int, hidden: Sequence[int], outputs: int, decay: float) -> list[int]:
        """Sizes and weight decay; all sizes in their order."""
        sizes = layer_sizes(inputs, hidden, outputs)
        self.input_size, *self.hidden_size_list, self.output_size = sizes
        self.hidden_layer_num = len(self.hidden_size_list)
        self.weight_decay_lambda = not_negative(decay, "weight_decay_lambda")
        self.layers, self.holders = {}, ()
        return sizes

    def _add_affine(self, n: int, layers: Any) -> None:
        self.layers[f"Affine{n}"] = layers.Affine(self.params[f"W{n}"], self.params[f"b{n}"])
        self.holders += (f"W{n}", f"Affine{n}", "W"), (f"b{n}", f"Affine{n}", "b")

    def _add_batch_normalization(self, n: int, layers: Any) -> None:
        width, dtype = self.hidden_size_list[n - 1], self.params["W1"].dtype
        gamma, beta = np.ones(width, dtype), np.zeros(width, dtype)
        self.params |= {f"gamma{n}": gamma, f"beta{n}": beta}
        self.layers[f"BatchNorm{n}"] = layers.BatchNormalization(gamma, beta)
        self.holders += (f"gamma{n}", f"BatchNorm{n}", "gamma"), (f"beta{n}", f"BatchNorm{n}", "beta")

    def _end(self, layers: Any) -> None:
        self._add_affine(self.hidden_layer_num + 1, layers)
        self.last_layer = layers.SoftmaxWithLoss()
        self.last_layer._of_network = True


@original
class MultiLayerNet(_Layered):
    """Affine and activation for each of `hidden_size_list`, then Affine and a softmax loss (the book's section 6.6).

    `params` holds W1 b1 W2 b2 ..., `layers` Affine1 Activation_function1 Affine2 ..., `last_layer` the loss.
    `activation` is "relu", "sigmoid" or "tanh". `weight_init_std` is a standard deviation, or the name of one: "relu"
    or "he" for √(2/inputs), "sigmoid" or "xavier" for √(1/inputs). Weights are drawn in float64 and then cast to
    `dtype`, float32 or float64; `rng=None` draws from NumPy's global state, in the book's order. Biases start at 0.
    `layers` is the namespace to take the layers from. A `weight_decay_lambda` λ above 0 adds ½·λ·ΣW² to the loss, over
    the weights of all affine layers, and λ·W to their gradients.
    ValueError for a size below 1, an activation or standard deviation that is none, and a λ that is negative or not
    finite; TypeError for another dtype or kind of rng.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: str | float = "relu",
        weight_decay_lambda: float = 0.0,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
        layers: Any = fastbp.layers,
    ) -> None:
        sizes = self._begin(input_size, hidden_size_list, output_size, weight_decay_lambda)
        self.params = affine_parameters(sizes, weight_init_std, dtype, rng)
        activate = _activation(activation, layers)
        for n in range(1, self.hidden_layer_num + 1):
            self._add_affine(n, layers)
            self.layers[f"Activation_function{n}"] = activate()
        self._end(layers)


@original
class MultiLayerNetExtend(_Layered):
    """The same with batch normalization before each activation, and dropout after it (the book's sections 6.3, 6.4).

    `layers` holds Affine1 BatchNorm1 Activation_function1 Dropout1 Affine2 ..., as far as `use_batchnorm` and
    `use_dropout` ask for them; `params` has gamma1 beta1 ... too, which start at 1 and 0. `dropout_ration` is the
    book's spelling of the share that is dropped. `train_flg` says whether a pass is one of training: `predict` and
    `loss` are not by default, `gradient` always is. The other arguments are those of `MultiLayerNet`, with the same
    errors; `rng` draws for the dropout layers as well.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: str | float = "relu",
        weight_decay_lambda: float = 0.0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
        layers: Any = fastbp.layers,
    ) -> None:
        sizes = self._begin(input_size, hidden_size_list, output_size, weight_decay_lambda)
        self.use_dropout, self.use_batchnorm = use_dropout, use_batchnorm
        self.params = affine_parameters(sizes, weight_init_std, dtype, rng)
        activate = _activation(activation, layers)
        for n in range(1, self.hidden_layer_num + 1):
            self._add_affine(n, layers)
            if use_batchnorm:
                self._add_batch_normalization(n, layers)
            self.layers[f"Activation_function{n}"] = activate()
            if use_dropout:
                self.layers[f"Dropout{n}"] = layers.Dropout(dropout_ration, rng=rng)
        self._end(layers)

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        """Scores (N, output_size), before the softmax, for x (N, input_size) or a single sample.

        Errors as from the layers.
        """
        for key, layer in self.layers.items():
            x = layer.forward(x, train_flg) if key.startswith(("BatchNorm", "Dropout")) else layer.forward(x)
        return x

    def loss(self, x: Any, t: Any, train_flg: bool = False) -> Any:
        """The mean loss of x against labels t, class indices or probabilities; plus the weight decay, if any."""
        return self._decayed(self.last_layer.forward(self.predict(x, train_flg), t))

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        """The gradient of the loss of a pass in training for each parameter, by backpropagation."""
        return self.loss_and_gradient(x, t)[1]

    def loss_and_gradient(self, x: Any, t: Any) -> tuple[Any, dict[str, Any]]:
        """The loss of a pass in training, and what `gradient` returns."""
        loss = self.loss(x, t, True)
        return loss, self._gradients()


def _activation(activation: str, layers: Any) -> Any:
    if activation.lower() not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
    return getattr(layers, ACTIVATIONS[activation.lower()])
