"""What stands in for the book's `dataset.mnist`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import datasets

__all__ = ["img_dim", "img_size", "load_mnist", "np", "test_num", "train_num"]

train_num, test_num = 60000, 10000
img_dim, img_size = (1, 28, 28), 784

Part = tuple[NDArray[Any], NDArray[Any]]


def load_mnist(normalize: bool = True, flatten: bool = True, one_hot_label: bool = False) -> tuple[Part, Part]:
    """``(x_train, t_train), (x_test, t_test)`` with the book's arguments and dtypes, from where fastbp finds MNIST.

    x: float32 in [0, 1], or uint8 with ``normalize=False``; (N, 784), or (N, 1, 28, 28) with ``flatten=False``.
    t: uint8 of shape (N,), or float64 of shape (N, 10) with ``one_hot_label=True``. Errors as in
    `fastbp.datasets.load_mnist`.
    """
    train, test = datasets.load_mnist(normalize=normalize, flatten=flatten, one_hot_label=one_hot_label)
    if one_hot_label:
        return (train[0], train[1].astype(np.float64)), (test[0], test[1].astype(np.float64))
    return train, test


def or_the_owners(load: Callable[..., Any], own: Callable[[], Any], note: Callable[[], None]) -> Callable[..., Any]:
    """`load_mnist`, and where MNIST can't be downloaded that of the script's owner, as it stands; `note` is told then.

    The ConnectionError says so where the owner's doesn't give MNIST either.
    """

    @wraps(load)
    def load_mnist(*arguments: Any, **named: Any) -> Any:
        try:
            return load(*arguments, **named)
        except ConnectionError as error:
            try:
                found = own()(*arguments, **named)
            except Exception as failure:  # whatever the owner's code may raise goes beside our own
                error.add_note(f"Nor does the script's own dataset.mnist give it: {type(failure).__name__}: {failure}")
                raise error from None
        note()
        return found

    return load_mnist
