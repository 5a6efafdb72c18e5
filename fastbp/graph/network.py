"""A network as a graph: a node a layer, with the gradients that `network.gradient` computes."""

import copy
import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.chain import Chain, Place, overlap
from fastbp.graph.engine import flow, in_order, start
from fastbp.graph.layers import LayerOperation, layer_node
from fastbp.graph.node import Node, variable
from fastbp.graph.values import Value, as_it_is, given, shape_of


class _NetworkLayer(LayerOperation):
    """A layer of a network: its inputs are x, or x and t, then the parameters that it holds."""

    def value(self, *values: Value) -> Any:
        return super().value(*self._arguments(values))

    def gradients(self, dout: Value, values: Sequence[Value], out: Value) -> Sequence[Any]:
        arguments = self._arguments(values)
        found = super().gradients(dout, arguments, out)
        held = zip(self.used, values[len(arguments) :], strict=True)
        return [*found, *(self._of(owner, key, value) for (owner, key), value in held)]

    def for_backward(self) -> tuple[Any, Sequence[tuple[Any, Any]]]:
        """A gradient that stands there is that of an earlier backward, to which a layer might add."""
        layer, self.used = super().for_backward()
        for owner, key in self.used:
            gradient = getattr(owner, f"d{key}", None)
            if isinstance(gradient, np.ndarray) and gradient.flags.writeable:
                gradient.fill(0)
        return layer, self.used

    def _arguments(self, values: Sequence[Value]) -> Sequence[Value]:
        return values[: len(values) - len(self.places)]

    def _of(self, owner: Any, key: Any, value: Value) -> Any:
        """The gradient that stands beside a parameter: dW beside W."""
        gradient = getattr(owner, f"d{key}", None)
        if gradient is None:
            raise ValueError(f"{self.symbol} holds a parameter as {key}, but its backward has left no gradient d{key}")
        if np.shape(gradient) != np.shape(value):
            raise ValueError(
                f"{self.symbol}.backward left d{key} of shape {shape_of(gradient)}, but {key} has shape "
                f"{shape_of(value)}"
            )
        return given(np.array(gradient), f"d{key}")


def from_network(network: Any, x: Any, t: Any) -> Node:
    """The loss of a network for samples x and labels t, as a graph with a node a layer. Call `backward` on it.

    Takes any network with `params`, `layers` (a dict or a list, each with forward and backward) and `last_layer` or
    `lastLayer`; a `weight_decay_lambda` adds its nodes. Parameters are variables under their names, coming in beside x
    and the labels t. The graph works on a copy: the network, NumPy's global random stream and Python's stay as
    they are; a Generator of a module's own, which no layer holds, moves on.
    AttributeError or ValueError for another kind of network, for one that can't be copied, for parameters that came
    apart from their layers, and for one whose own `loss` or `gradient` (run on copies, where it has them) computes
    something else than its layers do. TypeError for a `gradient` that returns no dict.
    """
    chain = _checked(network)
    with _streams_kept():
        own = Chain(_copied(network, chain.name))
        nodes = {name: variable(value, name) for name, value in own.params.items()}
        held = _held(chain, own)

        def layer_with(layer: Any, name: str, *inputs: Node) -> Node:
            mine = [nodes[each.parameter].T if each.turned else nodes[each.parameter] for each in held[id(layer)]]
            places = [(each.place.owner, each.place.key) for each in held[id(layer)]]
            return layer_node(_NetworkLayer(layer, name, places), (*inputs, *mine))

        out, labels = variable(x, "x"), Node(as_it_is(t), name="t")
        for name, layer in zip(_names(chain), own.layers, strict=True):
            out = layer_with(layer, name, out)
        out = layer_with(own.loss, type(own.loss).__name__, out, labels)
    out = _decayed(network, out, nodes)
    out.name = "loss"
    _compare(network, out, x, t)
    return out


@contextmanager
def _streams_kept() -> Iterator[None]:
    """The states of NumPy's global random stream and of Python's are those from before."""
    numpy_s, python_s = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(numpy_s)
        random.setstate(python_s)


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
    chain.check_held()
    return chain


def _names(chain: Chain) -> list[str]:
    """Each layer's key in the network, or its class and number."""
    items = chain.container.items() if isinstance(chain.container, Mapping) else ()
    keys = {id(layer): str(key) for key, layer in items}
    return [keys.get(id(layer), f"{type(layer).__name__}{i}") for i, layer in enumerate(chain.layers, 1)]


def _copied(network: Any, name: str) -> Any:
    try:
        return copy.deepcopy(network)
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
    found: dict[int, list[_Held]] = {id(layer): [] for layer in (*own.layers, own.loss)}
    pairs = zip((*chain.places, *chain.loss_places), (*own.places, *own.loss_places), strict=True)
    for place, copied in pairs:
        same = [name for name, whole in chain.params.items() if place.array is whole]
        for name in same or [name for name, whole in chain.params.items() if overlap(place.array, whole)]:
            found[id(copied.layer)].append(_Held(name, _turned(place, name, chain.params[name]), copied))
    order = list(chain.params)
    return {layer: sorted(each, key=lambda held: order.index(held.parameter)) for layer, each in found.items()}


def _turned(place: Place, name: str, whole: NDArray[Any]) -> bool:
    """Whether a place has the transpose of a parameter. ValueError for a part of it."""
    array = place.array
    if array.ctypes.data == whole.ctypes.data:
        if (array.shape, array.strides) == (whole.shape, whole.strides):
            return False
        if (array.shape, array.strides) == (whole.shape[::-1], whole.strides[::-1]):
            return True
    raise ValueError(
        f"{place.path} is a view of params[{name!r}] of shape {shape_of(array)}: the graph follows the array itself "
        "and its transpose only"
    )


def _decayed(network: Any, loss: Node, nodes: Mapping[str, Node]) -> Node:
    """The loss with ½·λ·ΣW² added for each weight (the book's section 6.4.2), where the network decays them."""
    decay = float(getattr(network, "weight_decay_lambda", 0) or 0)
    if decay:
        for name, weight in nodes.items():
            if name.startswith("W"):
                loss = loss + (weight**2).sum() * (0.5 * decay)
    return loss


def _compare(network: Any, loss: Node, x: Any, t: Any) -> None:
    """ValueError when the graph's value and gradients are not those of `network.loss` and `network.gradient`."""
    name = type(network).__name__
    value, expected = _own(network, "loss", x, t), _own(network, "gradient", x, t)
    if value is not None and np.size(value) == 1 and not _has_training_mode(network):
        single = any(isinstance(node.value, np.ndarray) and node.value.dtype == np.float32 for node in in_order(loss))
        if not np.allclose(value, loss.value, 1e-3 if single else 1e-9, 1e-12, equal_nan=True):
            raise ValueError(
                f"{name}.loss computes {float(np.squeeze(value))!r}, its layers and last layer {loss.value!r}, which "
                "is all that the graph can show"
            )
    if expected is None:
        return
    if not isinstance(expected, Mapping):
        raise TypeError(f"{name}.gradient must return a dict of gradients, got {type(expected).__name__}")
    order = in_order(loss)
    gradients, _ = flow(order, start(loss, 1), lambda operation: operation.apart())
    found = {node.name: gradient for node, gradient in gradients.items() if node.op == "variable" and node.name != "x"}
    for parameter, other in expected.items():
        if parameter not in found:
            raise ValueError(f"{name}.gradient has a gradient for {parameter!r}, a parameter that no layer holds")
        if not _equal(found[parameter], np.asarray(other)) and not _draws_anew(network, expected, x, t):
            raise ValueError(
                f"{name}.gradient computes another gradient for {parameter} than its layers and its loss do, which is "
                "all that the graph can show"
            )


def _own(network: Any, method: str, x: Any, t: Any) -> Any:
    """What a method of the network returns, run on a copy; None where it has none that works."""
    with _streams_kept():
        try:
            return getattr(copy.deepcopy(network), method)(x, t)
        except Exception:  # then there is nothing to compare with
            return None


def _draws_anew(network: Any, expected: Mapping[str, Any], x: Any, t: Any) -> bool:
    """Whether the network's gradient is another one each time, as by a Generator that no layer holds."""
    again = _own(network, "gradient", x, t)
    return any(not _equal(np.asarray(again[name]), np.asarray(other)) for name, other in expected.items())


def _has_training_mode(network: Any) -> bool:
    """Whether a layer's forward is told if it trains (the book's train_flg): then `loss` may be that of the other."""
    for layer in Chain(network).layers:
        with suppress(TypeError, ValueError):
            if any("train" in name for name in inspect.signature(layer.forward).parameters):
                return True
    return False


def _equal(gradient: Value, other: NDArray[Any]) -> bool:
    single = np.float32 in (other.dtype, np.asarray(gradient).dtype)
    if other.shape != np.shape(gradient):
        return False
    tolerance = (1e-3 if single else 1e-9) * max(1e-30, float(np.max(np.abs(other))))
    return bool(np.allclose(gradient, other, 0, tolerance, equal_nan=True))
