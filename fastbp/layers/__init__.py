"""The layers of chapter 5, on compiled kernels: `forward(x)` keeps what `backward(dout)` needs."""

from fastbp.layers.activation import Relu, Sigmoid
from fastbp.layers.affine import Affine
from fastbp.layers.arithmetic import AddLayer, MulLayer
from fastbp.layers.loss import SoftmaxWithLoss

__all__ = ["AddLayer", "Affine", "MulLayer", "Relu", "Sigmoid", "SoftmaxWithLoss"]
