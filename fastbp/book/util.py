"""What stands in for the book's `common.util`."""

import numpy as np

from fastbp.util import col2im, im2col, shuffle_dataset, smooth_curve

__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]


def conv_output_size(input_size: int, filter_size: int, stride: int = 1, pad: int = 0) -> float:
    """(input + 2·pad − filter) / stride + 1 as a float, with a fraction where the stride doesn't fit: the book's."""
    return (input_size + 2 * pad - filter_size) / stride + 1
