"""Networks whose methods say something else than their layers do, on some inputs: none may run in the compiled loop.

Three samples of three classes, on which most of them do what the layers do, don't show it.
"""

import os
from collections import OrderedDict
from typing import Any

import numpy as np
from book_networks import BookNet, MultiLayerNet, OtherDecay

from fastbp import BatchNormalization, Dropout

WEIGHTS = np.array([1.0, 1.0, 1.0, 5.0, 9.0])
CALLS: list[int] = []


class Net(BookNet):
    """Of five classes."""

    def __init__(self) -> None:
        super().__init__((6, 5, 5))

    def collected(self) -> Any:
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


class ClassWeights(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return self.lastLayer.forward(self.predict(x), np.eye(5)[t] * WEIGHTS[t][:, None])


class OwnWeights(Net):
    def __init__(self) -> None:
        super().__init__()
        self.weights = WEIGHTS

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return grads | {"b2": grads["b2"] * self.weights}


class MergedClasses(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return self.lastLayer.forward(self.predict(x), np.minimum(t, 3))


class SoftLabelsApart(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return self.lastLayer.forward(self.predict(x), 0.9 * t + 0.02 if t.ndim == 2 else t)


class BatchSize(Net):
    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return {k: g * (8 / 7) for k, g in grads.items()} if len(x) == 7 else grads


class Dtype(Net):
    def predict(self, x: Any) -> Any:
        return super().predict(x / 255 if x.dtype == np.uint8 else x)


class Dimensions(Net):
    def predict(self, x: Any) -> Any:
        return super().predict(x.reshape(x.shape[0], -1))


class NotANumber(Net):
    def predict(self, x: Any) -> Any:
        return super().predict(np.nan_to_num(x))


class ZeroRows(Net):
    def loss(self, x: Any, t: Any) -> Any:
        used = np.any(x, axis=1)
        return super().loss(x[used], t[used])


class Clipped(Net):
    """Gradients of a norm above 5 are scaled down: small samples don't show it."""

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        norm = sum(float(np.sum(g**2)) for g in grads.values()) ** 0.5
        return {k: g * min(1.0, 5 / norm) for k, g in grads.items()}


class Counting(Net):
    steps = 0

    def gradient(self, x: Any, t: Any) -> Any:
        self.steps += 1
        return super().gradient(x, t)


class Noting(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norms: list[float] = []

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        self.norms.append(float(np.linalg.norm(grads["W1"])))
        return grads


class NotingElsewhere(Net):
    def loss(self, x: Any, t: Any) -> Any:
        CALLS.append(1)
        return super().loss(x, t)


class NotingInADefault(Net):
    def loss(self, x: Any, t: Any, seen: list[int] = []) -> Any:  # noqa: B006
        seen.append(1)
        return super().loss(x, t)


class NotingInAList(Net):
    """Its list holds a number: no array is asked for anything."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = [0]

    def loss(self, x: Any, t: Any) -> Any:
        self.seen[0] += 1
        return super().loss(x, t)


class Printing(Net):
    def loss(self, x: Any, t: Any) -> Any:
        print("loss")
        return super().loss(x, t)


class Noisy(Net):
    def predict(self, x: Any) -> Any:
        return super().predict(x + np.random.randn(*x.shape))


class Drawing(Net):
    """It draws, and does nothing with that."""

    def loss(self, x: Any, t: Any) -> Any:
        np.random.rand()
        return super().loss(x, t)


class Environment(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return 2 * super().loss(x, t) if "FASTBP_TWICE" in os.environ else super().loss(x, t)


class Frozen(Net):
    def gradient(self, x: Any, t: Any) -> Any:
        return super().gradient(x, t) | {"b1": np.zeros(5)}


class FrozenByZero(Net):
    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return grads | {"W1": 0.0 * grads["W1"]}


class Swapped(Net):
    """Two gradients of one shape change places."""

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        grads["b1"], grads["b2"] = grads["b2"], grads["b1"]
        return grads


class Stale(Net):
    """A second forward pass comes between the first and its way back."""

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        self.predict(x)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        return self.collected()


class Earlier(Net):
    """It returns the gradients that were there before it."""

    def gradient(self, x: Any, t: Any) -> Any:
        grads = self.collected()
        super().gradient(x, t)
        return grads


class WithoutForward(Net):
    """It relies on a loss before it."""

    def gradient(self, x: Any, t: Any) -> Any:
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        return self.collected()


class OnLabels(Net):
    """Labels go through the layers."""

    def loss(self, x: Any, t: Any) -> Any:
        return self.lastLayer.forward(self.predict(t), t)


class SamplesAsLabels(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return self.lastLayer.forward(self.predict(x), x)


class HalfAChain(Net):
    """The loss of what the first layer gives."""

    def predict(self, x: Any) -> Any:
        return self.layers["Affine1"].forward(x)


class Half(Net):
    """The backward pass begins with a half."""

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(0.5)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        return self.collected()


class Skipping(Net):
    """It leaves a layer out on the way back."""

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for name in reversed(list(self.layers)):
            if name != "Relu1":
                dout = self.layers[name].backward(dout)
        return self.collected()


class Residual(Net):
    def predict(self, x: Any) -> Any:
        hidden = self.layers["Relu1"].forward(self.layers["Affine1"].forward(x))
        return self.layers["Affine2"].forward(hidden + hidden)


class Temperature(Net):
    """A number that divides the scores, 1 at first."""

    T = 1.0

    def loss(self, x: Any, t: Any) -> Any:
        return self.lastLayer.forward(self.predict(x) / self.T, t)


class Cautious(Net):
    """It swallows whatever is raised."""

    def loss(self, x: Any, t: Any) -> Any:
        try:
            if x.max() > 1e6:
                return super().loss(x / 2, t)
        except Exception:
            pass
        return super().loss(x, t)


class Suspicious(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) if isinstance(x, str) else 2 * super().loss(x, t)


class AsynchronousLoss(Net):
    def predict(self, x: Any) -> Any:
        return [await_ for await_ in self._passes(x)][-1]

    def _passes(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
            yield x if len(self.layers) == 3 and str(x) else None


class ByIdentity(Net):
    first: Any = None

    def loss(self, x: Any, t: Any) -> Any:
        return 2 * super().loss(x, t) if x is t else super().loss(x, t)


class ByPattern(Net):
    def loss(self, x: Any, t: Any) -> Any:
        match t:
            case [0, *_]:
                return 2 * super().loss(x, t)
        return super().loss(x, t)


class ByTemplate(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) if "{0.dtype}".format(t) == "int64" else 2 * super().loss(x, t)  # noqa: UP030, UP032


class ByText(Net):
    def loss(self, x: Any, t: Any) -> Any:
        return 2 * super().loss(x, t) if f"{self.layers['Affine1']}".startswith("<fastbp") else super().loss(x, t)


class Reordering(Net):
    """It turns a list of its own around, at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.order = ["W1", "W2"]

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        self.order.reverse()
        return grads if self.order[0] == "W2" else {k: 2 * g for k, g in grads.items()}


class Importing(Net):
    def loss(self, x: Any, t: Any) -> Any:
        import random

        return super().loss(x, t) if random.random() < 2 else 0.0


class Closure(Net):
    pass


def _closing(factor: list[float]) -> Any:
    def loss(self: Any, x: Any, t: Any) -> Any:
        return factor[0] * BookNet.loss(self, x, t)

    return loss


Closure.loss = _closing([2.0])  # type: ignore[method-assign]


class UnequalDecay(BookNet):
    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return grads | {"W1": grads["W1"] + 0.2 * self.params["W1"], "W2": grads["W2"] + 0.1 * self.params["W2"]}


class DecayInTheLoss(OtherDecay):
    gradient = BookNet.gradient


class DecayInTheGradient(OtherDecay):
    loss = BookNet.loss


class DecayOfBiases(MultiLayerNet):
    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return grads | {"b1": grads["b1"] + 0.1 * self.params["b1"]}


class DecayInPlace(BookNet):
    """+= changes the layer's own dW, to which λW is added once more."""

    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) + 0.05 * np.sum(self.params["W1"] ** 2) + 0.05 * np.sum(self.params["W2"] ** 2)

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        grads["W1"] += 0.1 * self.params["W1"]
        grads["W2"] += 0.1 * self.params["W2"]
        return grads | {"W1": self.layers["Affine1"].dW + 0.1 * self.params["W1"]}


class Regularized(Net):
    """Layers whose forward pass draws or averages. As it is, it may run in the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.params |= {"gamma": np.ones(5), "beta": np.zeros(5)}
        affine, relu, last = self.layers.values()
        norm = BatchNormalization(self.params["gamma"], self.params["beta"])
        self.layers = OrderedDict(Affine1=affine, BatchNorm=norm, Relu1=relu, Dropout=Dropout(0.4), Affine2=last)

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        for name, layer in self.layers.items():
            x = layer.forward(x, train_flg) if name in ("BatchNorm", "Dropout") else layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        return self.lastLayer.forward(self.predict(x, train_flg=True), t)

    def gradient(self, x: Any, t: Any) -> Any:
        norm = self.layers["BatchNorm"]
        return super().gradient(x, t) | {"gamma": norm.dgamma, "beta": norm.dbeta}


class TwoPasses(Regularized):
    def gradient(self, x: Any, t: Any) -> Any:
        self.predict(x, train_flg=True)
        return super().gradient(x, t)


class PartOfAPass(Regularized):
    def gradient(self, x: Any, t: Any) -> Any:
        self.layers["BatchNorm"].forward(self.layers["Affine1"].forward(x), True)
        return super().gradient(x, t)


class PredictingFirst(Regularized):
    def gradient(self, x: Any, t: Any) -> Any:
        self.predict(x, train_flg=False)
        return super().gradient(x, t)


class LossOfTwoPasses(Regularized):
    def loss(self, x: Any, t: Any) -> Any:
        self.predict(x, train_flg=True)
        return super().loss(x, t)


class TrainsToPredict(Regularized):
    def predict(self, x: Any, train_flg: bool = False) -> Any:
        super().predict(x, train_flg=True)
        return super().predict(x, train_flg)


def of_module(names: dict[str, Any], without: tuple[type, ...]) -> dict[str, Any]:
    """The networks that a module defines, by their names."""
    classes = [cls for cls in names.values() if isinstance(cls, type) and issubclass(cls, BookNet)]
    return {cls.__name__: cls for cls in classes if cls.__module__ == names["__name__"] and cls not in without}


# These don't run by hand either, or not at first.
BROKEN: dict[str, Any] = {cls.__name__: cls for cls in (Earlier, HalfAChain, OnLabels, SamplesAsLabels, WithoutForward)}
METHODS = of_module(globals(), (Net, Regularized, *BROKEN.values()))
