"""Small data of MNIST's form, the ways to write it down, and where the real MNIST lies.

The real MNIST is read from FASTBP_TEST_MNIST, or else from the folder shared/data/mnist beside the repository.
"""

import gzip
import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastbp.datasets import load_mnist

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DOTTED = ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte")
KEYS = ("x_train", "y_train", "x_test", "y_test")
HTML = b"<!DOCTYPE html><title>Please log in to the wireless network</title>"

REAL = Path(os.environ.get("FASTBP_TEST_MNIST") or Path(__file__).parents[2] / "shared" / "data" / "mnist")
real_data = pytest.mark.skipif(
    "FASTBP_TEST_MNIST" not in os.environ and not REAL.is_dir(),
    reason=f"no MNIST here: FASTBP_TEST_MNIST is not set and {REAL} does not exist",
)


def make_arrays(seed=0, classes=10, height=5, width=4, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (n, height, width), dtype=np.uint8) for n in (23, 11)]
    labels = [np.append(rng.integers(0, classes, n - 1), classes - 1).astype(dtype) for n in (23, 11)]
    return images[0], labels[0], images[1], labels[1]


def idx(array):
    """The bytes of an IDX file, written independently of the package."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def npy(shape, data=b"", dtype="|u1"):
    """An npy file whose header may promise anything."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + data


def npz(arrays, compressed=True, **others):
    stream = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(stream, **dict(zip(KEYS, arrays, strict=True)), **others)
    return stream.getvalue()


def packed_files(arrays, names=NAMES):
    return {f"{name}.gz": gzip.compress(idx(array), 1) for name, array in zip(names, arrays, strict=True)}


def plain_files(arrays, names=NAMES):
    return {name: idx(array) for name, array in zip(names, arrays, strict=True)}


SMALL = make_arrays()
OTHER = make_arrays(seed=1)
GOOD = packed_files(SMALL)


def replaced(which, array):
    return npz([array if i == which else SMALL[i] for i in range(4)])


def with_member(name, content):
    """The small npz with one array in place of its own."""
    stream = io.BytesIO(npz(SMALL))
    with zipfile.ZipFile(stream) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[f"{name}.npy"] = content
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, data in members.items():
            if data is not None:
                archive.writestr(member, data)
    return out.getvalue()


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def left_in(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*")) if cache.exists() else []


def raw(path=None):
    (x_train, t_train), (x_test, t_test) = load_mnist(path, normalize=False)
    return x_train, t_train, x_test, t_test


def assert_loaded(loaded, arrays):
    for got, expected in zip(loaded, arrays, strict=True):
        np.testing.assert_array_equal(got, expected.reshape(len(expected), -1).squeeze(), strict=True)
