"""Small arrays of MNIST's form, and whether they came back."""

import numpy as np

from fastbp.datasets import load_mnist

HTML = b"<!DOCTYPE html><title>Please log in to the wireless network</title>"


def make_arrays(seed=0, classes=10, height=5, width=4, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (n, height, width), dtype=np.uint8) for n in (23, 11)]
    labels = [np.append(rng.integers(0, classes, n - 1), classes - 1).astype(dtype) for n in (23, 11)]
    return images[0], labels[0], images[1], labels[1]


SMALL = make_arrays()
OTHER = make_arrays(seed=1)


def left_in(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*")) if cache.exists() else []


def raw(path=None):
    (x_train, t_train), (x_test, t_test) = load_mnist(path, normalize=False)
    return x_train, t_train, x_test, t_test


def assert_loaded(loaded, arrays):
    for got, expected in zip(loaded, arrays, strict=True):
        np.testing.assert_array_equal(got, expected.reshape(len(expected), -1).squeeze(), strict=True)
