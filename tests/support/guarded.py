"""Arrays with guards around them: what a kernel reads or writes outside shows."""

from typing import Any

import numpy as np

GUARD = 70  # elements before and after an array: more than any tile is wide


class Guarded:
    """An array inside a longer one full of NaN, or of ones in a mask: what is read or written outside shows."""

    def __init__(self, values: np.ndarray) -> None:
        fill: Any = np.nan if values.dtype.kind == "f" else 1
        self.memory = np.full(values.size + 2 * GUARD, fill, values.dtype)
        self.array = self.memory[GUARD : GUARD + values.size].reshape(values.shape)
        self.array[...] = values

    def untouched(self) -> bool:
        outside = np.concatenate([self.memory[:GUARD], self.memory[len(self.memory) - GUARD :]])
        return bool((np.isnan(outside) if outside.dtype.kind == "f" else outside == 1).all())


def empty(*shape: int, dtype: str) -> Guarded:
    return Guarded(np.full(shape, np.nan, dtype))
