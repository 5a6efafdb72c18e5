"""Networks of objects that do something else than they seem to: attributes, names, numbers, layers, classes.

As in `other_networks`, none may run in the compiled loop.
"""

import threading
from typing import Any, ClassVar

import numpy as np
from book_networks import BookNet, OtherDecay
from other_networks import Net, of_module

from fastbp import Affine, Relu, SoftmaxWithLoss


class Wrapper(Net):
    """What it hasn't comes from elsewhere."""

    def __getattr__(self, name: str) -> Any:
        if name == "loss_and_gradient":
            return lambda x, t: (0.0, {k: np.zeros_like(p) for k, p in self.params.items()})
        raise AttributeError(name)


class OtherAttributes(Net):
    """A layer that also holds its parameter, and zeros, under other names."""

    def __init__(self) -> None:
        super().__init__()
        layer = self.layers["Affine1"]
        layer.V, layer.dV = self.params["W1"], np.zeros((6, 5))

    def gradient(self, x: Any, t: Any) -> Any:
        return super().gradient(x, t) | {"W1": self.layers["Affine1"].dV}


class Switch(str):
    on = True


class KeyWithAttribute(Net):
    """The key of a dict is more than its text."""

    def __init__(self) -> None:
        super().__init__()
        self.options = {Switch("half"): 2}

    def loss(self, x: Any, t: Any) -> Any:
        for key in self.options:
            if key.on:  # type: ignore[attr-defined]
                return super().loss(x, t)
        return super().loss(x, t)


class Number(np.float64):
    """0, but true."""

    def __bool__(self) -> bool:
        return True


class NumberWithMethods(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scale = Number(0.0)

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return {k: 2.0 * g for k, g in grads.items()} if self.scale else grads


class Remover:
    """A data descriptor that only deletes."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return 2.0

    def __delete__(self, instance: Any) -> None:
        pass


class WithDescriptor(Net):
    factor = Remover()

    def __init__(self) -> None:
        super().__init__()
        vars(self)["factor"] = 1.0

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return grads if self.factor == 1.0 else {k: self.factor * g for k, g in grads.items()}


class NaNInAList(Net):
    """A list holds a NaN that is the same object, but no equal one."""

    def loss(self, x: Any, t: Any) -> Any:
        loss = super().loss(x, t)
        same = loss + 0
        return same if same in [loss] else 2 * loss


class Mutable(Net):
    """It keeps notes in its class, under __class__."""

    steps: ClassVar[list[int]] = []

    def gradient(self, x: Any, t: Any) -> Any:
        __class__.steps.append(1)  # type: ignore[name-defined]
        return super().gradient(x, t)


class Top(Net):
    def gradient(self, x: Any, t: Any) -> Any:
        return {k: 3.0 * v for k, v in super().gradient(x, t).items()}


class Left(Top):
    pass


class Right(Top):
    def gradient(self, x: Any, t: Any) -> Any:
        return Net.gradient(self, x, t)


class Diamond(Left, Right):
    """Left's gradient is Top's, though super() in Left would be Right."""

    def gradient(self, x: Any, t: Any) -> Any:
        return Left.gradient(self, x, t)


class BareAffine(Affine):
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b


class AsksForGradients(Net):
    """Whether a layer has dW changes with its first backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layers["Affine1"] = BareAffine(self.params["W1"], self.params["b1"])

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        return grads if hasattr(self.layers["Affine1"], "dW") else {k: 2.0 * g for k, g in grads.items()}


class PowerOfNumbers(OtherDecay):
    """10 to the 20th overflows in NumPy's integers."""

    def gradient(self, x: Any, t: Any) -> Any:
        grads = BookNet.gradient(self, x, t)
        return {k: g + 1e-21 * np.power(10, 20) * self.params[k] for k, g in grads.items()}


class ByChosenIdentity(Net):
    on = True

    def loss(self, x: Any, t: Any) -> Any:
        return 2 * super().loss(x, t) if (x is (t if self.on else None)) == True else super().loss(x, t)  # noqa: E712


class ByChosenTemplate(Net):
    on, template = True, "{0.__self__}"

    def loss(self, x: Any, t: Any) -> Any:
        text = (self.template if self.on else "{}").format(len)
        return super().loss(x, t) if "builtins" in text else 2 * super().loss(x, t)


class LayersAsAProperty(Net):
    def __init__(self) -> None:
        super().__init__()
        self.kept = self.layers

    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__("kept" if name == "layers" and "kept" in vars(self) else name)


class Property(Net):
    """`layers` is computed at each look."""

    def __init__(self) -> None:
        self._kept: Any = None
        super().__init__()

    @property
    def layers(self) -> Any:
        return self._kept

    @layers.setter
    def layers(self, value: Any) -> None:
        self._kept = value


class LayerWithMethods(Net):
    def __init__(self) -> None:
        super().__init__()

        class Watched(Affine):
            @property
            def x(self) -> Any:
                return self._x

            @x.setter
            def x(self, value: Any) -> None:
                self._x = value if value is None else 2 * value

        self.layers["Affine1"] = Watched(self.params["W1"], self.params["b1"])


class PatchedLayer(Net):
    def __init__(self) -> None:
        super().__init__()
        forward = self.layers["Relu1"].forward
        self.layers["Relu1"].forward = lambda x: forward(2 * x)


class Attributes(dict[str, Any]):
    """What an object's attributes may stand in."""


class DictWithMethods(PatchedLayer):
    def __init__(self) -> None:
        super().__init__()
        self.layers["Relu1"].__dict__ = Attributes(vars(self.layers["Relu1"]))


class AttributesElsewhere(Net):
    def __init__(self) -> None:
        super().__init__()
        gradient = self.gradient
        self.__dict__ = Attributes(vars(self))
        self.gradient = lambda x, t: {name: 3 * g for name, g in gradient(x, t).items()}  # type: ignore[method-assign]


class OwnLoss(Net):
    def __init__(self) -> None:
        super().__init__()

        class Twice(SoftmaxWithLoss):
            def forward(self, x: Any, t: Any) -> float:
                return 2 * super().forward(x, t)

        self.lastLayer = Twice()


class TwoNames(Net):
    """last_layer and lastLayer are two losses, of which the methods use the second."""

    def __init__(self) -> None:
        super().__init__()
        self.last_layer = SoftmaxWithLoss(eps=0.5)


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def loss(self, x: Any, t: Any) -> Any:
        with self.lock:
            return super().loss(x, t)


class Generator(Net):
    def gradient(self, x: Any, t: Any) -> Any:
        return dict(self._pairs(x, t))

    def _pairs(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        for name in grads:
            yield name, grads[name] if len(name) == 2 and t[0] < 9 else None


class Patched(Net):
    """A method of the object itself."""

    def __init__(self) -> None:
        super().__init__()
        gradient = self.gradient
        self.gradient = lambda x, t: {name: 3 * g for name, g in gradient(x, t).items()}  # type: ignore[method-assign]


class MoreLayers(Net):
    """One of its layers stands elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = Relu()

    def predict(self, x: Any) -> Any:
        return self.extra.forward(super().predict(x))


OBJECTS = of_module(globals(), (Left, Right))
