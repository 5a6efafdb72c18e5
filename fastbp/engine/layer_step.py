"""Training steps by the layers themselves, or by a network's own methods: where the compiled loop can't stand in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import originals
from fastbp.boundary.arguments import finite
from fastbp.boundary.arrays import learning_rates
from fastbp.chain import Chain
from fastbp.engine.clipping import clipped
from fastbp.engine.data import Data, LayerData, checked_order, run_arguments, samples_array, scaled
from fastbp.engine.labels import Check, check_of
from fastbp.engine.recognition import decay_of
from fastbp.engine.report import layers_report
from fastbp.reads import Reads


class LayerStep:
    """Steps of one network with one optimizer, one after the other."""

    def __init__(self, network: Any, optimizer: Any, max_norm: float | None = None) -> None:
        self.network, self.optimizer, self.max_norm = network, optimizer, max_norm
        self._chain: Chain | None = None  # the network as it was read last
        self._reads = Reads()  # what that was read from
        self._labels: tuple[Reads, Check | None] | None = None

    def __call__(self, x: ArrayLike, t: ArrayLike, *, scale: float = 1.0) -> float:
        """One step on a batch. Returns the loss before the update."""
        data = self.prepare(x, t, scale=scale)
        return self._step(data.x, data.t)

    def prepare(self, x: Any, t: ArrayLike, *, scale: float = 1.0) -> LayerData:
        """Samples and labels as arrays, the samples times `scale`; labels are checked where layers say which fit."""
        scale = finite(scale, "scale")
        x = _samples(x)
        t = np.asanyarray(t)
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
            raise ValueError(f"x and t must have a row for each sample, got shapes {x.shape} and {t.shape}")
        if self._labels is None or not self._labels[0].same():
            reads = Reads()
            self._labels = reads, check_of(self.look(), reads)
        check = self._labels[1]
        if check is not None:
            check(t)
        return LayerData(scaled(x, scale), t)

    def look(self) -> Chain:
        """The network as it is, read anew where any of it was exchanged.

        ValueError naming the parameters that came apart from their layers.
        """
        if self._chain is None or not self._reads.same():
            self._chain, reads = None, Reads()
            chain = Chain(self.network)
            chain.note(reads)
            chain.check_held(reads)
            self._chain, self._reads = chain, reads
        return self._chain

    def loss_and_gradient(self, x: Any, t: Any) -> tuple[float, Any]:
        """The loss before a step and the gradients by name. Errors as in `look`, and those of the network's methods."""
        chain, self._chain = self.look(), None  # after an error it is read anew
        loss, gradients = loss_and_gradient(chain, x, t)
        self._chain = chain
        return loss, gradients

    def run(
        self,
        x: Any,
        t: Any = None,
        order: ArrayLike | None = None,
        *,
        scale: float = 1.0,
        sparse: bool | None = None,
        lr: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """A step for each row of `order` (steps, batch); the losses (steps,). Data as in `CompiledStep.run`."""
        x, t, order = run_arguments(x, t, order, scale, sparse)
        data = layer_data(x) if isinstance(x, Data | LayerData) else self.prepare(x, t, scale=scale)
        batches = checked_order(order, data.samples)
        if lr is None:
            return np.array([self._step(data.x[batch], data.t[batch]) for batch in batches], np.float64)
        rates = learning_rates(lr, len(batches)).tolist()
        with _kept(self.optimizer, "lr"):
            return np.array([self._step(data.x[b], data.t[b], rate) for b, rate in zip(batches, rates, strict=True)])

    @property
    def noted(self) -> Any:
        """An object that is another one at each look."""
        return object()

    def reporter(self, reason: str) -> Callable[[int], str]:
        """What writes the report, as the network and the optimizer are now."""
        chain = self._chain or Chain(self.network)
        parts = [*chain.layers, chain.loss, self.optimizer]
        return partial(layers_report, [type(part).__name__ for part in parts if part is not None], reason)

    def _step(self, x: NDArray[Any], t: NDArray[Any], rate: float | None = None) -> float:
        loss, gradients = self.loss_and_gradient(x, t)
        if rate is not None:
            self.optimizer.lr = rate
        self.optimizer.update(self.network.params, clipped(gradients, self.network.params, self.max_norm))
        return loss


@contextmanager
def _kept(owner: Any, name: str) -> Iterator[None]:
    """A block after which an attribute is what it was. ValueError where there is none."""
    if not hasattr(owner, name):
        raise ValueError(f"lr=... sets the lr of the optimizer, but {type(owner).__name__} has none")
    before = getattr(owner, name)
    try:
        yield
    finally:
        setattr(owner, name, before)


def layer_data(data: Data | LayerData) -> LayerData:
    """Prepared data for the layers: what was given is used, in the shape and dtype in which it was."""
    if isinstance(data, LayerData):
        return data
    x, t, scale = data.given
    return LayerData(scaled(_samples(x), scale), np.asanyarray(t))


def _samples(x: Any) -> NDArray[Any]:
    """x as an array of real numbers, of its own class where it has one. TypeError and ValueError for anything else."""
    array = samples_array(x.toarray() if hasattr(x, "tocsr") else x)
    return x if isinstance(x, np.ndarray) else array


def loss_and_gradient(chain: Chain, x: Any, t: Any) -> tuple[float, Any]:
    """The loss and the gradients by name: by the network's own methods where it has them, else through its layers."""
    network = chain.network
    if hasattr(network, "gradient") and not _is_half(network):
        gradients = network.gradient(x, t)
        # A gradient says nothing of the loss: one more forward pass.
        return float(network.loss(x, t) if hasattr(network, "loss") else _through_layers(chain, x, t)[0]), gradients
    if hasattr(network, "loss_and_gradient"):
        loss, gradients = network.loss_and_gradient(x, t)
        return float(loss), gradients
    loss, gradients = _through_layers(chain, x, t)
    return float(network.loss(x, t)) if hasattr(network, "loss") else loss, gradients


def _is_half(network: Any) -> bool:
    """Whether its `gradient` is half of its `loss_and_gradient`, as in the library's networks."""
    names = ("gradient", "loss_and_gradient")
    own = getattr(network, "__dict__", {})
    return originals.defines(type(network), *names) and not any(name in own for name in names)


def _through_layers(chain: Chain, x: Any, t: Any) -> tuple[float, dict[str, Any]]:
    """The loss and the gradients by name: through the chain of layers and back, with the network's weight decay."""
    if chain.loss is None:
        raise ValueError(f"{chain.name} has neither a gradient(x, t) nor a last_layer: nothing says what its loss is")
    loss = float(chain.loss.forward(chain.forward(x), t))
    chain.backward(chain.loss.backward(1))
    gradients: dict[str, Any] = {}
    decay = decay_of(chain.network)
    for name, parameter in chain.params.items():
        keys = [(place.owner, place.key) for place in chain.holders(name) if place.array is parameter]
        if not keys:
            raise ValueError(f"give {chain.name} a gradient(x, t): no layer holds params[{name!r}] itself")
        found = [getattr(owner, f"d{key}") for owner, key in keys]
        gradients[name] = sum(found[1:], found[0])
        if decay and any(key == "W" for _, key in keys):
            loss += 0.5 * decay * float(np.sum(np.square(parameter, dtype=np.float64)))
            gradients[name] = gradients[name] + decay * parameter
    return loss, gradients
