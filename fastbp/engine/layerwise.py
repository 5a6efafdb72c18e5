"""Training steps by the layers themselves: what `fastbp.compile` falls back to."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import _arrays, layers, reference
from fastbp._checks import finite
from fastbp._parameters import holders, layers_of
from fastbp.engine.chain import NotCompilable, decay_of, last_layer
from fastbp.engine.data import LayerData, checked_order, run_arguments, samples_array, scaled
from fastbp.engine.report import layers_report
from fastbp.networks import TwoLayerNet

AFFINE, SOFTMAX = (layers.Affine, reference.Affine), (layers.SoftmaxWithLoss, reference.SoftmaxWithLoss)
STEPS = ("loss", "gradient", "loss_and_gradient")  # the methods of a network that a training step asks for


class LayerStep:
    """A step, `prepare`, `run` and `report` as `CompiledStep` has them, by the layers; `reason` says why."""

    compiled = False

    def __init__(self, network: Any, optimizer: Any, reason: str) -> None:
        self.network, self.optimizer, self.reason = network, optimizer, reason

    def __call__(self, x: ArrayLike, t: ArrayLike, *, scale: float = 1.0) -> float:
        """One step on a batch. Returns the loss before the update."""
        data = self.prepare(x, t, scale=scale)
        return self._step(data.x, data.t)

    def prepare(self, x: Any, t: ArrayLike, *, scale: float = 1.0, sparse: bool | None = None) -> LayerData:
        """Samples and labels as arrays, the samples times `scale`; labels are checked where their classes are known."""
        if sparse:
            raise ValueError(f"sparse=True needs the compiled loop: {self.reason}")
        scale = finite(scale, "scale")
        x = samples_array(x.toarray() if hasattr(x, "tocsr") else x)
        t = np.asanyarray(t)
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
            raise ValueError(f"x and t must have a row for each sample, got shapes {x.shape} and {t.shape}")
        classes = classes_of(self.network)
        if classes is not None:
            _arrays.targets(t, (len(t), classes), _arrays.FLOAT64)
        return LayerData(scaled(x, scale), t)

    def run(
        self,
        x: Any,
        t: Any = None,
        order: ArrayLike | None = None,
        *,
        scale: float = 1.0,
        sparse: bool | None = None,
    ) -> NDArray[np.float64]:
        """A step for each row of `order` (steps, batch); the losses (steps,). Data as in `CompiledStep.run`."""
        x, t, order = run_arguments(x, t, order, scale, sparse, LayerData)
        data = x if isinstance(x, LayerData) else self.prepare(x, t, scale=scale, sparse=sparse)
        batches = checked_order(order, data.samples)
        return np.array([self._step(data.x[batch], data.t[batch]) for batch in batches], np.float64)

    def report(self, batch: int = 100) -> str:
        """Which layers there are, and why they are not compiled."""
        return layers_report(layers_of(self.network), _loss_of(self.network), self.optimizer, self.reason)

    def _step(self, x: NDArray[Any], t: NDArray[Any]) -> float:
        loss, gradients = loss_and_gradient(self.network, x, t)
        self.optimizer.update(self.network.params, gradients)
        return loss


def loss_and_gradient(network: Any, x: Any, t: Any) -> tuple[float, Any]:
    """The loss and the gradients by name: by the network's own methods where it has them, else through its layers."""
    if hasattr(network, "gradient") and not _from_both(network):
        gradients = network.gradient(x, t)
        # A gradient says nothing of the loss: one more forward pass.
        return float(network.loss(x, t) if hasattr(network, "loss") else through_layers(network, x, t)[0]), gradients
    if hasattr(network, "loss_and_gradient"):
        loss, gradients = network.loss_and_gradient(x, t)
        return float(loss), gradients
    loss, gradients = through_layers(network, x, t)
    return float(network.loss(x, t)) if hasattr(network, "loss") else loss, gradients


def through_layers(network: Any, x: Any, t: Any) -> tuple[float, dict[str, Any]]:
    """The loss and the gradients by name: through the chain of layers and back, with the network's weight decay."""
    chain = layers_of(network)
    for layer in chain:
        x = layer.forward(x)
    last = last_layer(network)
    loss = float(last.forward(x, t))
    dout = last.backward(1)
    for layer in reversed(chain):
        dout = layer.backward(dout)
    places, decay = holders(network), decay_of(network)
    gradients = {name: getattr(layer, f"d{key}") for name, layer, key in places}
    if decay:
        for name, layer, key in places:
            if key == "W":
                loss += 0.5 * decay * float(np.sum(np.square(layer.W, dtype=np.float64)))
                gradients[name] = gradients[name] + decay * layer.W
    return loss, gradients


def _from_both(network: Any) -> bool:
    """Whether its `gradient` is the half of `loss_and_gradient` that it is in TwoLayerNet."""
    return getattr(network.gradient, "__func__", None) is TwoLayerNet.gradient


def _loss_of(network: Any) -> Any:
    try:
        return last_layer(network)
    except NotCompilable:  # the loss is in its methods
        return None


def classes_of(network: Any) -> int | None:
    """How many classes labels may name; None where a method of the network's own, or its forward pass, says that."""
    if type(network) is not TwoLayerNet and any(hasattr(network, name) for name in STEPS):
        return None
    *_, last = layers_of(network) or [None]
    known = isinstance(last, AFFINE) and isinstance(_loss_of(network), SOFTMAX)
    return int(np.shape(last.W)[-1]) if known and np.ndim(last.W) == 2 else None
