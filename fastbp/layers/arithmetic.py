"""The nodes of the book's computational graphs, in plain Python: numbers or arrays of one shape."""

from typing import Any

import numpy as np

from fastbp.boundary import arrays
from fastbp.originals import original


@original
class MulLayer:
    """x · y (the book's section 5.4.1)."""

    def __init__(self) -> None:
        self.x: Any = None
        self.y: Any = None
        self._shape: tuple[int, ...] | None = None

    def forward(self, x: Any, y: Any) -> Any:
        """x · y; numbers or arrays of one shape. ValueError when the shapes differ."""
        self.x, self.y = arrays.operands(x, y)
        self._shape = np.shape(self.x)
        return self.x * self.y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """(dx, dy) = (dout · y, dout · x). RuntimeError before forward, ValueError for another shape of dout."""
        dout = arrays.operand_gradient(dout, self._shape, self)
        return dout * self.y, dout * self.x


@original
class AddLayer:
    """x + y (the book's section 5.4.2)."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None

    def forward(self, x: Any, y: Any) -> Any:
        """x + y; numbers or arrays of one shape. ValueError when the shapes differ."""
        x, y = arrays.operands(x, y)
        self._shape = np.shape(x)
        return x + y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """(dx, dy) = (dout, dout), as new arrays. RuntimeError before forward, ValueError for another shape of dout."""
        dout = arrays.operand_gradient(dout, self._shape, self)
        return dout * 1, dout * 1
