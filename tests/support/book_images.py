"""The book's networks of chapters 7 and 8, with few filters, as readers type them; the layers are those they name."""

from collections import OrderedDict
from typing import Any

import numpy as np

import fastbp
from fastbp import reference
from fastbp.layers import Dropout

IMAGES, CLASSES = (2, 8, 7), 4


class BookConvNet:
    """Chapter 7's."""

    def __init__(self, layers: Any = fastbp, dtype: str = "float64") -> None:
        rng = np.random.default_rng(7)
        self.params: Any = {}
        for n, shape in enumerate([(5, 2, 3, 3), (5 * 3 * 2, 6), (6, CLASSES)], 1):
            self.params[f"W{n}"] = (0.3 * rng.standard_normal(shape)).astype(dtype)
            self.params[f"b{n}"] = np.zeros(shape[0] if n == 1 else shape[1], dtype)
        self.layers: Any = OrderedDict()
        self.layers["Conv1"] = layers.Convolution(self.params["W1"], self.params["b1"], 1, 0)
        self.layers["Relu1"] = layers.Relu()
        self.layers["Pool1"] = layers.Pooling(pool_h=2, pool_w=2, stride=2)
        self.layers["Affine1"] = layers.Affine(self.params["W2"], self.params["b2"])
        self.layers["Relu2"] = layers.Relu()
        self.layers["Affine2"] = layers.Affine(self.params["W3"], self.params["b3"])
        self.last_layer = layers.SoftmaxWithLoss()

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        y = self.predict(x)
        return self.last_layer.forward(y, t)

    def gradient(self, x: Any, t: Any) -> Any:
        # forward
        self.loss(x, t)
        # backward
        dout = 1
        dout = self.last_layer.backward(dout)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)
        grads = {}
        grads["W1"], grads["b1"] = self.layers["Conv1"].dW, self.layers["Conv1"].db
        grads["W2"], grads["b2"] = self.layers["Affine1"].dW, self.layers["Affine1"].db
        grads["W3"], grads["b3"] = self.layers["Affine2"].dW, self.layers["Affine2"].db
        return grads


class BookDeepNet:
    """Chapter 8's, of four convolutions; `Dropout` is one of the library, or of the oracle."""

    def __init__(self, layers: Any = fastbp, dtype: str = "float64") -> None:
        rng = np.random.default_rng(8)
        self.params: Any = {}
        shapes = [(3, 2, 3, 3), (4, 3, 3, 3), (5, 4, 3, 3), (6, 5, 3, 3), (6 * 3 * 2, 7), (7, CLASSES)]
        for n, shape in enumerate(shapes, 1):
            inputs = np.prod(shape[1:]) if n < 5 else shape[0]
            self.params["W" + str(n)] = (np.sqrt(2 / inputs) * rng.standard_normal(shape)).astype(dtype)
            self.params["b" + str(n)] = np.zeros(shape[0] if n < 5 else shape[1], dtype)
        self.layers: Any = []
        for n, pad in enumerate((1, 1, 1, 2), 1):
            self.layers.append(layers.Convolution(self.params[f"W{n}"], self.params[f"b{n}"], stride=1, pad=pad))
            self.layers.append(layers.Relu())
            if n % 2 == 0:
                self.layers.append(layers.Pooling(pool_h=2, pool_w=2, stride=2))
        self.layers.append(layers.Affine(self.params["W5"], self.params["b5"]))
        self.layers.append(layers.Relu())
        self.layers.append(layers.Dropout(0.5))
        self.layers.append(layers.Affine(self.params["W6"], self.params["b6"]))
        self.layers.append(layers.Dropout(0.5))
        self.last_layer = layers.SoftmaxWithLoss()

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        for layer in self.layers:
            if isinstance(layer, Dropout):
                x = layer.forward(x, train_flg)
            else:
                x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        y = self.predict(x, train_flg=True)
        return self.last_layer.forward(y, t)

    def gradient(self, x: Any, t: Any) -> Any:
        # forward
        self.loss(x, t)
        # backward
        dout = 1
        dout = self.last_layer.backward(dout)
        tmp_layers = self.layers.copy()
        tmp_layers.reverse()
        for layer in tmp_layers:
            dout = layer.backward(dout)
        grads = {}
        for i, layer_idx in enumerate((0, 2, 5, 7, 10, 13)):
            grads["W" + str(i + 1)] = self.layers[layer_idx].dW
            grads["b" + str(i + 1)] = self.layers[layer_idx].db
        return grads


class OracleDeepNet(BookDeepNet):
    """The same with the oracle's layers."""

    def __init__(self, dtype: str = "float64") -> None:
        super().__init__(reference, dtype)

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        for layer in self.layers:
            x = layer.forward(x, train_flg) if isinstance(layer, reference.Dropout) else layer.forward(x)
        return x
