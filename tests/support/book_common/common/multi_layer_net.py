# ruff: noqa: F403, F405
import os
import sys

sys.path.append(os.pardir)
from collections import OrderedDict
from itertools import pairwise

import numpy as np

from common.gradient import numerical_gradient
from common.layers import *


class MultiLayerNet:
    def __init__(
        self,
        input_size,
        hidden_size_list,
        output_size,
        activation="relu",
        weight_init_std="relu",
        weight_decay_lambda=0,
    ):
        self.input_size, self.hidden_size_list, self.output_size = input_size, hidden_size_list, output_size
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.params, self.layers = {}, OrderedDict()
        sizes = [input_size, *hidden_size_list, output_size]
        numerators = {"relu": 2.0, "he": 2.0, "sigmoid": 1.0, "xavier": 1.0}
        for n, (D, M) in enumerate(pairwise(sizes), 1):
            numerator = numerators.get(str(weight_init_std).lower())
            std = weight_init_std if numerator is None else np.sqrt(numerator / D)
            self.params[f"W{n}"] = std * np.random.randn(D, M)
            self.params[f"b{n}"] = np.zeros(M)
        for n in range(1, len(sizes)):
            self.layers[f"Affine{n}"] = Affine(self.params[f"W{n}"], self.params[f"b{n}"])
            if n <= self.hidden_layer_num:
                self.layers[f"Activation_function{n}"] = {"sigmoid": Sigmoid, "relu": Relu}[activation]()
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        scores = self.predict(x)
        decay = 0
        for n in range(1, self.hidden_layer_num + 2):
            decay += 0.5 * self.weight_decay_lambda * np.sum(self.params[f"W{n}"] ** 2)
        return self.last_layer.forward(scores, t) + decay

    def accuracy(self, x, t):
        found = np.argmax(self.predict(x), axis=1)
        labels = t if t.ndim == 1 else np.argmax(t, axis=1)
        return np.sum(found == labels) / float(len(x))

    def numerical_gradient(self, x, t):
        return {name: numerical_gradient(lambda _: self.loss(x, t), value) for name, value in self.params.items()}

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        grads = {}
        for n in range(1, self.hidden_layer_num + 2):
            affine = self.layers[f"Affine{n}"]
            grads[f"W{n}"] = affine.dW + self.weight_decay_lambda * affine.W
            grads[f"b{n}"] = affine.db
        return grads
