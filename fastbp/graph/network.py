"""A network as a graph: a node a layer, with the gradients that `network.gradient` computes."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastbp import _parameters
from fastbp.graph.engine import flow, in_order, start
from fastbp.graph.layers import LayerOperation, layer_node
from fastbp.graph.node import Node, variable
from fastbp.graph.values import Value, as_it_is, given, shape_of

# Where a layer holds a parameter: the object, and the name of its attribute.
Place = tuple[Any, str]


class _NetworkLayer(LayerOperation):
    """A layer of a network: its inputs are x, or x and t, then the parameters that it holds."""

    def __init__(self, layer: Any, symbol: str, places: Sequence[Place], arguments: int) -> None:
        super().__init__(layer, symbol)
        self.places, self.arguments = places, arguments

    def value(self, *values: Value) -> Any:
        return super().value(*values[: self.arguments])

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        found = super().gradients(dout, values[: self.arguments], out)
        return [*found, *(self._of(owner, key) for owner, key in self.places)]

    def _of(self, owner: Any, key: str) -> Any:
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
    layers, last = _layers(network), _last(network)
    state = np.random.get_state()
    try:
        params, copies, loss = _copied((dict(network.params), [layer for _, layer in layers], last), "the network")
        nodes = {name: variable(value, name) for name, value in params.items()}
        out, labels = variable(x, "x"), Node(as_it_is(t), name="t")
        for (name, layer), own in zip(layers, copies, strict=True):
            held = list(_held(layer, own, network.params, name))
            mine = [nodes[key].T if turned else nodes[key] for key, turned, _ in held]
            operation = _NetworkLayer(own, name, [place for *_, place in held], 1)
            out = layer_node(operation, (out, *mine))
        out = layer_node(_NetworkLayer(loss, type(last).__name__, (), 2), (out, labels))
    finally:
        np.random.set_state(state)
    out = _decayed(network, out, nodes)
    out.name = "loss"
    _compare(network, out, x, t)
    return out


def _layers(network: Any) -> list[tuple[str, Any]]:
    """The layers in order, each with its key in the network, or its class and number."""
    found = _parameters.layers_of(network)
    if not found or not isinstance(getattr(network, "params", None), Mapping):
        raise AttributeError(
            f"{type(network).__name__} is no network: expected params (a dict), layers (a dict or a list of layers "
            "with forward and backward) and last_layer"
        )
    given_keys = network.layers.items() if isinstance(network.layers, Mapping) else ()
    keys = {id(layer): str(key) for key, layer in given_keys}
    return [(keys.get(id(layer), f"{type(layer).__name__}{i}"), layer) for i, layer in enumerate(found, 1)]


def _last(network: Any) -> Any:
    for name in ("last_layer", "lastLayer"):
        layer = getattr(network, name, None)
        if layer is not None:
            return layer
    raise AttributeError(f"{type(network).__name__} has no last_layer (or lastLayer), the layer that computes the loss")


def _copied(things: Any, name: str) -> Any:
    try:
        return copy.deepcopy(things)
    except Exception as error:  # whatever a layer holds has its own way to refuse
        raise ValueError(f"{name} can't be copied, and the graph works on a copy: {error}") from error


def _held(layer: Any, own: Any, params: Mapping[str, Any], name: str) -> Iterator[tuple[str, bool, Place]]:
    """(Parameter, whether it is transposed, where the layer's copy holds it) for each parameter of a layer."""
    for (_, key, array), (owner, _, _) in zip(_arrays(layer), _arrays(own), strict=True):
        for parameter, whole in params.items():
            if array is whole:
                yield parameter, False, (owner, key)
            elif isinstance(whole, np.ndarray) and np.may_share_memory(array, whole):
                turned = array.shape == whole.shape[::-1] and array.strides == whole.strides[::-1]
                if not turned or array.ctypes.data != whole.ctypes.data:
                    raise ValueError(
                        f"{name}.{key} is a view of params[{parameter!r}] of shape {shape_of(array)}: the graph "
                        "follows the array itself and its transpose only"
                    )
                yield parameter, True, (owner, key)


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


def _arrays(layer: Any) -> Iterator[tuple[Any, str, Any]]:
    """(owner, attribute, array) of a layer and the layers inside it, in one order for the layer and for its copy."""
    waiting, seen = [layer], set()
    while waiting:
        thing = waiting.pop(0)
        if id(thing) in seen or isinstance(thing, str | bytes | np.ndarray | np.generic):
            continue
        seen.add(id(thing))
        if isinstance(thing, Mapping):
            waiting.extend(thing.values())
        elif isinstance(thing, list | tuple):
            waiting.extend(thing)
        elif hasattr(thing, "forward"):
            for key in sorted(_parameters._keys(thing)):
                value = getattr(thing, key, None)
                if isinstance(value, np.ndarray):
                    yield thing, key, value
                else:
                    waiting.append(value)
