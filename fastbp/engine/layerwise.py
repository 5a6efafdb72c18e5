"""Training steps by the layers themselves: what `fastbp.compile` falls back to."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import _arrays
from fastbp._parameters import holders, layers_of
from fastbp.engine.chain import NotCompilable, decay_of, last_layer
from fastbp.engine.data import checked_order, checked_scale
from fastbp.engine.report import layers_report


class LayerStep:
    """The interface of `CompiledStep`, without compiled code; `reason` says why. Made by `fastbp.compile`."""

    compiled = False

    def __init__(self, network: Any, optimizer: Any, reason: str) -> None:
        self.network, self.optimizer, self.reason = network, optimizer, reason

    def __call__(self, x: ArrayLike, t: ArrayLike) -> float:
        """One step on a batch. Returns the loss before the update."""
        loss, gradients = loss_and_gradient(self.network, x, t)
        self.optimizer.update(self.network.params, gradients)
        return loss

    def prepare(self, x: Any, t: ArrayLike, *, scale: float = 1.0, sparse: bool | None = None) -> tuple[Any, Any]:
        """Samples and labels as arrays, the samples times `scale`."""
        if sparse:
            raise ValueError(f"sparse=True needs the compiled loop: {self.reason}")
        scale = checked_scale(scale)
        x = _arrays.real_array(x.toarray() if hasattr(x, "tocsr") else x, "x")
        t = np.asanyarray(t)
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
            raise ValueError(f"x and t must have a row for each sample, got shapes {x.shape} and {t.shape}")
        return x if scale == 1 else x * x.dtype.type(scale) if x.dtype.kind == "f" else x * scale, t

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
        if isinstance(x, tuple):
            (x, t), order = x, t if order is None else order
        else:
            x, t = self.prepare(x, t, scale=scale, sparse=sparse)
        if order is None:
            raise TypeError("run needs samples, labels and an order: run(x, t, order)")
        return np.array([self(x[batch], t[batch]) for batch in checked_order(order, len(x))], np.float64)

    def report(self, batch: int = 100) -> str:
        """Which layers there are, and why they are not compiled."""
        return layers_report(layers_of(self.network), _loss_of(self.network), self.optimizer, self.reason)


def loss_and_gradient(network: Any, x: Any, t: Any) -> tuple[float, Any]:
    """The loss and the gradients by name: from the network's methods, or through its layers and back."""
    if hasattr(network, "loss_and_gradient"):
        loss, gradients = network.loss_and_gradient(x, t)
        return float(loss), gradients
    if hasattr(network, "gradient") and hasattr(network, "loss"):
        gradients = network.gradient(x, t)
        return float(network.loss(x, t)), gradients
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


def _loss_of(network: Any) -> Any:
    try:
        return last_layer(network)
    except NotCompilable:  # the loss is in its methods
        return None
