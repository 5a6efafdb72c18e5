"""The book's networks of chapters 7 and 8: convolutions, pooling, then affine layers."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import fastbp.layers
from fastbp.boundary.arguments import generator, not_negative, whole_number
from fastbp.boundary.images import output_size as places
from fastbp.networks.accuracy import share_right
from fastbp.networks.files import load_params, save_params
from fastbp.networks.network import Network
from fastbp.originals import original

ConvParam = Mapping[str, int]
CONV_PARAM = ("filter_num", "filter_size", "pad", "stride")


@original
class _Convolutional(Network):
    """What the two share: how samples are scored, and how parameters are kept."""

    def accuracy(self, x: Any, t: ArrayLike, batch_size: int = 100) -> float:
        """The share of samples, 0 to 1, whose highest score is at the label; `batch_size` of them at a time."""
        batch_size = whole_number(batch_size, "batch_size", 1)
        scores = [self.predict(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return share_right(np.concatenate(scores) if scores else self.predict(x), t)

    def save_params(self, file_name: str | os.PathLike[str] = "params.npz") -> None:
        """Writes `params` as an npz file: `fastbp.save_params`."""
        save_params(file_name, self)

    def load_params(self, file_name: str | os.PathLike[str] = "params.npz") -> None:
        """Reads them into the network's own arrays, with the errors of `fastbp.load_params`."""
        load_params(file_name, self)


@original
class SimpleConvNet(_Convolutional):
    """Convolution, ReLU, 2 x 2 pooling, Affine, ReLU, Affine and a softmax loss (the book's section 7.5).

    `input_dim` is the shape (C, H, W) of a sample, `conv_param` says filter_num, filter_size, pad and stride. `params`
    holds W1 b1 W2 b2 W3 b3, `layers` Conv1 Relu1 Pool1 Affine1 Relu2 Affine2, `last_layer` the loss. Weights are normal
    with standard deviation `weight_init_std`, drawn in float64 and then cast to `dtype`, float32 or float64; `rng=None`
    draws from NumPy's global state, in the book's order. Biases start at 0. `layers` is the namespace to take the
    layers from.
    ValueError for a size below 1, a conv_param with other names, and a filter larger than the padded image; TypeError
    for another dtype or kind of rng.
    """

    weight_decay_lambda = 0.0
    holders = (
        *(("W1", "Conv1", "W"), ("b1", "Conv1", "b"), ("W2", "Affine1", "W"), ("b2", "Affine1", "b")),
        *(("W3", "Affine2", "W"), ("b3", "Affine2", "b")),
    )

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param: ConvParam | None = None,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
        layers: Any = fastbp.layers,
    ) -> None:
        param = _conv_param(conv_param or {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}, "conv_param")
        number, size, pad, stride = param
        shape = _after_convolution(_image(input_dim), param)
        pooled = (number, *places(shape[1:], (2, 2), 2, 0, "window"))
        hidden, outputs = whole_number(hidden_size, "hidden_size", 1), whole_number(output_size, "output_size", 1)
        std = not_negative(weight_init_std, "weight_init_std")
        shapes = [(number, input_dim[0], size, size), (int(np.prod(pooled)), hidden), (hidden, outputs)]
        self.params = p = _parameters(shapes, [std] * 3, dtype, rng)
        self.layers = {
            "Conv1": layers.Convolution(p["W1"], p["b1"], stride, pad),
            "Relu1": layers.Relu(),
            "Pool1": layers.Pooling(2, 2, stride=2),
            "Affine1": layers.Affine(p["W2"], p["b2"]),
            "Relu2": layers.Relu(),
            "Affine2": layers.Affine(p["W3"], p["b3"]),
        }
        self.last_layer = layers.SoftmaxWithLoss()
        self.last_layer._of_network = True


# The book's six convolutions, as (filter_num, filter_size, pad, stride); the fourth one's pad makes 14 pixels 16.
DEEP = [(16, 3, 1, 1), (16, 3, 1, 1), (32, 3, 1, 1), (32, 3, 2, 1), (64, 3, 1, 1), (64, 3, 1, 1)]


@original
class DeepConvNet(_Convolutional):
    """Three times two convolutions with ReLU and a 2 x 2 pooling, then Affine, ReLU, Dropout, Affine, Dropout and a
    softmax loss (the book's section 8.1).

    `layers` is a list, as in the book. `params` holds W1 b1 ... W8 b8, drawn with He's standard deviation √(2/inputs).
    `conv_param_1` to `conv_param_6` say filter_num, filter_size, pad and stride. Half of what reaches a Dropout is
    dropped in training: `train_flg` of `predict` says whether it is one, `loss` and `gradient` always are. The other
    arguments and errors are those of `SimpleConvNet`; `rng` draws for the dropout layers as well.
    """

    weight_decay_lambda = 0.0
    layers: Any

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param_1: ConvParam | None = None,
        conv_param_2: ConvParam | None = None,
        conv_param_3: ConvParam | None = None,
        conv_param_4: ConvParam | None = None,
        conv_param_5: ConvParam | None = None,
        conv_param_6: ConvParam | None = None,
        hidden_size: int = 50,
        output_size: int = 10,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
        layers: Any = fastbp.layers,
    ) -> None:
        given = (conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6)
        convolutions = [
            _conv_param(param, f"conv_param_{n}") if param else DEEP[n - 1] for n, param in enumerate(given, 1)
        ]
        shape, shapes = _image(input_dim), list[tuple[int, ...]]()
        for n, (number, size, _, _) in enumerate(convolutions):
            shapes.append((number, shape[0], size, size))
            shape = _after_convolution(shape, convolutions[n])
            if n % 2:
                shape = (number, *places(shape[1:], (2, 2), 2, 0, "window"))
        hidden, outputs = whole_number(hidden_size, "hidden_size", 1), whole_number(output_size, "output_size", 1)
        shapes += [(int(np.prod(shape)), hidden), (hidden, outputs)]
        inputs = [int(np.prod(each[1:] if len(each) == 4 else each[:1])) for each in shapes]
        self.params = _parameters(shapes, [float(np.sqrt(2 / each)) for each in inputs], dtype, rng)
        self._build(convolutions, layers, rng)

    def _build(self, convolutions: Sequence[tuple[int, ...]], layers: Any, rng: np.random.Generator | None) -> None:
        self.layers, held = [], []
        for n, (_, _, pad, stride) in enumerate(convolutions, 1):
            held.append(len(self.layers))
            self.layers += [layers.Convolution(self.params[f"W{n}"], self.params[f"b{n}"], stride, pad), layers.Relu()]
            if n % 2 == 0:
                self.layers.append(layers.Pooling(2, 2, stride=2))
        held.append(len(self.layers))
        self.layers += [
            layers.Affine(self.params["W7"], self.params["b7"]),
            layers.Relu(),
            layers.Dropout(0.5, rng=rng),
        ]
        held.append(len(self.layers))
        self.layers += [layers.Affine(self.params["W8"], self.params["b8"]), layers.Dropout(0.5, rng=rng)]
        self.holders = tuple(
            (f"{name}{n}", at, name)  # type: ignore[misc]  # its layers are a list: their keys are numbers
            for n, at in enumerate(held, 1)
            for name in "Wb"
        )
        self.last_layer = layers.SoftmaxWithLoss()
        self.last_layer._of_network = True

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        """Scores (N, output_size), before the softmax, for samples x (N, C, H, W). Errors as from the layers."""
        for layer in self.layers:
            x = layer.forward(x, train_flg) if hasattr(layer, "dropout_ratio") else layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        """The mean loss of a pass in training of x against labels t, class indices or probabilities.

        Errors as from the layers.
        """
        return self.last_layer.forward(self.predict(x, True), t)

    def _gradients(self) -> dict[str, NDArray[Any]]:
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return {name: getattr(self.layers[at], "d" + attribute) for name, at, attribute in self.holders}


def _image(input_dim: Sequence[int]) -> tuple[int, ...]:
    if len(input_dim) != 3:
        raise ValueError(f"input_dim must be (channels, height, width), got {tuple(input_dim)}")
    return tuple(whole_number(size, f"input_dim[{n}]", 1) for n, size in enumerate(input_dim))


def _conv_param(param: ConvParam, name: str) -> tuple[int, int, int, int]:
    if set(param) != set(CONV_PARAM):
        raise ValueError(f"{name} must have {', '.join(CONV_PARAM)}, got {', '.join(map(str, param))}")
    number, size, pad, stride = (
        whole_number(param[key], f"{name}[{key!r}]", 0 if key == "pad" else 1) for key in CONV_PARAM
    )
    return number, size, pad, stride


def _after_convolution(shape: tuple[int, ...], param: tuple[int, ...]) -> tuple[int, ...]:
    number, size, pad, stride = param
    return (number, *places(shape[1:], (size, size), stride, pad))


def _parameters(
    shapes: Sequence[tuple[int, ...]], deviations: Sequence[float], dtype: DTypeLike, rng: np.random.Generator | None
) -> dict[str, NDArray[Any]]:
    """W1 b1 W2 b2 ...: filters (FN, C, FH, FW) or weights (inputs, outputs), with a bias for each FN or output."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
    rng = generator(rng)
    normal: Any = np.random.randn if rng is None else lambda *shape: rng.standard_normal(shape)
    params: dict[str, NDArray[Any]] = {}
    for n, (shape, deviation) in enumerate(zip(shapes, deviations, strict=True), 1):
        params[f"W{n}"] = (deviation * normal(*shape)).astype(dtype)
        params[f"b{n}"] = np.zeros(shape[0] if len(shape) == 4 else shape[1], dtype)
    return params
