"""Dense samples to compressed rows: what is kept, in which order, and scaled."""

import numpy as np
import pytest

from fastbp.kernels.compress import compress_rows, count_nonzeros

SOURCES = ("uint8", "float32", "float64")


def compressed(x: np.ndarray, scale: float, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With guards around the arrays that the kernels write."""
    starts = np.full(len(x) + 1, -7, np.int64)
    count_nonzeros(x, starts)
    columns, values = np.full(starts[-1] + 2, -7, np.int32), np.full(starts[-1] + 2, -7, dtype)
    compress_rows(x, np.array([scale], dtype), starts, columns[1:-1], values[1:-1])
    assert columns[[0, -1]].tolist() == values[[0, -1]].tolist() == [-7, -7]
    return starts, columns[1:-1], values[1:-1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 130)], ids=str)
def test_rows_of_nonzeros(shape: tuple[int, int], source: str, dtype: str) -> None:
    rng = np.random.default_rng(99)
    x = (rng.integers(1, 200, shape) * (rng.random(shape) < 0.4)).astype(source)
    x[0] = 0
    x[-1] = 9  # the one row, or one of zeros and one without
    starts, columns, values = compressed(x, 0.25, dtype)
    assert starts.tolist() == [0, *np.cumsum(np.count_nonzero(x, axis=1))]
    for i, row in enumerate(x):
        mine = slice(starts[i], starts[i + 1])
        assert columns[mine].tolist() == np.flatnonzero(row).tolist()
        np.testing.assert_array_equal(values[mine], (row[row != 0] * 0.25).astype(dtype))


def test_what_is_no_zero() -> None:
    """NaN, infinities and the smallest number are kept; a negative zero isn't."""
    x = np.array([[np.nan, 0.0, -np.inf, -0.0, 5e-324]])
    starts, columns, values = compressed(x, 1.0, "float64")
    assert starts.tolist() == [0, 3]
    assert columns.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(values, [np.nan, -np.inf, 5e-324])
