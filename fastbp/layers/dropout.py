"""Dropout, element by element."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import fraction, generator
from fastbp.kernels import dropout
from fastbp.kernels.dropout import dropout_backward, dropout_forward, dropout_predict
from fastbp.layers.compiled import Compiled
from fastbp.originals import original


def _draw(layer: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The random numbers of a forward pass in training."""
    rng: np.random.Generator | None = vars(layer).get("rng")  # which the book's pickles lack
    return np.asarray(np.random.rand(*shape) if rng is None else rng.random(shape))


def _stream(layer: Any) -> Any:
    """What holds the state of the random numbers: two generators may have one."""
    rng: np.random.Generator | None = vars(layer).get("rng")
    return np.random.mtrand.get_bit_generator() if rng is None else rng.bit_generator


@original
class Dropout:
    """In training x where a number drawn from [0, 1) is above `dropout_ratio`, else 0 (the book's section 6.4.3).

    What is kept stays as it is; in prediction everything is multiplied by 1 − ratio instead. `mask` says what the last
    forward pass in training kept. The numbers are drawn in float64 from `rng`, or from NumPy's global state by
    `np.random.rand`, as in the book. ValueError for a ratio that is not from 0 to 1.
    """

    compiled = Compiled(
        forward=dropout.forward,
        predict=dropout.predict,
        backward=dropout.backward,
        keeps={"mask": (np.uint8, None)},
        numbers=("dropout_ratio",),
        has_flag=True,
        draws=_draw,
        stream=_stream,
    )

    def __init__(self, dropout_ratio: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        self.dropout_ratio = fraction(dropout_ratio, "dropout_ratio")
        self.rng = generator(rng)
        self.mask: NDArray[np.bool_] | None = None

    def forward(self, x: ArrayLike, train_flg: bool = True) -> NDArray[Any]:
        """x of any shape; returns a new array of it. float32 stays float32, integers become float64.

        TypeError for anything but real numbers, ValueError when x is empty.
        """
        x = arrays.inputs(x)
        out = np.empty(x.shape, x.dtype)
        if not train_flg:
            dropout_predict(x.ravel(), float(self.dropout_ratio), out.ravel())
            return out
        drawn = _draw(self, x.shape)
        mask = np.empty(x.shape, np.bool_)
        dropout_forward(x.ravel(), drawn.ravel(), float(self.dropout_ratio), out.ravel(), mask.ravel())
        self.mask = mask
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx: dout where x was kept, else 0; dout · mask for a mask of real numbers.

        RuntimeError before forward in training, ValueError for another shape.
        """
        if isinstance(self.mask, np.ndarray) and self.mask.dtype.kind == "f":  # a caller's own factors
            return arrays.output_gradient(dout, self.mask.shape) * self.mask
        mask = arrays.saved_mask(self.mask, self)
        dout = arrays.output_gradient(dout, mask.shape)
        dx = np.empty(dout.shape, dout.dtype)
        dropout_backward(dout.ravel(), mask.ravel(), dx.ravel())
        return dx
