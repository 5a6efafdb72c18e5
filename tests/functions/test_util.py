"""Images as columns, against the oracle's own lines and by what they mean; shuffled data, smoothed curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp import reference, util


@given(
    *(st.integers(1, 4) for _ in range(2)), *(st.integers(0, 9) for _ in range(2)),
    *(st.integers(1, 5) for _ in range(2)), st.integers(1, 4), st.integers(0, 3),
)  # fmt: skip
def test_agree_with_oracle(n: int, c: int, h: int, w: int, fh: int, fw: int, stride: int, pad: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-9, 9, (n, c, h + fh, w + fw)).astype(np.float32)
    col = util.im2col(x, fh, fw, stride, pad)
    np.testing.assert_array_equal(col, reference.im2col(x, fh, fw, stride, pad), strict=True)
    other = rng.integers(-9, 9, col.shape).astype(np.float32)
    image = util.col2im(other, x.shape, fh, fw, stride, pad)
    np.testing.assert_array_equal(image, reference.col2im(other, x.shape, fh, fw, stride, pad), strict=True)
    assert np.sum(col * other) == np.sum(x * image)  # each is the transpose of the other
    out_h, out_w = (util.conv_output_size(size, f, stride, pad) for size, f in ((h + fh, fh), (w + fw, fw)))
    assert col.shape == (n * out_h * out_w, c * fh * fw)


def test_the_books_examples() -> None:
    """Section 7.4.3: the shapes for a batch of 1 and of 10."""
    assert util.im2col(np.zeros((1, 3, 7, 7)), 5, 5, stride=1, pad=0).shape == (9, 75)
    assert util.im2col(np.zeros((10, 3, 7, 7)), 5, 5, stride=1, pad=0).shape == (90, 75)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_dtypes_stay(dtype: str) -> None:
    col = util.im2col(np.ones((1, 1, 3, 3), dtype), 2, 2)
    assert col.dtype == util.col2im(col, (1, 1, 3, 3), 2, 2).dtype == dtype


def test_mistakes() -> None:
    x = np.zeros((1, 1, 4, 4))
    with pytest.raises(ValueError, match="a filter of 5 x 3 is larger than images of 4 x 4"):
        util.im2col(x, 5, 3)
    with pytest.raises(ValueError, match=r"input_data must be images of shape \(N, C, H, W\), got shape \(4, 4\)"):
        util.im2col(x[0, 0], 2, 2)
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        util.im2col(x, 2, 2, stride=0)
    with pytest.raises(TypeError, match=r"pad must be an integer, got 0\.5"):
        util.conv_output_size(4, 2, pad=0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"im2col makes \(9, 4\) of them"):
        util.col2im(np.zeros((8, 4)), (1, 1, 4, 4), 2, 2)


def test_a_shuffle_keeps_pairs_and_draws_once() -> None:
    x, t = np.arange(24.0).reshape(6, 2, 2, 1), np.arange(6)
    np.random.seed(3)
    shuffled, labels = util.shuffle_dataset(x, t)
    after = np.random.rand()
    np.random.seed(3)
    order = np.random.permutation(6)
    np.testing.assert_array_equal(labels, order)
    np.testing.assert_array_equal(shuffled, x[order])
    assert after == np.random.rand()
    own, _ = util.shuffle_dataset(x, t, np.random.default_rng(5))
    np.testing.assert_array_equal(own, x[np.random.default_rng(5).permutation(6)])
    with pytest.raises(ValueError, match="x has 6 samples, but t has 5 labels"):
        util.shuffle_dataset(x, t[:5])


def test_a_smoothed_curve() -> None:
    np.testing.assert_allclose(util.smooth_curve(np.full(20, 3.0)), np.full(20, 3.0))
    line = np.arange(40.0)
    np.testing.assert_allclose(util.smooth_curve(list(line))[10:-10], line[10:-10])
    rng = np.random.default_rng(2)
    curve = rng.standard_normal(30)
    weights = np.kaiser(11, 2) / np.kaiser(11, 2).sum()
    # Mirrored at the first value, and behind the last one, which is there twice.
    long = [*curve[10:0:-1], *curve, *curve[::-1][:10]]
    expected = [sum(w * long[5 + n + k] for k, w in enumerate(weights)) for n in range(30)]
    np.testing.assert_allclose(util.smooth_curve(curve), expected)
    with pytest.raises(ValueError, match=r"at least 11 values in one axis, got shape \(10,\)"):
        util.smooth_curve(np.ones(10))
