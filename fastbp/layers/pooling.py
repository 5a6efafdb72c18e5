"""Pooling: the largest pixel of each window."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays, images
from fastbp.boundary.arguments import whole_number
from fastbp.kernels import pooling
from fastbp.kernels.pooling import pooling_backward, pooling_forward
from fastbp.layers.compiled import Compiled, Shape
from fastbp.originals import original
from fastbp.system import threads
from fastbp.when_read import MadeWhenRead, assigned, forget


class _Forward(NamedTuple):
    """What backward needs of the last forward: a caller may have changed the layer since."""

    places: NDArray[Any]  # where in its window each maximum lies
    shape: tuple[int, ...]  # of x
    pool_h: int
    pool_w: int
    stride: int
    pad: int

    def __reduce__(self) -> tuple[Any, ...]:
        """As a plain tuple: what `fastbp run` pickles is read where there is no fastbp."""
        return tuple, (tuple(self),)


def _output_shape(layer: Any, inputs: Shape) -> Shape:
    if len(inputs) != 3:
        raise ValueError(f"x must be images, (C, H, W) each, to be pooled, got {inputs}{images.flat(inputs)}")
    return (inputs[0], *images.window_places(inputs[1:], *_windows(layer)))


def _sizes(layer: Any, inputs: Shape) -> tuple[int, ...]:
    """Channels, and what `kernels.pooling.Windows` holds."""
    places = _output_shape(layer, inputs)[1:]
    window, stride, pad = _windows(layer)
    return (*inputs, *window, stride, pad, *places)


def _windows(layer: Any) -> tuple[tuple[int, int], int, int]:
    """The windows' size, stride and pad as Python's integers: sizes computed by them overflow NumPy's small ones."""
    size = whole_number(layer.pool_h, "window size", 1), whole_number(layer.pool_w, "window size", 1)
    return size, whole_number(layer.stride, "stride", 1), whole_number(layer.pad, "pad", 0)


@original
class Pooling:
    """The largest of each window of pool_h x pool_w pixels, `stride` apart (the book's section 7.4.4).

    Images are padded with `pad` zeros on each side, which count as pixels. NaN counts as the largest number, and of
    equal ones the first is taken. `x` is the (N, C, H, W) input of the last forward. `arg_max` is made when it is read;
    where a subclass's own forward assigns it, `backward` goes by that.
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

    @MadeWhenRead
    def arg_max(self) -> NDArray[np.int64] | None:
        """Which pixel of its window each maximum was, (N·OH·OW·C,), as the book has it: made when it is read."""
        done = self._last()
        if done is None:
            return None
        rows, columns = np.divmod(done.places.astype(np.int64), done.shape[3] + 2 * done.pad)
        which: NDArray[np.int64] = (rows * done.pool_w + columns).transpose(0, 2, 3, 1).reshape(-1)
        return which

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """(N, C, OH, OW) for x of shape (N, C, H, W), with OH = (H + 2·pad − pool_h) // stride + 1.

        ValueError when x holds no images, or a window is larger than the padded image.
        """
        x = images.batch(x)
        out, self._forward = self._pooled(x)
        self.x = x
        forget(self, "arg_max")
        return out

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx in the shape of x: each dout where its maximum came from, 0 elsewhere, summed where windows overlap.

        RuntimeError before forward, ValueError for another shape than the output's.
        """
        done = arrays.after_forward(self._last(), self)
        dout = arrays.output_gradient(dout, done.places.shape)
        dx = np.empty(done.shape, dout.dtype)
        scratch = threads.scratch(_padded_size(done.shape, done.pad), dout.dtype)
        pooling_backward(dout, done.places, done.pool_h, done.pool_w, done.stride, done.pad, dx, scratch)
        return dx

    def _pooled(self, x: NDArray[Any]) -> tuple[NDArray[Any], _Forward]:
        window, stride, pad = _windows(self)
        size = images.window_places(x.shape[2:], window, stride, pad)
        out = np.empty((*x.shape[:2], *size), x.dtype)
        places = np.empty(out.shape, x.dtype)
        pooling_forward(x, *window, stride, pad, out, places, threads.scratch(_padded_size(x.shape, pad), x.dtype))
        return out, _Forward(places, x.shape, *window, stride, pad)

    def _last(self) -> _Forward | None:
        """What backward needs: of our last forward, or of what a subclass's own, or a pickle of the book's, has set."""
        done, x = vars(self).get("_forward"), self.x
        if type(done) is tuple:  # of a copy
            done = _Forward(*done[: len(_Forward._fields)])
        if assigned(self, "arg_max"):
            return self._assigned(images.batch(arrays.after_forward(x, self)))
        if x is None or (done is not None and done.shape == np.shape(x)):
            return done
        return self._pooled(images.batch(x))[1]

    def _assigned(self, x: NDArray[Any]) -> _Forward:
        """The places that `arg_max` names, of windows on x as they are set. ValueError where it names none."""
        window, stride, pad = _windows(self)
        rows, columns = images.window_places(x.shape[2:], window, stride, pad)
        which = images.pixels_of_windows(self.arg_max, (len(x), rows, columns, x.shape[1]), window)
        places = which // window[1] * (x.shape[3] + 2 * pad) + which % window[1]
        return _Forward(arrays.kernel_array(places.transpose(0, 3, 1, 2), x.dtype), x.shape, *window, stride, pad)


def _padded_size(shape: tuple[int, ...], pad: int) -> int:
    return (shape[2] + 2 * pad) * (shape[3] + 2 * pad)
