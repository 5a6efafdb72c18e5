"""The nodes of the book's computational graphs, in plain Python: numbers or arrays of one shape."""

from typing import Any

from fastbp import _arrays


class MulLayer:
    """x · y (the book's section 5.4.1)."""

    def __init__(self) -> None:
        self.x: Any = None
        self.y: Any = None

    def forward(self, x: Any, y: Any) -> Any:
        """x · y; numbers or arrays of one shape. ValueError when the shapes differ."""
        _arrays.same_shape(x, y)
        self.x = x
        self.y = y
        return x * y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """(dx, dy) = (dout · y, dout · x). RuntimeError before forward, ValueError for another shape of dout."""
        _arrays.check_gradient(dout, self.x, self)
        return dout * self.y, dout * self.x


class AddLayer:
    """x + y (the book's section 5.4.2)."""

    def __init__(self) -> None:
        self._x: Any = None

    def forward(self, x: Any, y: Any) -> Any:
        """x + y; numbers or arrays of one shape. ValueError when the shapes differ."""
        _arrays.same_shape(x, y)
        self._x = x
        return x + y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """(dx, dy) = (dout, dout), as new arrays. RuntimeError before forward, ValueError for another shape of dout."""
        _arrays.check_gradient(dout, self._x, self)
        return dout * 1, dout * 1
