"""load_mnist with missing, damaged and malicious files: an error that names the file, and little memory."""

import gzip
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from mnist_forms import KEYS, NAMES, idx, npy, npz, packed_files, plain_files, replaced, with_member, write
from mnist_samples import HTML, SMALL

from fastbp.datasets import load_mnist


def test_missing_folder_and_missing_file(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"path: there is no file or folder .*nowhere.*train-labels.*FASTBP_DATA"
    ):
        load_mnist(tmp_path / "nowhere")
    files = packed_files(SMALL)
    del files["t10k-labels-idx1-ubyte.gz"]
    write(tmp_path / "data", files)
    with pytest.raises(FileNotFoundError, match=r"data lacks t10k-labels-idx1-ubyte\. Please put .*FASTBP_DATA"):
        load_mnist(tmp_path / "data")
    write(tmp_path / "empty", {})
    with pytest.raises(FileNotFoundError, match=f"empty lacks {', '.join(NAMES)}"):
        load_mnist(tmp_path / "empty")


IMAGES, LABELS = idx(SMALL[0]), idx(SMALL[1])
GZ = gzip.compress(IMAGES)
DAMAGED_IDX = {
    "empty": (0, b"", "magic number is missing"),
    "cut in the magic number": (0, IMAGES[:3], "magic number is 0x000008"),
    "cut in the header": (0, IMAGES[:13], "ends inside its header"),
    "cut in the data": (0, IMAGES[:-1], "promises 460 bytes, but only 459 follow"),
    "longer": (0, IMAGES + b"\0", "goes on after the 460 bytes"),
    "labels for images": (0, LABELS, "magic number is 0x00000801, expected 0x00000803"),
    "images for labels": (1, IMAGES, "magic number is 0x00000803, expected 0x00000801"),
    "int32": (0, b"\0\0\x0c" + IMAGES[3:], "magic number is 0x00000c03"),
    "web page": (2, HTML, "magic number is 0x3c21444f"),
    "two-dimensional labels": (3, idx(SMALL[3].reshape(11, 1)), "magic number is 0x00000802, expected 0x00000801"),
    "no image": (0, idx(SMALL[0][:0]), r"images of shape \(0, 5, 4\)"),
    "no pixel": (0, idx(SMALL[0][:, :0]), r"images of shape \(23, 0, 4\)"),
    "no label": (1, idx(SMALL[1][:0]), r"labels of shape \(0,\)"),
    "fewer images": (1, idx(SMALL[1][:22]), "22 labels for the 23 images of train-images-idx3-ubyte"),
    "more labels": (3, idx(SMALL[1]), "23 labels for the 11 images of t10k-images-idx3-ubyte"),
    "other size": (2, idx(SMALL[2][:, :4]), r"test images are \(4, 4\), training images \(5, 4\)"),
    "gzip cut": (0, GZ[:-20], "damaged gzip data"),
    "gzip cut in its checksum": (0, GZ[:-5], "damaged gzip data"),
    "gzip with a wrong checksum": (0, GZ[:-8] + b"abcd" + GZ[-4:], "damaged gzip data .*CRC"),
    "gzip with a wrong byte": (0, GZ[:40] + bytes([GZ[40] ^ 255]) + GZ[41:], "damaged gzip data|promises"),
    "gzip of a cut file": (0, gzip.compress(IMAGES[:100]), "promises 460 bytes, but only 84 follow"),
    "gzip with a tail": (0, GZ + b"tail", "damaged gzip data"),
    "gzip magic alone": (1, b"\x1f\x8b", "damaged gzip data"),
}


@pytest.mark.parametrize("case", DAMAGED_IDX)
def test_damaged_idx_file(case, tmp_path):
    which, content, reason = DAMAGED_IDX[case]
    folder = write(tmp_path / "data", plain_files(SMALL) | {NAMES[which]: content})
    with pytest.raises(ValueError, match=rf"data.{NAMES[which]}: .*{reason}.*Please get this file again"):
        load_mnist(folder)


NPZ = npz(SMALL)
DAMAGED_NPZ = {
    "empty": (b"", "not a readable npz archive"),
    "web page": (HTML, "not a readable npz archive"),
    "cut": (NPZ[:-1], "not a readable npz archive"),
    "cut in half": (NPZ[: len(NPZ) // 2], "not a readable npz archive"),
    "wrong byte": (NPZ[:200] + bytes([NPZ[200] ^ 255]) + NPZ[201:], "not a readable npz archive|promises"),
    "an npy file": (npy(SMALL[0].shape, SMALL[0].tobytes()), "not a readable npz archive"),
    "a pickle": (pickle.dumps(SMALL), "not a readable npz archive"),
    "one IDX file": (IMAGES, "not a readable npz archive"),
    "missing array": (with_member("y_test", None), "holds no array 'y_test', but 'x_train', 'y_train', 'x_test'\\. "),
    "no npy inside": (with_member("x_train", HTML), "not a readable npz archive"),
    "objects": (replaced(1, SMALL[1].astype(object)), "'y_train' is an array of Python objects.* refused"),
    "floats": (replaced(0, SMALL[0] / 255), "'x_train' has dtype float64"),
    "text": (replaced(3, SMALL[3].astype(str)), "'y_test' has dtype <U"),
    "wide images": (replaced(0, SMALL[0].astype(np.int32)), r"images of shape \(23, 5, 4\) and dtype int32"),
    "flat images": (replaced(2, SMALL[2].reshape(11, 20)), r"images of shape \(11, 20\)"),
    "column of labels": (replaced(1, SMALL[1].reshape(23, 1)), r"labels of shape \(23, 1\), expected \(N,\)"),
    "labels too large": (replaced(1, SMALL[1].astype(int) + 250), "labels from 250 to 259, expected 0 to 255"),
    "negative labels": (replaced(1, SMALL[1].astype(np.int8) - 1), "labels from -1 to 8"),
    "fewer labels": (replaced(1, SMALL[1][1:]), "22 labels for the 23 images"),
    "promise": (with_member("x_train", npy((10**6, 10**6), b"12")), f"promises {10**12} bytes, but only 2 follow"),
    "longer": (with_member("x_train", npy((1, 2), b"123")), "goes on after the 2 bytes"),
    "negative shape": (with_member("x_train", npy((-1, -1), b"1")), "'x_train' has dtype uint8 and shape"),
    "unfit shape": (with_member("x_train", npy((0, 10**30))), "not a readable npz archive"),
    "damaged header": (with_member("x_train", npy("(")), "'x_train' has a damaged header"),
    "later version": (with_member("x_train", b"\x93NUMPY\x02" + npy((1,), b"1")[7:]), "not in version 1.0"),
}


@pytest.mark.parametrize("case", DAMAGED_NPZ)
def test_damaged_npz_file(case, tmp_path):
    content, reason = DAMAGED_NPZ[case]
    write(tmp_path, {"mnist.npz": content})
    with pytest.raises(ValueError, match=rf"mnist\.npz: .*{reason}.*Please get this file again"):
        load_mnist(tmp_path)


def test_npz_compressed_otherwise(tmp_path):
    with zipfile.ZipFile(tmp_path / "mnist.npz", "w", zipfile.ZIP_LZMA) as archive:
        for key, array in zip(KEYS, SMALL, strict=True):
            archive.writestr(f"{key}.npy", npy(array.shape, array.tobytes()))
    with pytest.raises(ValueError, match=r"mnist\.npz: 'x_train' is compressed by a method"):
        load_mnist(tmp_path)


class Trap:
    def __init__(self, sprung):
        self.sprung = sprung

    def __reduce__(self):
        return os.mkdir, (str(self.sprung),)


def test_nothing_is_unpickled(tmp_path):
    sprung = tmp_path / "sprung"
    trap = np.full(len(SMALL[1]), Trap(sprung), dtype=object)
    write(tmp_path, {"mnist.npz": replaced(1, trap)})
    with pytest.raises(ValueError, match="refused"):
        load_mnist(tmp_path)
    assert not sprung.exists()
    with np.load(tmp_path / "mnist.npz", allow_pickle=True) as archive:
        archive["y_train"]  # what NumPy does with it if it is told to
    assert sprung.exists()


def peak_of(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


ZEROS = bytes(64 << 20)
GREEDY = {
    "IDX header": {NAMES[0]: b"\0\0\x08\x03" + b"\xff" * 12 + b"few"},
    "gzipped IDX header": {NAMES[0]: gzip.compress(b"\0\0\x08\x03" + b"\x7f" * 12 + b"few")},
    "gzip bomb": {NAMES[0]: gzip.compress(IMAGES + ZEROS, 1)},
    "npz header": {"mnist.npz": with_member("x_train", npy((10**5, 10**5), b"few"))},
    "npz bomb": {"mnist.npz": npz([np.frombuffer(ZEROS, "f4"), *SMALL[1:]])},
}


@pytest.mark.parametrize("case", GREEDY)
def test_memory_grows_with_the_content_not_with_the_promise(case, tmp_path):
    files = GREEDY[case]
    folder = write(tmp_path / "data", files if "mnist.npz" in files else plain_files(SMALL) | files)

    def load():
        with pytest.raises(ValueError, match=next(iter(files))):
            load_mnist(folder)

    assert peak_of(load) < 8 << 20


def test_random_damage_is_a_value_error(tmp_path):
    rng = np.random.default_rng(0)
    seeds = [IMAGES, GZ, NPZ, npz(SMALL, compressed=False)]
    messages = []
    for i in range(800):
        content = bytearray(seeds[i % 4])
        if i % 3 == 0:
            content = content[: rng.integers(len(content))]
        for at in rng.integers(len(content) + 1, size=3):
            content[at : at + 1] = rng.bytes(1)
        name = "mnist.npz" if i % 4 > 1 else NAMES[0]
        folder = write(tmp_path / str(i), {name: content} if i % 4 > 1 else plain_files(SMALL) | {name: content})
        try:
            load_mnist(folder)  # a wrong pixel in an IDX file is nobody's business
        except ValueError as error:
            messages.append(f"{name} | {error}")
    assert len(messages) > 500
    assert all(f"{name}: " in rest for name, rest in (message.split(" | ", 1) for message in messages))
