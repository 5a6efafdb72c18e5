"""The suite bites: each canonical mistake, made on purpose, fails the checks that the layers pass."""

from types import SimpleNamespace
from typing import Any

import checks
import numpy as np
import pytest
from cases import IMAGES, OPERATIONS

from fastbp import layers, reference


class SoftmaxWithLoss(layers.SoftmaxWithLoss):
    """Ours, to be made wrong."""


class NoDivisionByBatch(SoftmaxWithLoss):
    def backward(self, dout: Any = 1) -> Any:
        return super().backward(dout) * len(self.y)


class LossNotAveraged(SoftmaxWithLoss):
    def forward(self, x: Any, t: Any) -> Any:
        self.loss = super().forward(x, t) * len(x)
        return self.loss


class SoftmaxOverTheBatch(reference.SoftmaxWithLoss):
    def forward(self, x: Any, t: Any) -> Any:
        loss = super().forward(x, t)
        e = np.exp(x - np.max(x))
        self.y = e / e.sum()
        return loss


class DoutIgnored(SoftmaxWithLoss):
    def backward(self, dout: Any = 1) -> Any:
        return super().backward(1)


class LossAndGradientDisagree(SoftmaxWithLoss):
    """The loss of a smoothed target with the gradient of the exact one."""

    def forward(self, x: Any, t: Any) -> Any:
        loss = super().forward(x, t)
        self.loss = loss - 1e-3 * float(np.mean(np.log(self.y)))
        return self.loss


class SoftLabelsByArgmax(SoftmaxWithLoss):
    def forward(self, x: Any, t: Any) -> Any:
        return super().forward(x, np.argmax(t, axis=1) if np.ndim(t) == 2 else t)


class GradientForgetsSumOfLabels(reference.SoftmaxWithLoss):
    def backward(self, dout: Any = 1) -> Any:
        return (self.y - self._probabilities()) / len(self.y) * dout


class EpsIgnored(SoftmaxWithLoss):
    def __init__(self, eps: float = 0.0) -> None:
        super().__init__(0.0)


class TransposedWeightGradient(layers.Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = np.ascontiguousarray(self.dW.T).reshape(self.dW.shape)
        return dx


class UnsummedBias(layers.Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = np.array(dout[0])
        return dx


class AveragedBias(layers.Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = self.db / len(dout)
        return dx


class BiasForgotten(layers.Affine):
    def forward(self, x: Any) -> Any:
        return super().forward(x) - self.b


class AccumulatedGradient(layers.Affine):
    """Adds to dW, in place, instead of making a new one."""

    def backward(self, dout: Any) -> Any:
        before = self.dW
        dx = super().backward(dout)
        if before is not None:
            before += self.dW
            self.dW = before
        return dx


class BuffersReused(layers.Affine):
    buffer: Any = None

    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        if self.buffer is None:
            self.buffer = np.empty_like(out)
        self.buffer[...] = out
        return self.buffer


class WeightsCached(layers.Affine):
    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W.copy(), b)


class StaleMask(layers.Relu):
    def forward(self, x: Any) -> Any:
        before = self.mask
        out = super().forward(x)
        self.mask = self.mask if before is None else before
        return out


class DoutMutated(reference.Relu):
    def backward(self, dout: Any) -> Any:
        dout[self.mask] = 0
        return dout


class InputMutated(reference.Relu):
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        x[self.mask] = 0
        return x


class LeakyBackward(layers.Relu):
    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, 0.01 * np.asarray(dout), dout)


class MaskTurnedRound(layers.Relu):
    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        self.mask = ~self.mask
        return out


class SigmoidWithoutParentheses(reference.Sigmoid):
    def forward(self, x: Any) -> Any:
        self.out = 1 / 1 + np.exp(-x)
        return self.out


class SigmoidGradientOfInput(layers.Sigmoid):
    def backward(self, dout: Any) -> Any:
        y = 1 / (1 + np.exp(-self.out))
        return dout * y * (1 - y)


class SigmoidHalfGradient(layers.Sigmoid):
    def backward(self, dout: Any) -> Any:
        return dout * self.out


class SinglePrecisionInside(layers.Sigmoid):
    def forward(self, x: Any) -> Any:
        self.out = super().forward(np.asarray(x, np.float32)).astype(np.float64)
        return self.out


class FilterFlipped(layers.Convolution):
    """The convolution of signal processing, where neural networks mean a correlation."""

    def forward(self, x: Any) -> Any:
        W, self.W = self.W, self.W[:, :, ::-1, ::-1]
        out = super().forward(x)
        self.W = W
        return out


class PadTooSmall(layers.Convolution):
    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        return out * np.pad(np.ones((out.shape[2] - 1, out.shape[3])), ((1, 0), (0, 0)))


class ChannelsMixedUp(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = self.dW[:, ::-1]
        return dx


class BiasOfOneImage(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = dout[0].sum(axis=(1, 2))
        return dx


class PadForgotten(layers.Pooling):
    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        super().__init__(pool_h, pool_w, stride)


class AveragePooling(layers.Pooling):
    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        col = reference.im2col(x, self.pool_h, self.pool_w, self.stride, self.pad).mean(axis=1)
        return np.full_like(out, col.mean())


class ArgMaxByColumns(layers.Pooling):
    """Numbers the pixels of a window from top to bottom first."""

    @property
    def arg_max(self) -> Any:
        rows, columns = np.divmod(super().arg_max, self.pool_w)
        return columns * self.pool_h + rows


class GradientSharedByWindow(layers.Pooling):
    def backward(self, dout: Any) -> Any:
        _, c, _, _ = self.x.shape
        col = np.repeat(np.transpose(dout, (0, 2, 3, 1)).reshape(-1, c, 1), self.pool_h * self.pool_w, axis=2)
        return reference.col2im(
            col / (self.pool_h * self.pool_w), self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad
        )


class MaskOfWhatIsDropped(reference.Dropout):
    def forward(self, x: Any, train_flg: bool = True) -> Any:
        super().forward(x, train_flg)
        self.mask = ~self.mask
        return x * self.mask


class InvertedDropout(layers.Dropout):
    """Scales in training, as other books' do."""

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        return super().forward(x, train_flg) / (1 - self.dropout_ratio)


class DroppedForwardOnly(layers.Dropout):
    def backward(self, dout: Any) -> Any:
        return np.array(dout)


class SampleVariance(reference.BatchNormalization):
    def forward(self, x: Any, train_flg: bool = True) -> Any:
        out = super().forward(x, train_flg)
        self.running_var = self.running_var * len(x) / (len(x) - 1)
        return out


class StatisticsTakenForConstants(reference.BatchNormalization):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        return self._image(self._columns(dout) * self.gamma / self.std).reshape(dout.shape)


class MomentumOfTheNew(layers.BatchNormalization):
    def __init__(self, gamma: Any, beta: Any, momentum: float = 0.9) -> None:
        super().__init__(gamma, beta, 1 - momentum)


class GammaForgotten(layers.BatchNormalization):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma = self.dgamma * self.gamma
        return dx


class ErrorNotAveraged(layers.IdentityWithLoss):
    def backward(self, dout: Any = 1) -> Any:
        return super().backward(dout) * len(self.y)


class ErrorWithoutHalf(layers.IdentityWithLoss):
    def forward(self, x: Any, t: Any) -> Any:
        self.loss = 2 * super().forward(x, t)
        return self.loss


_OF_BATCHES = (SampleVariance, StatisticsTakenForConstants, MomentumOfTheNew, GammaForgotten)

MISTAKES = {
    "batch_normalization": _OF_BATCHES,
    **dict.fromkeys(IMAGES, _OF_BATCHES),
    "dropout": (MaskOfWhatIsDropped, InvertedDropout, DroppedForwardOnly),
    "identity_loss": (ErrorNotAveraged, ErrorWithoutHalf),
    "softmax_loss": (NoDivisionByBatch, LossNotAveraged, SoftmaxOverTheBatch, DoutIgnored, LossAndGradientDisagree),
    "softmax_loss_soft": (SoftLabelsByArgmax, GradientForgetsSumOfLabels),
    "softmax_loss_eps": (EpsIgnored,),
    "affine": (
        TransposedWeightGradient,
        UnsummedBias,
        AveragedBias,
        BiasForgotten,
        AccumulatedGradient,
        BuffersReused,
        WeightsCached,
    ),
    "convolution": (FilterFlipped, PadTooSmall, ChannelsMixedUp, BiasOfOneImage),
    "pooling": (PadForgotten, AveragePooling, ArgMaxByColumns, GradientSharedByWindow),
    "relu": (StaleMask, DoutMutated, InputMutated, LeakyBackward, MaskTurnedRound),
    "sigmoid": (SigmoidWithoutParentheses, SigmoidGradientOfInput, SigmoidHalfGradient, SinglePrecisionInside),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("namespace", [layers, reference], ids=["layers", "oracle"])
def test_right_layers_pass(operation: str, namespace: Any) -> None:
    checks.all_checks(namespace, operation)


@pytest.mark.parametrize(
    ("operation", "mistake"),
    [(operation, mistake) for operation, mistakes in MISTAKES.items() for mistake in mistakes],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_mistake_is_found(operation: str, mistake: type) -> None:
    names = {"softmax_loss": "SoftmaxWithLoss", "batch_norm": "BatchNormalization", "identity": "IdentityWithLoss"}
    name = next((name for start, name in names.items() if operation.startswith(start)), operation.capitalize())
    namespace = SimpleNamespace(**{name: mistake})
    # A layer that writes into a read-only input is found by NumPy's own ValueError.
    with pytest.raises((AssertionError, ValueError)):
        checks.all_checks(namespace, operation)
