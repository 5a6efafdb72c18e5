# ruff: noqa: F401, F403  # what scripts import * from here, as from the book's
"""What stands in for the book's `common.layers`: our layers, but for what the book decides otherwise."""

import numpy as np

from fastbp import layers as _layers
from fastbp.book.functions import *
from fastbp.book.util import col2im, im2col
from fastbp.layers import *
from fastbp.originals import original


@original
class SoftmaxWithLoss(_layers.SoftmaxWithLoss):  # type: ignore[no-redef]  # instead of the one from fastbp.layers
    """Softmax and cross-entropy with the book's 1e-7 inside the logarithm, which its gradient leaves out."""

    compiled = _layers.SoftmaxWithLoss.compiled
    _eps = 1e-7

    def __init__(self) -> None:
        super().__init__(eps=1e-7)
