"""Batch normalization."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import fraction
from fastbp.boundary.normalization import (
    feature_places,
    normalization_gradient,
    normalization_operands,
    of_each_feature,
    values_like,
)
from fastbp.kernels import batch_normalization
from fastbp.kernels.batch_normalization import (
    batch_normalization_backward,
    batch_normalization_forward,
    batch_normalization_predict,
)
from fastbp.layers.compiled import Compiled, Shape
from fastbp.originals import original
from fastbp.when_read import MadeWhenRead, assigned, forget


def _sizes(layer: Any, inputs: Shape) -> tuple[int, int]:
    """(C, S): features, and places of each."""
    return feature_places((1, *inputs), np.asarray(layer.gamma))[1:]


def _output_shape(layer: Any, inputs: Shape) -> Shape:
    features = _sizes(layer, inputs)[0]
    there = {name: getattr(layer, name) for name in ("beta", "running_mean", "running_var")}
    wrong = {name: values.shape for name, values in there.items() if values is not None and values.size != features}
    if wrong:
        name, shape = next(iter(wrong.items()))
        raise ValueError(f"{name} of shape {shape} doesn't go with {features} features")
    return inputs


def _make_ready(layer: Any, inputs: Shape, dtype: Any) -> None:
    if layer.running_mean is None or layer.running_var is None:
        features = _sizes(layer, inputs)[0]
        layer.running_mean, layer.running_var = np.zeros(features, dtype), np.zeros(features, dtype)


@original
class BatchNormalization:
    """gamma · (x − μ) / √(σ² + 1e-6) + beta, with mean μ and variance σ² of each feature (the book's section 6.3).

    In training those are the batch's own (Ioffe and Szegedy, arXiv:1502.03167, algorithm 1; σ² divides by the number of
    values, not by one less), and `running_mean` and `running_var`, which start at 0, become momentum · themselves +
    (1 − momentum) · them; in prediction these serve instead. gamma and beta are the caller's own arrays, read anew at
    each call. x has shape (N, D), or (N, C, H, W) with a gamma of C numbers, a feature a channel, or of C·H·W, a
    feature an element, as in the book.

    After a forward pass in training: `input_shape` and `batch_size`, `std` = √(σ² + 1e-6); and, computed when they are
    read, from the x of that pass, which is the caller's own memory where a kernel can read it as it is: `xc` = x − μ
    and `xn` = xc / std. Where a subclass's own forward assigns one of the three, `backward` takes it, and the others as
    forward left them. `dgamma` and `dbeta` are the gradients of the last backward. ValueError for a momentum that is
    not from 0 to 1.
    """

    compiled = Compiled(
        forward=batch_normalization.forward,
        predict=batch_normalization.predict,
        backward=batch_normalization.backward,
        update=batch_normalization.update,
        parameters=("gamma", "beta"),
        averages=("running_mean", "running_var"),
        make_ready=_make_ready,
        numbers=("momentum",),
        keeps={name: (None, lambda layer, inputs: _sizes(layer, inputs)[0]) for name in ("mean", "std")},
        sizes=_sizes,
        output_shape=_output_shape,
        update_rows=lambda layer, inputs: _sizes(layer, inputs)[0],
        units=lambda layer, inputs: _sizes(layer, inputs)[0],
        has_flag=True,
        backward_is_dx=False,
        whole_batches=True,
    )

    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        self.gamma = gamma
        self.beta = beta
        self.momentum = fraction(momentum, "momentum")
        self.input_shape: tuple[int, ...] | None = None
        self.running_mean: Any = running_mean
        self.running_var: Any = running_var
        self.batch_size: int | None = None
        self.std: NDArray[Any] | None = None
        self.dgamma: NDArray[Any] | None = None
        self.dbeta: NDArray[Any] | None = None
        # Of the last forward in training: x as (N, C, S), its shape, the means, and std, of which the caller may change
        # his own.
        self._x: NDArray[Any] | None = None
        self._shape: tuple[int, ...] = ()
        self._mean: NDArray[Any] | None = None
        self._std: NDArray[Any] | None = None

    def forward(self, x: ArrayLike, train_flg: bool = True) -> NDArray[Any]:
        """A new array in the shape of x. float32 x with float64 gamma computes in float64.

        ValueError when x, gamma and beta don't fit.
        """
        rows, gamma, beta, shape = normalization_operands(x, self.gamma, self.beta)
        C, dtype = gamma.size, gamma.dtype
        self.input_shape = shape
        if self.running_mean is None or self.running_var is None:
            self.running_mean, self.running_var = np.zeros(C, dtype), np.zeros(C, dtype)
        mean = of_each_feature(self.running_mean, "running_mean", C, dtype)
        var = of_each_feature(self.running_var, "running_var", C, dtype)
        out, samples = np.empty(rows.shape, dtype), arrays.kernel_array(rows, dtype)
        if not train_flg:
            batch_normalization_predict(samples, gamma, beta, mean, var, out)
            return out.reshape(shape)
        found, std, new_mean, new_var = (np.empty(C, dtype) for _ in range(4))
        momentum = float(self.momentum)
        batch_normalization_forward(samples, gamma, beta, momentum, mean, var, out, found, std, new_mean, new_var)
        self.running_mean, self.running_var = new_mean, new_var
        self.batch_size, self.std = rows.shape[0], std
        self._x, self._shape, self._mean, self._std = rows, shape, found, std.copy()
        forget(self, "xc", "xn")
        return out.reshape(shape)

    def backward(self, dout: ArrayLike) -> NDArray[Any]:
        """dx in the shape of forward's x; sets dgamma and dbeta in the shape of gamma, new arrays each time.

        RuntimeError before forward in training; ValueError when dout has not the shape of the output.
        """
        if assigned(self, "xc", "xn") or self._std_changed():
            return self._backward_of_assigned(dout)
        x = arrays.saved(getattr(self, "_x", None), self, "x")
        mean, std = arrays.saved(self._mean, self, "mean"), arrays.saved(self.std, self, "std")
        gradient = normalization_gradient(dout, self._shape, x.shape, mean.dtype)
        dtype, C = gradient.dtype, mean.size
        gamma = of_each_feature(self.gamma, "gamma", C, dtype)
        dx, dgamma, dbeta = np.empty(x.shape, dtype), np.empty(C, dtype), np.empty(C, dtype)
        x, mean, std = (arrays.kernel_array(each, dtype) for each in (x, mean, std))
        batch_normalization_backward(gradient, x, mean, std, gamma, dx, dgamma, dbeta)
        self.dgamma = dgamma.reshape(np.shape(self.gamma) or C)
        self.dbeta = dbeta.reshape(np.shape(self.beta) or C)
        return dx.reshape(self._shape)

    def _backward_of_assigned(self, dout: ArrayLike) -> NDArray[Any]:
        """The same by the book's own lines, of `xc`, `xn` and `std` as they are."""
        xc, xn, std = (arrays.saved(getattr(self, name), self, name) for name in ("xc", "xn", "std"))
        gradient, gamma, std = values_like(xc, xn, dout, self.gamma, std)
        places = tuple(axis for axis in range(xc.ndim) if axis != 1)
        count = xc.size // xc.shape[1]
        dbeta, dgamma = gradient.sum(axis=places), (xn * gradient).sum(axis=places)
        dxn = gamma * gradient
        dxc = dxn / std
        dstd = -np.sum(dxn * xc / (std * std), axis=places, keepdims=True)
        dxc += dstd / std / count * xc
        dx = dxc - np.sum(dxc, axis=places, keepdims=True) / count
        self.dgamma = dgamma.reshape(np.shape(self.gamma) or -1)
        self.dbeta = dbeta.reshape(np.shape(self.beta) or -1)
        return np.asarray(dx.reshape(np.shape(dout)))

    def _std_changed(self) -> bool:
        """Whether `std` is another than our last forward left, assigned or changed in place."""
        kept = getattr(self, "_std", None)
        if kept is None or self.std is None:
            return False
        return bool(np.asarray(self.std, kept.dtype).tobytes() != kept.tobytes())

    def _centered(self) -> NDArray[Any] | None:
        if getattr(self, "_x", None) is None or self._x is None or self._mean is None:
            return None
        centered = self._x - self._mean[:, None]
        centered = centered[:, :, 0] if centered.shape[2] == 1 else centered.reshape(self._shape)
        # Under `fastbp run --dtype float32` x and the means are float32, what the script sees is not.
        return np.asarray(centered, None if self.std is None else self.std.dtype)

    @MadeWhenRead
    def xc(self) -> NDArray[Any] | None:
        """x − μ of the last forward in training: (N, D), or (N, C, H, W) where a feature is a channel.

        Where only a subclass's own forward has run, xn · std of what it left.
        """
        centered = self._centered()
        if centered is None and assigned(self, "xn") and self.std is not None:
            return np.asarray(self.xn * _along_features(self.std, self.xn))
        return centered

    @MadeWhenRead
    def xn(self) -> NDArray[Any] | None:
        """(x − μ) / std of the last forward in training, in the shape of xc; else xc / std of what there is."""
        centered, std = self._centered(), getattr(self, "_std", None)
        if centered is None:
            centered = vars(self).get("xc")
        if std is None:  # as in a pickle of an earlier release
            std = self.std
        return None if centered is None or std is None else np.asarray(centered / _along_features(std, centered))


def _along_features(std: NDArray[Any], values: Any) -> NDArray[Any]:
    return std.reshape(-1, *([1] * (np.ndim(values) - 2)))
