"""Numbers to fill register tiles with."""

import numpy as np

from fastbp.kernels.tiles.target import lanes

DTYPES = ("float32", "float64")
SOURCES = ("float32", "float64", "uint8", "bool")
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -2.5)


def values(dtype: str, rows: int, vecs: int, seed: int = 0) -> np.ndarray:
    """rows x (vecs * lanes) random numbers with the special ones among them."""
    numbers = np.random.default_rng(seed).standard_normal((rows, vecs * lanes(dtype))).astype(dtype)
    numbers.flat[: 2 * len(SPECIAL) : 2] = SPECIAL[: numbers.size // 2]
    return numbers


def whole(dtype: str, rows: int, vecs: int, seed: int = 0) -> np.ndarray:
    """rows x (vecs * lanes) whole numbers: their sums are exact in any order."""
    return np.random.default_rng(seed).integers(-99, 99, (rows, vecs * lanes(dtype))).astype(dtype)
