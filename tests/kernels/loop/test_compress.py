"""Dense samples to compressed rows: what is kept, in which order, and scaled."""

from itertools import pairwise

import numpy as np
import pytest

from fastbp.engine.addresses import address
from fastbp.kernels.loop.compress import WIDE, dtypes_of, form_of, functions

SOURCES = ("uint8", "float32", "float64")


def compressed(
    x: np.ndarray,
    scale: float,
    columns_as: str,
    values_as: str,
    borders: tuple[int, ...] = (),
    then: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """By parts of the rows, with guards around the arrays that are written; `then` is what x becomes meanwhile."""
    count, pack = (each.function() for each in functions(x.dtype, columns_as, values_as))
    starts = np.zeros(len(x) + 1, np.int64)
    parts = list(pairwise((0, *borders, len(x))))
    for lo, hi in reversed(parts):
        count(lo, hi, x.shape[1], address(x), address(starts[1:]))
    np.cumsum(starts, out=starts)
    x = x if then is None else then
    columns, values = np.full(starts[-1] + 2, 77, columns_as), np.full(starts[-1] + 2, 77, values_as)
    factor, goes = np.array([scale], values_as), (address(columns[1:]), address(values[1:]))
    for lo, hi in reversed(parts):
        pack(lo, hi, x.shape[1], address(x), address(factor), address(starts), *goes)
    assert columns[[0, -1]].tolist() == values[[0, -1]].tolist() == [77, 77]
    return starts, columns[1:-1], values[1:-1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 130), (9, 16), (4, 79)], ids=str)
def test_rows_of_nonzeros(shape: tuple[int, int], source: str, wide: bool, dtype: str) -> None:
    rng = np.random.default_rng(99)
    x = (rng.integers(1, 200, shape) * (rng.random(shape) < 0.4)).astype(source)
    x[0] = 0
    x[-1] = 9  # the one row, or one of zeros and one without
    kinds = dtypes_of(WIDE if wide else form_of(source, shape[1]), dtype)
    scale = 1 if kinds[1] == "uint8" else 0.25
    starts, columns, values = compressed(x, scale, *kinds, borders=(len(x) // 2,))
    assert starts.tolist() == [0, *np.cumsum(np.count_nonzero(x, axis=1))]
    for i, row in enumerate(x):
        mine = slice(starts[i], starts[i + 1])
        assert columns[mine].tolist() == np.flatnonzero(row).tolist()
        np.testing.assert_array_equal(values[mine], (row[row != 0] * scale).astype(kinds[1]))


def test_what_is_no_zero() -> None:
    """NaN, infinities and the smallest number are kept; a negative zero isn't."""
    x = np.array([[np.nan, 0.0, -np.inf, -0.0, 5e-324]])
    starts, columns, values = compressed(x, 1.0, "uint16", "float64")
    assert starts.tolist() == [0, 3]
    assert columns.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(values, [np.nan, -np.inf, 5e-324])


@pytest.mark.parametrize("D", [7, 8, 31, 32, 63, 64, 65, 200])
def test_bytes(D: int) -> None:
    """Rows of no zeros and of nothing else, with zeros far apart and in runs; parts that begin anywhere."""
    rng = np.random.default_rng(98)
    kept = rng.random((12, D)) < np.linspace(0, 1, 12)[:, None]
    kept[5:9, D // 3 : D - D // 4] = False
    x = (rng.integers(1, 256, kept.shape) * kept).astype("uint8")
    starts, columns, values = compressed(x, 1, "uint16", "uint8", borders=(2, 5, 11))
    rows, places = np.nonzero(x)
    np.testing.assert_array_equal(starts, np.searchsorted(rows, np.arange(13)))
    np.testing.assert_array_equal(columns, places)
    np.testing.assert_array_equal(values, x[rows, places])


@pytest.mark.parametrize("source", SOURCES)
def test_samples_that_change_meanwhile(source: str) -> None:
    """What was counted and what is packed differ: nothing leaves the arrays, and no column is one that isn't there."""
    rng = np.random.default_rng(97)
    more, less = (rng.integers(1, 200, (6, 150)) * (rng.random((6, 150)) < share) for share in (0.9, 0.2))
    for before, after in ((more, less), (less, more)):
        counted = before.astype(source)
        starts, columns, values = compressed(
            counted, 1, *dtypes_of(form_of(source, 150), "float32"), borders=(2, 5), then=after.astype(source)
        )
        assert starts[-1] == np.count_nonzero(counted)
        rows = np.repeat(np.arange(6), np.diff(starts))
        assert columns.max() < 150
        kept = values != 0
        np.testing.assert_array_equal(values[kept], after[rows[kept], columns[kept]])
