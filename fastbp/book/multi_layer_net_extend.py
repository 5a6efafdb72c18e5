# ruff: noqa: F401, F403  # what scripts import * from here, as from the book's
"""What stands in for the book's `common.multi_layer_net_extend`."""

import os
import sys
from collections import OrderedDict
from typing import Any

import numpy as np

from fastbp import networks as _networks
from fastbp.book import layers as _layers
from fastbp.book.gradient import numerical_gradient
from fastbp.book.layers import *


class MultiLayerNetExtend(_networks.MultiLayerNetExtend):
    """The network of `fastbp.networks`, with the book's arguments and the book's loss."""

    def __init__(
        self,
        input_size: int,
        hidden_size_list: list[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: Any = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ) -> None:
        arguments = (input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda)
        regularization = (use_dropout, dropout_ration, use_batchnorm)
        super().__init__(*arguments, *regularization, layers=_layers)
        self.layers = OrderedDict(self.layers)

    def accuracy(self, x: Any, t: Any) -> Any:
        """The share of samples that the network gets right, a number of NumPy's."""
        return np.float64(super().accuracy(x, t))
