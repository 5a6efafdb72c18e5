"""Networks as readers of the book type them: all of these must run in the compiled loop, with the same results."""

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import numpy as np
from chains import data

from fastbp import SGD, Affine, Relu, Sigmoid, SoftmaxWithLoss, TwoLayerNet


class BookNet:
    """Chapter 5's network, with a method for everything. `sizes` are those of the data and of each affine layer."""

    def __init__(self, sizes: tuple[int, ...] = (6, 5, 3), activation: Any = Relu, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.params: Any = {}
        self.layers: Any = OrderedDict()
        self.hidden_layer_num = len(sizes) - 2
        for n, (D, M) in enumerate(pairwise(sizes), 1):
            self.params[f"W{n}"] = rng.standard_normal((D, M)) * (2 / D) ** 0.5
            self.params[f"b{n}"] = 0.1 * rng.standard_normal(M)
            self.layers[f"Affine{n}"] = Affine(self.params[f"W{n}"], self.params[f"b{n}"])
            if n < len(sizes) - 1:
                self.layers[f"Relu{n}"] = activation()
        self.lastLayer: Any = SoftmaxWithLoss()

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        y = self.predict(x)
        return self.lastLayer.forward(y, t)

    def accuracy(self, x: Any, t: Any) -> float:
        y = np.argmax(self.predict(x), axis=1)
        if t.ndim != 1:
            t = np.argmax(t, axis=1)
        return float(np.sum(y == t) / float(x.shape[0]))

    def gradient(self, x: Any, t: Any) -> Any:
        # forward
        self.loss(x, t)
        # backward
        dout = 1
        dout = self.lastLayer.backward(dout)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)
        grads = {}
        grads["W1"], grads["b1"] = self.layers["Affine1"].dW, self.layers["Affine1"].db
        grads["W2"], grads["b2"] = self.layers["Affine2"].dW, self.layers["Affine2"].db
        return grads


class LastLayer(BookNet):
    """The loss under its later name, and a dict literal."""

    def __init__(self) -> None:
        super().__init__()
        self.last_layer = self.lastLayer
        del self.lastLayer

    def loss(self, x: Any, t: Any) -> Any:
        return self.last_layer.forward(self.predict(x), t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


class InAList(BookNet):
    """Chapter 8's way to keep layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = list(self.layers.values())

    def predict(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward()
        tmp_layers = self.layers.copy()
        tmp_layers.reverse()
        for layer in tmp_layers:
            dout = layer.backward(dout)
        grads = {}
        for i, layer_idx in enumerate((0, 2)):
            grads["W" + str(i + 1)] = self.layers[layer_idx].dW
            grads["b" + str(i + 1)] = self.layers[layer_idx].db
        return grads


class Sliced(InAList):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(1.0)
        for layer in self.layers[::-1]:
            dout = layer.backward(dout)
        grads: Any = {f"{key}1": value for key, value in (("W", self.layers[0].dW), ("b", self.layers[0].db))}
        grads.update(W2=self.layers[2].dW, b2=self.layers[2].db)
        return grads


class Deep(BookNet):
    """Any number of layers, in a loop."""

    def __init__(self) -> None:
        super().__init__((6, 5, 4, 5, 3), Sigmoid)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {}
        for i in range(1, len(self.params) // 2 + 1):
            layer = self.layers[f"Affine{i}"]
            grads[f"W{i}"], grads[f"b{i}"] = layer.dW, layer.db
        return grads


class Comprehended(Deep):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in list(self.layers.values())[::-1]:
            dout = layer.backward(dout)
        weights = {f"W{i}": self.layers[f"Affine{i}"].dW for i in range(1, 5)}
        return {**weights, **{f"b{i}": self.layers[f"Affine{i}"].db for i in range(1, 5)}}


class MultiLayerNet(Deep):
    """Weight decay as the book's chapter 6 writes it."""

    def __init__(self, weight_decay_lambda: float = 0.1) -> None:
        super().__init__()
        self.weight_decay_lambda = weight_decay_lambda
        self.last_layer = self.lastLayer
        del self.lastLayer

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        for key, layer in self.layers.items():
            if "Dropout" in key or "BatchNorm" in key:
                x = layer.forward(x, train_flg)
            else:
                x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any, train_flg: bool = False) -> Any:
        y = self.predict(x, train_flg)
        weight_decay: Any = 0
        for idx in range(1, self.hidden_layer_num + 2):
            W = self.params["W" + str(idx)]
            weight_decay += 0.5 * self.weight_decay_lambda * np.sum(W**2)
        return self.last_layer.forward(y, t) + weight_decay

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t, train_flg=True)
        dout = 1
        dout = self.last_layer.backward(dout)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)
        grads = {}
        for idx in range(1, self.hidden_layer_num + 2):
            affine = self.layers["Affine" + str(idx)]
            grads["W" + str(idx)] = affine.dW + self.weight_decay_lambda * affine.W
            grads["b" + str(idx)] = affine.db
        return grads


class OtherDecay(BookNet):
    """λ under another name, and as a product of numbers; the square in other words."""

    l2 = 0.2

    def loss(self, x: Any, t: Any) -> Any:
        decay = sum((W * W).sum() for W in (self.params["W1"], self.params["W2"]))
        return super().loss(x, t) + self.l2 * decay / 2

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        for name in ("W1", "W2"):
            grads[name] = grads[name] + self.params[name] * self.l2
        return grads


class LiteralDecay(BookNet):
    def loss(self, x: Any, t: Any) -> Any:
        first, second = (np.sum(np.square(self.params[name])) for name in ("W1", "W2"))
        return super().loss(x, t) + 0.05 * first + 0.05 * float(second)

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return grads | {f"W{n}": self.layers[f"Affine{n}"].W * 0.1 + grads[f"W{n}"] for n in (1, 2)}


LAMBDA = 0.3


class InPlaceDecay(BookNet):
    """λ is a constant of the module, names are made by format, and the sum is made in place."""

    def loss(self, x: Any, t: Any) -> Any:
        return BookNet.loss(self, x, t) + LAMBDA / 2 * sum(np.sum(np.power(self.params[f"W{n}"], 2)) for n in (1, 2))

    def gradient(self, x: Any, t: Any) -> Any:
        super(InPlaceDecay, self).loss(x=x, t=t)  # noqa: UP008
        dout = self.lastLayer.backward(dout=1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout=dout)
        grads: Any = OrderedDict()
        for n in range(1, self.hidden_layer_num + 2):
            for kind in ("W", "b"):
                grads["{}{}".format(kind, n)] = getattr(self.layers["Affine" + str(n)], "d" + kind)  # noqa: UP032
            grads["W%d" % n] += LAMBDA * self.params["W%d" % n]  # noqa: UP031
        return grads


class ByKind(InAList):
    """It asks what its layers are."""

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward()
        grads, n = {}, 2
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
            if isinstance(layer, Affine) and hasattr(layer, "dW"):
                grads[f"W{n}"], grads[f"b{n}"] = layer.dW, layer.db
                n -= 1
        return grads


class Slotted(BookNet):
    """Some of its attributes are slots."""

    __slots__ = ("layers", "scale")

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1


class ByAttributes(BookNet):
    """The layers are also attributes, which its methods use."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.second = self.layers.values()
        self.blocks = ((self.first, self.relu), [self.second])

    def predict(self, x: Any) -> Any:
        for block in self.blocks:
            for layer in block:
                x = layer.forward(x)
        return x


class WithHelpers(BookNet):
    """Methods that call others, a property and a lambda."""

    @property
    def backwards(self) -> Any:
        return [
            self.layers[name] for name in sorted(self.layers, key=lambda name: -int(name[-1]) * 2 + (name[0] < "B"))
        ]

    def _affine(self) -> Any:
        return [self.layers[f"Affine{n}"] for n in (1, 2)]

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        grads = {}
        for n, layer in enumerate(self._affine(), start=1):
            grads.update({f"W{n}": layer.dW, f"b{n}": layer.db})
        assert len(grads) == 4, "each parameter has its gradient"
        return grads


class Subclassed(TwoLayerNet):
    """It does what its class does, in its own words."""

    def __init__(self) -> None:
        super().__init__(6, 5, 3, 0.5, rng=np.random.default_rng(8))

    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t)


class Switched(BookNet):
    """What may be frozen, and isn't."""

    frozen = False

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        if self.frozen:
            grads["W1"] = 0 * grads["W1"]
        return grads


COMPILED: dict[str, Any] = {
    "chapter 5": BookNet,
    "last_layer": LastLayer,
    "a list": InAList,
    "slices": Sliced,
    "deep": Deep,
    "comprehensions": Comprehended,
    "weight decay": MultiLayerNet,
    "weight decay of 0": lambda: MultiLayerNet(0),
    "another decay": OtherDecay,
    "a literal decay": LiteralDecay,
    "a decay in place": InPlaceDecay,
    "kinds": ByKind,
    "slots": Slotted,
    "attributes": ByAttributes,
    "helpers": WithHelpers,
    "a subclass": Subclassed,
    "a switch that is off": Switched,
    "ours": lambda: TwoLayerNet(6, 5, 3, 0.5, rng=np.random.default_rng(9)),
    "ours, decaying": lambda: TwoLayerNet(6, 5, 3, 0.5, rng=np.random.default_rng(9), weight_decay_lambda=0.3),
}


# Samples and steps for them, and how they are taken by hand


X, T = data(40, 6, 3)
ORDER = np.random.default_rng(5).integers(0, 40, (6, 7))


def by_hand(network: Any, x: Any, t: Any, order: Any = ORDER, optimizer: Any = None) -> list[float]:
    """The losses and the steps by the network's own methods."""
    losses, optimizer = [], optimizer or SGD(0.1)
    for batch in order:
        gradients = network.gradient(x[batch], t[batch])
        losses.append(float(network.loss(x[batch], t[batch])))
        optimizer.update(network.params, gradients)
    return losses
