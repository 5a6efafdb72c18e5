"""load_mnist with good files: every form, every option, and which source comes first."""

import gzip
import hashlib
import os

import numpy as np
import pytest
from mnist_forms import DOTTED, NAMES, idx, npz, packed_files, plain_files, write
from mnist_real import REAL, real_data
from mnist_samples import HTML, OTHER, SMALL, assert_loaded, make_arrays, raw

from fastbp.datasets import load_mnist, mnist_files

# load_mnist(path) ----------------------------------------------------------------------------------------------------


def test_options(tmp_path):
    folder = write(tmp_path / "data", packed_files(SMALL))
    for i, (x, t) in enumerate(load_mnist(folder)):
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, SMALL[2 * i].reshape(-1, 20).astype(np.float32) / 255.0, strict=True)
        np.testing.assert_array_equal(t, SMALL[2 * i + 1], strict=True)
    for i, (x, t) in enumerate(load_mnist(folder, normalize=False, flatten=False, one_hot_label=True)):
        np.testing.assert_array_equal(x, SMALL[2 * i][:, np.newaxis], strict=True)
        np.testing.assert_array_equal(t, (SMALL[2 * i + 1][:, np.newaxis] == range(10)).astype("f4"), strict=True)
        assert x.flags.writeable


def test_arguments_stand_in_the_order_of_the_book(tmp_path):
    folder = write(tmp_path / "data", packed_files(SMALL))
    (x, t), _ = load_mnist(folder, False, False, True)
    assert (x.dtype, x.shape, t.shape) == (np.uint8, (23, 1, 5, 4), (23, 10))


FORMS = {
    "gz": packed_files(SMALL),
    "plain": plain_files(SMALL),
    "dotted": plain_files(SMALL, DOTTED),
    "dotted gz": packed_files(SMALL, DOTTED),
    "mixed": dict(list(packed_files(SMALL, DOTTED).items())[:2] + list(plain_files(SMALL).items())[2:]),
    "plain under a gz name": {f"{name}.gz": content for name, content in plain_files(SMALL).items()},
    "two gzip members": {n: gzip.compress(c[:9]) + gzip.compress(c[9:]) for n, c in plain_files(SMALL).items()},
    "npz": {"mnist.npz": npz(SMALL)},
    "npz, not compressed, with more in it": {"mnist.npz": npz(SMALL, compressed=False, x_extra=np.arange(3))},
    "npz of Fortran order and int64": {
        "mnist.npz": npz([np.asfortranarray(SMALL[0]), SMALL[1].astype(">i8"), SMALL[2], SMALL[3].astype(np.int64)])
    },
    "IDX files, which come before an npz": {"mnist.npz": npz(OTHER), **packed_files(SMALL)},
    "npz and half of the rest": {"mnist.npz": npz(SMALL), **dict(list(packed_files(OTHER).items())[:3])},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_files(form, tmp_path):
    folder = write(tmp_path / "data", FORMS[form])
    assert_loaded(raw(folder), SMALL)
    assert_loaded(raw(f"{folder}{os.sep}"), SMALL)
    for x, t in load_mnist(folder, normalize=False, flatten=False):
        assert all(array.flags.c_contiguous and array.flags.writeable for array in (x, t))


def test_path_of_an_npz_file(tmp_path):
    write(tmp_path, {"fashion.npz": npz(SMALL)})
    assert_loaded(raw(tmp_path / "fashion.npz"), SMALL)
    assert_loaded(raw(str(tmp_path / "fashion.npz")), SMALL)


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "data", packed_files(SMALL))
    assert_loaded(raw("~/data"), SMALL)


@pytest.mark.parametrize(("classes", "columns"), [(3, 10), (10, 10), (11, 11), (47, 47), (256, 256)])
def test_other_data_set(classes, columns, tmp_path):
    arrays = make_arrays(seed=classes, classes=classes, height=7, width=3)
    folder = write(tmp_path / "data", packed_files(arrays))
    assert_loaded(raw(folder), arrays)
    for (x, t), labels in zip(load_mnist(folder, flatten=False, one_hot_label=True), arrays[1::2], strict=True):
        assert x.shape[1:] == (1, 7, 3)
        assert t.shape == (len(labels), columns)
        np.testing.assert_array_equal(t.argmax(axis=1), labels)
        np.testing.assert_array_equal(t.sum(axis=1), 1)


def test_width_of_one_hot_counts_labels_of_both_parts(tmp_path):
    arrays = [array.copy() for array in SMALL]
    arrays[3][0] = 14  # only in the test part
    (_, t_train), (_, t_test) = load_mnist(write(tmp_path / "data", packed_files(arrays)), one_hot_label=True)
    assert t_train.shape[1] == t_test.shape[1] == 15


@pytest.mark.parametrize("path", [5, b"data", ["data"], 1.5, True])
def test_path_of_wrong_type(path):
    with pytest.raises(TypeError, match=f"path must be a str or an os.PathLike, got {type(path).__name__}"):
        load_mnist(path)


# Which source comes first --------------------------------------------------------------------------------------------


def test_fastbp_data_comes_before_the_cache_and_path_before_both(tmp_path, monkeypatch, cache, small_is_mnist):
    write(cache, packed_files(SMALL))
    assert_loaded(raw(), SMALL)
    monkeypatch.setenv("FASTBP_DATA", "")
    assert_loaded(raw(), SMALL)
    monkeypatch.setenv("FASTBP_DATA", str(write(tmp_path / "other", packed_files(OTHER))))
    assert_loaded(raw(), OTHER)
    third = make_arrays(seed=2)
    assert_loaded(raw(write(tmp_path / "third", packed_files(third))), third)
    monkeypatch.setenv("FASTBP_DATA", str(write(tmp_path, {"any.npz": npz(third)}) / "any.npz"))
    assert_loaded(raw(), third)


def test_fastbp_data_is_never_passed_over(tmp_path, monkeypatch, cache, small_is_mnist):
    write(cache, packed_files(SMALL))
    monkeypatch.setenv("FASTBP_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"FASTBP_DATA: there is no file or folder .*nowhere"):
        load_mnist()
    monkeypatch.setenv("FASTBP_DATA", str(write(tmp_path / "empty", {})))
    with pytest.raises(FileNotFoundError, match=r"FASTBP_DATA: .*empty lacks"):
        load_mnist()
    monkeypatch.setenv("FASTBP_DATA", str(write(tmp_path / "bad", plain_files(SMALL) | {NAMES[2]: HTML})))
    with pytest.raises(ValueError, match=rf"bad.{NAMES[2]}: its magic number"):
        load_mnist()


def test_user_files_are_never_deleted(tmp_path, small_is_mnist):
    folder = write(tmp_path / "data", plain_files(SMALL) | {NAMES[0]: HTML})
    with pytest.raises(ValueError, match=NAMES[0]):
        load_mnist(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)


# The real MNIST ------------------------------------------------------------------------------------------------------


@real_data
def test_real_mnist(real):
    _, t_train, _, t_test = real
    assert [array.shape for array in real] == [(60000, 784), (60000,), (10000, 784), (10000,)]
    assert {array.dtype for array in real} == {np.dtype(np.uint8)}
    assert t_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert t_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(t_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(t_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for array, shape, expected in zip(
        real, [(-1, 28, 28), (-1,), (-1, 28, 28), (-1,)], mnist_files.SHA256, strict=True
    ):
        assert hashlib.sha256(idx(array.reshape(shape))).hexdigest() == expected


@real_data
def test_real_mnist_normalized_bit_for_bit(real):
    for (x, t), pixels, labels in zip(load_mnist(REAL), real[::2], real[1::2], strict=True):
        expected = pixels.astype(np.float32) / 255.0
        assert x.dtype == expected.dtype == np.float32
        assert np.array_equal(x.view(np.uint32), expected.view(np.uint32))
        assert (x.min(), x.max()) == (0, 1)
        np.testing.assert_array_equal(t, labels)
