"""A network as a graph: a node a layer, with the gradients that `network.gradient` computes."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.chain import Chain, Place
from fastbp.graph.engine import flow, in_order, start
from fastbp.graph.layers import LayerOperation, layer_node
from fastbp.graph.node import Node, variable
from fastbp.graph.values import Value, as_it_is, given, shape_of


class _NetworkLayer(LayerOperation):
    """A layer of a network: its inputs are x, or x and t, then the parameters that it holds."""

    def __init__(self, layer: Any, symbol: str, places: Sequence[tuple[Any, Any]], arguments: int) -> None:
        super().__init__(layer, symbol)
        self.places, self.arguments = places, arguments

    def value(self, *values: Value) -> Any:
        return super().value(*values[: self.arguments])

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        found = super().gradients(dout, values[: self.arguments], out)
        return [*found, *(self._of(owner, key) for owner, key in self.places)]

    def _of(self, owner: Any, key: Any) -> Any:
        """The gradient that stands beside a parameter: dW beside W."""
        gradient = getattr(owner, f"d{key}", None)
        if gradient is None:
            raise ValueError(f"{self.symbol} holds a parameter as {key}, but its backward has left no gradient d{key}")
        return given(gradient, f"d{key}")

    def apart(self) -> LayerOperation:
        other = copy.copy(self)
        other.layer, other.places = _copied((self.layer, self.places), self.symbol)
        return other


def from_network(network: Any, x: Any, t: Any) -> Node:
    """The loss of a network for samples x and labels t, as a graph with a node a layer. Call `backward` on it.

    Takes any network with `params`, `layers` (a dict or a list, each with forward and backward) and `last_layer` or
    `lastLayer`; a `weight_decay_lambda` adds its nodes. Parameters are variables under their names, coming in beside x
    and the labels t. The graph works on a copy: neither the network nor a random stream is changed.
    AttributeError or ValueError for another kind of network, for one that can't be copied, and for one whose own
    `gradient` (run on a copy, where it has one) computes something else than its layers do.
    """
    chain = _checked(network)
    state = np.random.get_state()
    try:
        own = Chain(_copied(network, chain.name))
        nodes = {name: variable(value, name) for name, value in own.params.items()}
        held = _held(chain, own)
        out, labels = variable(x, "x"), Node(as_it_is(t), name="t")
        for name, layer in zip(_names(chain), own.layers, strict=True):
            mine = [nodes[each.parameter].T if each.turned else nodes[each.parameter] for each in held[id(layer)]]
            places = [(each.place.owner, each.place.key) for each in held[id(layer)]]
            out = layer_node(_NetworkLayer(layer, name, places, 1), (out, *mine))
        out = layer_node(_NetworkLayer(own.loss, type(own.loss).__name__, (), 2), (out, labels))
    finally:
        np.random.set_state(state)
    out = _decayed(network, out, nodes)
    out.name = "loss"
    _compare(network, out, x, t)
    return out


def _checked(network: Any) -> Chain:
    """The network as a chain. AttributeError saying what it lacks."""
    chain = Chain(network)
    if not chain.layers or not isinstance(chain.params, Mapping):
        raise AttributeError(
            f"{chain.name} is no network: expected params (a dict), layers (a dict or a list of layers with forward "
            "and backward) and last_layer"
        )
    if chain.loss is None:
        raise AttributeError(f"{chain.name} has no last_layer (or lastLayer), the layer that computes the loss")
    return chain


def _names(chain: Chain) -> list[str]:
    """Each layer's key in the network, or its class and number."""
    items = chain.container.items() if isinstance(chain.container, Mapping) else ()
    keys = {id(layer): str(key) for key, layer in items}
    return [keys.get(id(layer), f"{type(layer).__name__}{i}") for i, layer in enumerate(chain.layers, 1)]


def _copied(things: Any, name: str) -> Any:
    try:
        return copy.deepcopy(things)
    except Exception as error:  # whatever a layer holds has its own way to refuse
        raise ValueError(f"{name} can't be copied, and the graph works on a copy: {error}") from error


@dataclass
class _Held:
    """A parameter, whether it is held transposed, and where the copy of a layer holds it."""

    parameter: str
    turned: bool
    place: Place


def _held(chain: Chain, own: Chain) -> dict[int, list[_Held]]:
    """For each layer of the copy, by its id, what the network's layer holds: a copied view is no view."""
    found: dict[int, list[_Held]] = {id(layer): [] for layer in own.layers}
    for place, copied in zip(chain.places, own.places, strict=True):
        for parameter, whole in chain.params.items():
            if place.array is whole:
                found[id(copied.layer)].append(_Held(parameter, False, copied))
            elif isinstance(whole, np.ndarray) and np.may_share_memory(place.array, whole):
                turned = place.array.shape == whole.shape[::-1] and place.array.strides == whole.strides[::-1]
                if not turned or place.array.ctypes.data != whole.ctypes.data:
                    raise ValueError(
                        f"{place.path} is a view of params[{parameter!r}] of shape {shape_of(place.array)}: the graph "
                        "follows the array itself and its transpose only"
                    )
                found[id(copied.layer)].append(_Held(parameter, True, copied))
    order = list(chain.params)
    return {layer: sorted(each, key=lambda held: order.index(held.parameter)) for layer, each in found.items()}


def _decayed(network: Any, loss: Node, nodes: Mapping[str, Node]) -> Node:
    """The loss with ½·λ·ΣW² added for each weight (the book's section 6.4.2), where the network decays them."""
    decay = float(getattr(network, "weight_decay_lambda", 0) or 0)
    if decay:
        for name, weight in nodes.items():
            if name.startswith("W"):
                loss = loss + (weight**2).sum() * (0.5 * decay)
    return loss


def _compare(network: Any, loss: Node, x: Any, t: Any) -> None:
    """ValueError when the graph's gradients are not those of `network.gradient`."""
    state = np.random.get_state()
    try:
        expected = copy.deepcopy(network).gradient(x, t)
    except Exception:  # without a gradient that works there is nothing to compare with
        return
    finally:
        np.random.set_state(state)
    order = in_order(loss)
    gradients, _ = flow(order, start(loss, 1), lambda operation: operation)
    for node, gradient in gradients.items():
        if node.operation is None and node.name in expected:
            other = np.asarray(expected[node.name])
            single = np.float32 in (other.dtype, np.asarray(gradient).dtype)
            tolerance = (1e-3 if single else 1e-9) * max(1e-30, float(np.max(np.abs(other))))
            if other.shape != np.shape(gradient) or not np.allclose(gradient, other, 0, tolerance, equal_nan=True):
                raise ValueError(
                    f"{type(network).__name__}.gradient computes another gradient for {node.name} than its layers and "
                    "its loss do, which is all that the graph can show"
                )
