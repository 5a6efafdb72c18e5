"""The data sets of the book: MNIST, and 1,797 small digits that come with the package."""

import io
import os
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.datasets.mnist_download import download
from fastbp.datasets.mnist_files import Arrays, cached_arrays, named_arrays
from fastbp.kernels.build.folder import cache_folder

Part = tuple[NDArray[Any], NDArray[Any]]

_DIGITS_TRAIN = 1437


def load_digits(normalize: bool = True, flatten: bool = True, one_hot_label: bool = False) -> tuple[Part, Part]:
    """Return ``(x_train, t_train), (x_test, t_test)``: 1,437 and 360 handwritten digits of 8x8 pixels.

    The split is fixed and keeps the share of each digit. Every call makes new arrays.

    - x: float32 in [0, 1], shape (N, 64); ``normalize=False``: uint8, 0 to 16; ``flatten=False``: (N, 1, 8, 8).
    - t: uint8, shape (N,); ``one_hot_label=True``: float32, shape (N, 10).

    The data: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository (1998), doi:10.24432/C50P49, CC BY 4.0.
    """
    # A resource, not a path: the package may lie in a zip.
    packed = resources.files("fastbp.datasets").joinpath("digits", "digits.npz").read_bytes()
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        images, labels, order = archive["images"], archive["labels"], archive["order"]
    train, test = order[:_DIGITS_TRAIN], order[_DIGITS_TRAIN:]
    arrays = (images[train], labels[train], images[test], labels[test])
    return _as_asked(arrays, 16 if normalize else None, flatten, one_hot_label)


def load_mnist(
    path: str | os.PathLike[str] | None = None,
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
) -> tuple[Part, Part]:
    """Return ``(x_train, t_train), (x_test, t_test)``: MNIST, or another data set in MNIST's files.

    - x: float32 in [0, 1], shape (N, 784); ``normalize=False``: uint8, 0 to 255; ``flatten=False``: (N, 1, 28, 28).
    - t: uint8, shape (N,); ``one_hot_label=True``: float32, shape (N, 10), or wider if a label is 10 or more.
    - path: a folder with the four IDX files, gzipped or not, or with Keras' ``mnist.npz``, or an npz file itself.
      Sizes come from the files. Without a path: the folder that the environment variable FASTBP_DATA names; if it
      is not set, fastbp's cache (FASTBP_CACHE_DIR); if that is empty, a download (FASTBP_MNIST_URL names a mirror
      to ask first), which is kept in the cache. The cache and downloads are checked by SHA-256.

    Raises TypeError if path is no path, FileNotFoundError for a missing file, ValueError for a damaged or foreign
    one or a relative FASTBP_CACHE_DIR, ConnectionError if every mirror fails, and warns if a download cannot be kept.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or an os.PathLike, got {type(path).__name__}")
    return _as_asked(_mnist_arrays(path), 255 if normalize else None, flatten, one_hot_label)


def _mnist_arrays(path: str | os.PathLike[str] | None) -> Arrays:
    if path is not None:
        return named_arrays(path, "path")
    if named := os.environ.get("FASTBP_DATA"):
        return named_arrays(named, "FASTBP_DATA")
    folder = cache_folder("mnist")
    cached = cached_arrays(folder)
    return download(folder) if cached is None else cached


def _as_asked(arrays: Arrays, white: int | None, flatten: bool, one_hot_label: bool) -> tuple[Part, Part]:
    x_train, t_train, x_test, t_test = arrays
    classes = max(10, int(t_train.max()) + 1, int(t_test.max()) + 1) if one_hot_label else None
    return (
        (_images(x_train, white, flatten), _labels(t_train, classes)),
        (_images(x_test, white, flatten), _labels(t_test, classes)),
    )


def _images(x: NDArray[np.uint8], white: int | None, flatten: bool) -> NDArray[Any]:
    shaped = x.reshape(len(x), -1) if flatten else x[:, np.newaxis]
    # The same bits as x.astype(float32) / 255, in one pass.
    return shaped if white is None else np.divide(shaped, np.float32(white), dtype=np.float32)


def _labels(t: NDArray[np.uint8], classes: int | None) -> NDArray[Any]:
    return t if classes is None else np.eye(classes, dtype=np.float32)[t]
