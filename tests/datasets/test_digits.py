"""load_digits: its structure, its split, its content, its source."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from fastbp import datasets
from fastbp.datasets import load_digits


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("one_hot", [True, False])
def test_digits_have_the_structure_of_mnist(normalize, flatten, one_hot):
    (x_train, t_train), (x_test, t_test) = load_digits(normalize, flatten, one_hot)
    for x, t, n in ((x_train, t_train, 1437), (x_test, t_test, 360)):
        assert x.shape == ((n, 64) if flatten else (n, 1, 8, 8))
        assert x.dtype == (np.float32 if normalize else np.uint8)
        assert (x.min(), x.max()) == (0, 1 if normalize else 16)
        assert x.flags.c_contiguous
        assert t.shape == ((n, 10) if one_hot else (n,))
        assert t.dtype == (np.float32 if one_hot else np.uint8)


def test_digits_options_describe_the_same_data():
    plain, scaled = load_digits(normalize=False), load_digits(flatten=False, one_hot_label=True)
    for (x, t), (scaled_x, one_hot) in zip(plain, scaled, strict=True):
        np.testing.assert_array_equal(scaled_x[:, 0].reshape(len(x), 64) * 16, x)
        np.testing.assert_array_equal(one_hot.argmax(axis=1), t)
        np.testing.assert_array_equal(np.sort(one_hot, axis=1)[:, -2:], np.tile([0.0, 1.0], (len(t), 1)))


def test_digits_keep_the_share_of_each_class():
    (_, t_train), (_, t_test) = load_digits()
    # UCI's own counts of the 1,797 images.
    totals = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    in_test = np.bincount(t_test)
    np.testing.assert_array_equal(np.bincount(t_train) + in_test, totals)
    np.testing.assert_array_equal(in_test, [36, 36, 35, 37, 36, 37, 36, 36, 35, 36])
    assert np.abs(in_test - totals * 360 / 1797).max() < 1


def test_digits_split_uses_each_image_once():
    with np.load(Path(datasets.__file__).parent / "digits" / "digits.npz", allow_pickle=False) as archive:
        images, labels, order = archive["images"], archive["labels"], archive["order"]
    np.testing.assert_array_equal(np.sort(order), np.arange(1797))
    (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    back = np.argsort(order)
    np.testing.assert_array_equal(np.concatenate([x_train, x_test])[back].reshape(-1, 8, 8), images)
    np.testing.assert_array_equal(np.concatenate([t_train, t_test])[back], labels)
    # The file as UCI gives it: 64 pixels and the label in each row.
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert images[0].ravel()[:16].tolist() == [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]
    # Neither part is sorted by class, which would spoil a training that takes slices.
    for t in (t_train, t_test):
        assert np.count_nonzero(np.diff(t.astype(int))) > 0.8 * len(t)


def test_digits_content():
    digest = hashlib.sha256()
    for x, t in load_digits(normalize=False):
        digest.update(x.tobytes() + t.tobytes())
    assert digest.hexdigest() == "28d636f2f47ec885bab6c1d883c883cd3f85cb5f6d0f1457558c6b672cc71adf"


def test_digits_are_fresh_on_each_call():
    (x_train, t_train), (x_test, t_test) = load_digits()
    for array in (x_train, t_train, x_test, t_test):
        array[...] = 7
    (x_train, t_train), (x_test, t_test) = load_digits()
    assert not any((array == 7).all() for array in (x_train, t_train, x_test, t_test))


def test_digits_file_is_small_and_credited():
    folder = Path(datasets.__file__).parent / "digits"
    assert (folder / "digits.npz").stat().st_size < 100_000
    for credit in ((folder / "README.md").read_text(encoding="utf-8"), load_digits.__doc__):
        assert all(word in credit for word in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"))
