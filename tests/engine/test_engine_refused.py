"""What `fastbp.compile` refuses, or leaves to the layers: networks, optimizers, and states that were changed."""

from typing import Any

import numpy as np
import pytest
from chains import batches, by_layers, chain, compiled, data, optimizer

import fastbp
from fastbp.engine import NotCompilable


def net() -> Any:
    return chain("ARA", (6, 5, 3))


def edited(**changes: Any) -> Any:
    """The network with other arrays, in params and layers alike."""
    network = net()
    for name, array in changes.items():
        network.params[name] = array
        setattr(network.layers[0 if name[1] == "1" else 2], name[0], array)
    return network


def without(network: Any, attribute: str) -> Any:
    delattr(network, attribute)
    return network


def with_layers(layers: Any, params: Any = None) -> Any:
    network = net()
    network.layers = layers
    network.params = network.params if params is None else params
    return network


def with_loss_of_own_constructor() -> Any:
    class Quiet(fastbp.SoftmaxWithLoss):
        def __init__(self) -> None:
            self.calls = 0

    network = net()
    network.last_layer = Quiet()
    return network


W1 = np.random.default_rng(97).standard_normal((6, 5))
NETWORKS: dict[str, tuple[Any, str]] = {
    "widths that don't meet": (
        edited(W2=np.ones((4, 3))),
        r"W2 of shape \(4, 3\) and b2 of shape \(3,\) don't go with 5",
    ),
    "a short bias": (edited(b1=np.ones(4)), r"W1 of shape \(6, 5\) and b1 of shape \(4,\) don't go with 6 inputs"),
    "a matrix of one axis": (edited(W1=np.ones(30)), r"W1 of shape \(30,\)"),
    "a parameter too many": (with_layers(net().layers, {}), r"the W of Affine \+ Relu is not among"),
    "an extra parameter": (edited(), "no layer holds params"),
    "fortran": (edited(W1=np.asfortranarray(W1)), "W1 is no writable, C-contiguous array"),
    "half precision": (edited(W1=W1.astype("f2")), "not all float32 or all float64"),
    "big-endian": (edited(W1=W1.astype(">f8")), "not all float32 or all float64"),
    "a list": (edited(b1=[0.0] * 5), "b1 is no writable, C-contiguous array"),
    "no layers": (without(net(), "layers"), "Chain has no layers and params"),
    "no loss": (without(net(), "last_layer"), "Chain has no last_layer"),
    "no eps": (with_loss_of_own_constructor(), "the loss has no attribute eps"),
    "no affine layer": (with_layers([fastbp.Relu()]), "the network has no layer with parameters"),
    "empty": (with_layers([]), "the network has no layer with parameters"),
}
NETWORKS["an extra parameter"][0].params["gamma"] = np.ones(3)


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_no_network_or_no_optimizer(strict: bool) -> None:
    for network in (object(), without(net(), "params"), [fastbp.Relu()], None):
        with pytest.raises(TypeError, match="network must have params, a dict of arrays, and layers, got"):
            fastbp.compile(network, optimizer(), strict=strict)
    for steps in ("SGD", fastbp.SGD, None):
        with pytest.raises(TypeError, match=r"optimizer must have update\(params, grads\), as .* has, got"):
            fastbp.compile(net(), steps, strict=strict)


@pytest.mark.parametrize(("network", "message"), NETWORKS.values(), ids=NETWORKS)
def test_networks_that_cannot_be_compiled(network: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fastbp.compile(network, optimizer(), strict=True)


def test_two_layers_with_one_matrix_are_left_to_the_layers() -> None:
    network = chain("ARARA", (6, 5, 5, 3))
    network.layers[4].W, network.layers[2].W = network.params["W3"], network.layers[0].W
    with pytest.raises(ValueError, match=r"no layer holds params\['W2'\]|share one W"):
        fastbp.compile(network, optimizer(), strict=True)
    one = fastbp.Affine(W1[:, :3].copy(), np.zeros(3))
    both = fastbp.Affine(one.W, np.zeros(3))
    shared = with_layers([one, both], {"W": one.W, "b": one.b, "c": both.b})
    with pytest.raises(NotCompilable, match="two layers share one W"):
        fastbp.compile(shared, optimizer(), strict=True)


@pytest.mark.parametrize("name", ["W", "b"])
@pytest.mark.parametrize("view", [lambda array: array, lambda array: array[:]], ids=["array", "view"])
def test_two_layers_that_share_memory_are_left_to_the_layers(name: str, view: Any) -> None:
    networks = [chain("ARA", (5, 5, 5), "float32") for _ in range(2)]
    for network in networks:
        network.params[f"{name}2"] = view(network.params[f"{name}1"])
        setattr(network.layers[2], name, network.params[f"{name}2"])
        with pytest.raises(NotCompilable, match="two layers share one W or b, or the memory of one"):
            fastbp.compile(network, optimizer(), strict=True)
    x, t = data(20, 5, 5, "float32")
    expected = by_layers(networks[0], optimizer()).run(x, t, batches(20, 20, 5))
    assert fastbp.compile(networks[1], optimizer()).run(x, t, batches(20, 20, 5)).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda array: np.concatenate([array, array])[::-2]], ids=["F", "step"]
)
def test_a_state_that_is_not_contiguous(layout: Any) -> None:
    """The optimizer itself takes it, and so the steps are its own."""
    x, t = data(20, 6, 3)
    network, steps = chain("A", (6, 3)), optimizer("Momentum")
    steps.v = {name: layout(np.zeros_like(array)) for name, array in network.params.items()}
    with pytest.raises(NotCompilable, match="v of W1 is no C-contiguous array"):
        fastbp.compile(network, steps, strict=True)
    losses = fastbp.compile(network, steps).run(x, t, batches(20, 3, 5))
    assert losses.tolist() == by_layers(chain("A", (6, 3)), optimizer("Momentum")).run(x, t, batches(20, 3, 5)).tolist()


def test_an_optimizer_of_another_kind_is_read_at_each_call() -> None:
    x, t = data(20, 6, 3)
    network, expected = chain("ARA", (6, 5, 3)), chain("ARA", (6, 5, 3))
    step = compiled(network, optimizer("SGD"))
    step.optimizer = optimizer("Adam")
    losses = step.run(x, t, batches(20, 3, 5))
    assert losses.tolist() == compiled(expected, optimizer("Adam")).run(x, t, batches(20, 3, 5)).tolist()


CHANGED_STATES: dict[str, Any] = {
    "read-only": lambda v: v["W1"].setflags(write=False),
    "of another shape": lambda v: setattr(v["W1"], "shape", (3, 10)),
    "of another dtype": lambda v: v.update(W1=v["W1"].astype(np.float32)),
    "without a parameter": lambda v: v.pop("W1"),
}


@pytest.mark.parametrize("change", CHANGED_STATES.values(), ids=CHANGED_STATES)
def test_a_state_that_was_changed_between_two_calls(change: Any) -> None:
    """It was checked at the call before; the optimizer's own step refuses it with the same words."""
    x, t = data(20, 6, 3)
    network, steps = chain("ARA", (6, 5, 3)), optimizer("Momentum")
    step = compiled(network, steps)
    for _ in range(3):
        step(x, t)
    params = {name: array.copy() for name, array in network.params.items()}
    change(steps.v)
    with pytest.raises((KeyError, TypeError, ValueError)) as own:
        steps.update(params, {name: np.zeros_like(array) for name, array in params.items()})
    with pytest.raises(own.type) as raised:
        step(x, t)
    assert str(raised.value) == str(own.value)
    assert all((network.params[name] == array).all() for name, array in params.items())
    assert steps.steps_done == 3


def test_a_state_that_was_exchanged_between_two_calls() -> None:
    x, t = data(20, 6, 3)
    networks, steps = [chain("ARA", (6, 5, 3)) for _ in range(2)], [optimizer("Momentum") for _ in range(2)]
    ours, expected = compiled(networks[0], steps[0]), by_layers(networks[1], steps[1])
    for _ in range(4):
        assert ours(x, t) == pytest.approx(float(expected.run(x, t, np.arange(20)[None])[0]), rel=1e-12)
        for each in steps:
            each.v = {name: array + 0.01 for name, array in each.v.items()}


def test_a_bias_in_an_array_without_dimensions_is_left_to_the_layers() -> None:
    """A number that goes for all outputs: the loop would write as many behind it."""
    network, expected = (chain("ARA", (30, 17, 4)) for _ in range(2))
    memory = np.zeros(64)
    for each, b in ((network, memory[8:9].reshape(())), (expected, np.zeros(()))):
        each.params["b1"] = each.layers[0].b = b
    x, t = data(40, 30, 4)
    np.testing.assert_array_equal(fastbp.predict(network, x), expected.predict(x))
    with pytest.raises(NotCompilable, match=r"b1 is an array of shape \(\)"):
        fastbp.compile(network, optimizer(), strict=True)(x, t)
    assert not memory.any()
