"""The layers of chapter 5, on compiled kernels: `forward(x)` keeps what `backward(dout)` needs."""

import sys

from fastbp.layers.affine import Affine
from fastbp.layers.arithmetic import AddLayer, MulLayer
from fastbp.layers.relu import Relu
from fastbp.layers.sigmoid import Sigmoid
from fastbp.layers.softmax_loss import SoftmaxWithLoss

__all__ = ["AddLayer", "Affine", "MulLayer", "Relu", "Sigmoid", "SoftmaxWithLoss"]

# Where layers stood in earlier releases, which their pickles name.
sys.modules |= dict.fromkeys([f"{__name__}.activation", f"{__name__}.loss"], sys.modules[__name__])
