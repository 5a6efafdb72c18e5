"""The ways to write MNIST down, written independently of the package."""

import gzip
import io
import struct
import zipfile

import numpy as np
from mnist_samples import SMALL

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DOTTED = ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte")
KEYS = ("x_train", "y_train", "x_test", "y_test")


def idx(array):
    """The bytes of an IDX file."""
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


GOOD = packed_files(SMALL)
