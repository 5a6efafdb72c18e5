"""Nesterov's accelerated gradient."""

from fastbp.kernels import optimizers as kernels
from fastbp.optimizers.momentum import Momentum
from fastbp.originals import original


@original
class Nesterov(Momentum, step=kernels.nesterov):
    """p ← p + momentum² · v − (1 + momentum) · lr · gradient, then v ← momentum · v − lr · gradient.

    Nesterov's accelerated gradient in the book's `common/optimizer.py`, after Bengio, Boulanger-Lewandowski and
    Pascanu (2012, arXiv 1212.0901): p is the point that looks ahead. Errors as in Momentum.
    """
