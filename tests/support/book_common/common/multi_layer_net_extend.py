# ruff: noqa: F403, F405
import os
import sys

sys.path.append(os.pardir)
from collections import OrderedDict
from itertools import pairwise

import numpy as np

from common.gradient import numerical_gradient
from common.layers import *


class MultiLayerNetExtend:
    def __init__(
        self,
        input_size,
        hidden_size_list,
        output_size,
        activation="relu",
        weight_init_std="relu",
        weight_decay_lambda=0,
        use_dropout=False,
        dropout_ration=0.5,
        use_batchnorm=False,
    ):
        self.input_size, self.hidden_size_list, self.output_size = input_size, hidden_size_list, output_size
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.use_dropout, self.use_batchnorm = use_dropout, use_batchnorm
        self.params, self.layers = {}, OrderedDict()
        sizes = [input_size, *hidden_size_list, output_size]
        numerators = {"relu": 2.0, "he": 2.0, "sigmoid": 1.0, "xavier": 1.0}
        for n, (D, M) in enumerate(pairwise(sizes), 1):
            numerator = numerators.get(str(weight_init_std).lower())
            std = weight_init_std if numerator is None else np.sqrt(numerator / D)
            self.params[f"W{n}"] = std * np.random.randn(D, M)
            self.params[f"b{n}"] = np.zeros(M)
        for n, width in enumerate(sizes[1:], 1):
            self.layers[f"Affine{n}"] = Affine(self.params[f"W{n}"], self.params[f"b{n}"])
            if n > self.hidden_layer_num:
                break
            if use_batchnorm:
                gamma, beta = np.ones(width), np.zeros(width)
                self.params[f"gamma{n}"], self.params[f"beta{n}"] = gamma, beta
                self.layers[f"BatchNorm{n}"] = BatchNormalization(gamma, beta)
            self.layers[f"Activation_function{n}"] = {"sigmoid": Sigmoid, "relu": Relu}[activation]()
            if use_dropout:
                self.layers[f"Dropout{n}"] = Dropout(dropout_ration)
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x, train_flg=False):
        for name, layer in self.layers.items():
            x = layer.forward(x, train_flg) if name.startswith(("Dropout", "BatchNorm")) else layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        scores = self.predict(x, train_flg)
        decay = 0
        for n in range(1, self.hidden_layer_num + 2):
            decay += 0.5 * self.weight_decay_lambda * np.sum(self.params[f"W{n}"] ** 2)
        return self.last_layer.forward(scores, t) + decay

    def accuracy(self, X, T):
        found = np.argmax(self.predict(X), axis=1)
        labels = T if T.ndim == 1 else np.argmax(T, axis=1)
        return np.sum(found == labels) / float(len(X))

    def numerical_gradient(self, X, T):
        return {name: numerical_gradient(lambda _: self.loss(X, T, True), value) for name, value in self.params.items()}

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        grads = {}
        for n in range(1, self.hidden_layer_num + 2):
            affine = self.layers[f"Affine{n}"]
            grads[f"W{n}"] = affine.dW + self.weight_decay_lambda * self.params[f"W{n}"]
            grads[f"b{n}"] = affine.db
            if self.use_batchnorm and n <= self.hidden_layer_num:
                norm = self.layers[f"BatchNorm{n}"]
                grads[f"gamma{n}"], grads[f"beta{n}"] = norm.dgamma, norm.dbeta
        return grads
