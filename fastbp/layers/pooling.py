"""Pooling: the largest pixel of each window."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays, images
from fastbp.kernels import pooling
from fastbp.kernels.pooling import pooling_backward, pooling_forward
from fastbp.layers.compiled import Compiled, Shape
from fastbp.originals import original
from fastbp.system import threads


class _Forward(NamedTuple):
    """What backward needs of the last forward: a caller may have changed the layer since."""

    places: NDArray[Any]  # where in its window each maximum lies
    shape: tuple[int, ...]  # of x
    pool_h: int
    pool_w: int
    stride: int
    pad: int


def _output_shape(layer: Any, inputs: Shape) -> Shape:
    if len(inputs) != 3:
        raise ValueError(f"x must be images, (C, H, W) each, to be pooled, got {inputs}")
    window = layer.pool_h, layer.pool_w
    return (inputs[0], *images.window_places(inputs[1:], window, layer.stride, layer.pad))


def _sizes(layer: Any, inputs: Shape) -> tuple[int, ...]:
    """Channels, and what `kernels.pooling.Windows` holds."""
    places = _output_shape(layer, inputs)[1:]
    return (*inputs, layer.pool_h, layer.pool_w, layer.stride, layer.pad, *places)


@original
class Pooling:
    """The largest of each window of pool_h x pool_w pixels, `stride` apart (the book's section 7.4.4).

    Images are padded with `pad` zeros on each side, which count as pixels. NaN counts as the largest number, and of
    equal ones the first is taken. `x` is the (N, C, H, W) input of the last forward.
    """

    compiled = Compiled(
        forward=pooling.forward,
        backward=pooling.backward,
        keeps={"places": (None, None)},
        options=("pool_h", "pool_w", "stride", "pad"),
        sizes=_sizes,
        output_shape=_output_shape,
        scratch=lambda layer, inputs, dtype: _padded_size((1, *inputs), layer.pad),
        masks_gradient=True,
    )

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x: NDArray[Any] | None = None
        self._forward: _Forward | None = None

    @property
    def arg_max(self) -> NDArray[np.int64] | None:
        """Which pixel of its window each maximum was, (N·OH·OW·C,), as the book has it: made when it is read."""
        done = self._forward
        if done is None:
            return None
        rows, columns = np.divmod(done.places.astype(np.int64), done.shape[3] + 2 * done.pad)
        which: NDArray[np.int64] = (rows * done.pool_w + columns).transpose(0, 2, 3, 1).reshape(-1)
        return which

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """(N, C, OH, OW) for x of shape (N, C, H, W), with OH = (H + 2·pad − pool_h) // stride + 1.

        ValueError when x holds no images, or a window is larger than the padded image.
        """
        x, stride, pad = images.batch(x), self.stride, self.pad
        size = images.window_places(x.shape[2:], (self.pool_h, self.pool_w), stride, pad)
        out = np.empty((*x.shape[:2], *size), x.dtype)
        places = np.empty(out.shape, x.dtype)
        scratch = threads.scratch(_padded_size(x.shape, pad), x.dtype)
        pooling_forward(x, self.pool_h, self.pool_w, stride, pad, out, places, scratch)
        self.x, self._forward = x, _Forward(places, x.shape, self.pool_h, self.pool_w, stride, pad)
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx in the shape of x: each dout where its maximum came from, 0 elsewhere, summed where windows overlap.

        RuntimeError before forward, ValueError for another shape than the output's.
        """
        done = arrays.after_forward(self._forward, self)
        dout = arrays.output_gradient(dout, done.places.shape)
        dx = np.empty(done.shape, dout.dtype)
        scratch = threads.scratch(_padded_size(done.shape, done.pad), dout.dtype)
        pooling_backward(dout, done.places, done.pool_h, done.pool_w, done.stride, done.pad, dx, scratch)
        return dx


def _padded_size(shape: tuple[int, ...], pad: int) -> int:
    return (shape[2] + 2 * pad) * (shape[3] + 2 * pad)
