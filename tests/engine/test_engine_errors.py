"""What `fastbp.compile` and its steps refuse, before a parameter, a state or a count has changed."""

from typing import Any

import numpy as np
import pytest
from chains import OPTIMIZERS, Unchanged, batches, by_layers, chain, compiled, data, optimizer

import fastbp
from fastbp.engine import NotCompilable

X, T = data(20, 6, 3)
ORDER = batches(20, 4, 5)


def net(**arguments: Any) -> Any:
    return chain("ARA", (6, 5, 3), **arguments)


def with_value(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


ORDERS: dict[str, tuple[Any, type[Exception], str]] = {
    "too far": (
        with_value(ORDER, (2, 3), 20),
        ValueError,
        r"order\[2, 3\] is 20, but the 20 samples are 0 to 19",
    ),
    "negative": (with_value(ORDER, (3, 0), -1), ValueError, r"order\[3, 0\] is -1"),
    "far too far": (with_value(ORDER, (0, 0), 2**62), ValueError, r"order\[0, 0\] is 4611686018427387904"),
    "beyond int64": (with_value(ORDER.astype("uint64"), (1, 1), 2**64 - 1), ValueError, r"order\[1, 1\] is 1844674407"),
    "floats": (ORDER.astype(float), TypeError, "order must hold integers, got dtype float64"),
    "bools": (ORDER > 3, TypeError, "order must hold integers, got dtype bool"),
    "text": ([["1"]], TypeError, "order must hold real numbers"),
    "one batch": (ORDER[0], ValueError, r"order must have shape \(steps, batch\), got \(5,\)"),
    "three axes": (ORDER[None], ValueError, r"got \(1, 4, 5\)"),
    "a number": (3, ValueError, r"got \(\)"),
    "nothing in a batch": (ORDER[:, :0], ValueError, "got batches of 0"),
    "ragged": ([[1], [2, 3]], ValueError, "got rows of different lengths"),
    "none": (None, TypeError, r"run\(x, t, order\)"),
}


@pytest.mark.parametrize(("order", "error", "message"), ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
def test_orders(order: Any, error: type[Exception], message: str, first: bool) -> None:
    network, steps = net(), optimizer("Adam")
    step = compiled(network, steps)
    if not first:
        step(X, T)
    with Unchanged(network, steps):
        with pytest.raises(error, match=message):
            step.run(X, T, order)
        if order is not None:
            with pytest.raises(error, match=message):
                step.run(step.prepare(X, T), order)
            with pytest.raises(error, match=message):
                by_layers(network, steps).run(X, T, order)


DATA: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "features": (X[:, :5], T, ValueError, r"x must have 6 features a sample, got shape \(20, 5\)"),
    "a single sample": (
        X[0],
        T[:1],
        ValueError,
        r"got shape \(6,\) \(a single sample is x\[None\]\)",
    ),
    "a number": (3.0, T, ValueError, r"got shape \(\)"),
    "no samples": (X[:0], T[:0], ValueError, "x is empty"),
    "complex": (X + 1j, T, TypeError, "x must hold real numbers"),
    "text": (X.astype(str), T, TypeError, "x must hold real numbers"),
    "objects": (X.astype(object), T, TypeError, "x must hold real numbers"),
    "long doubles": (X.astype(np.longdouble), T, TypeError, "x must hold real numbers"),
    "masked": (np.ma.masked_array(X, X > 0), T, TypeError, "x is a masked array"),
    "ragged": ([[1.0], [2.0, 3.0]], T[:2], ValueError, "inhomogeneous"),
    "label too large": (X, with_value(T, 7, 3), ValueError, r"t\[7\] is 3, but the 3 classes are 0 to 2"),
    "label negative": (X, with_value(T, 7, -1), ValueError, r"t\[7\] is -1"),
    "label huge": (X, with_value(T.astype("uint64"), 7, 2**63), ValueError, r"t\[7\] is 9223372036854775808"),
    "float labels": (X, T.astype(float), TypeError, "class indices must be integers"),
    "too few labels": (X, T[:19], ValueError, r"t must have shape \(20,\)"),
    "too many labels": (X, np.append(T, 1), ValueError, r"t must have shape \(20,\)"),
    "probabilities of others": (X, np.eye(4)[T], ValueError, r"or \(20, 3\) \(probabilities\), got \(20, 4\)"),
    "complex labels": (X, np.eye(3)[T] + 1j, TypeError, "t must hold real numbers"),
    "no labels": (X, None, TypeError, "t must hold real numbers|run needs samples, labels"),
}


@pytest.mark.parametrize(("x", "t", "error", "message"), DATA.values(), ids=DATA)
def test_data(x: Any, t: Any, error: type[Exception], message: str) -> None:
    network, steps = net(), optimizer("Adam")
    step = compiled(network, steps)
    with Unchanged(network, steps):
        for use in (lambda: step(x, t), lambda: step.prepare(x, t), lambda: step.run(x, t, ORDER)):
            with pytest.raises(error, match=message):
                use()


def test_mistakes_with_prepared_data() -> None:
    network, steps = net(), optimizer("Adam")
    step = compiled(network, steps)
    mine = step.prepare(X, T)
    wider, more = (compiled(chain("ARA", widths), optimizer()) for widths in ((7, 5, 3), (6, 5, 4)))
    others = {
        "prepared for 7 inputs, 3 classes and float64, but the network has 6, 3 and": wider.prepare(
            data(9, 7, 3)[0], T[:9]
        ),
        "prepared for 6 inputs, 4 classes": more.prepare(X, T),
        "3 classes and float32, but": compiled(net(dtype="float32"), optimizer()).prepare(X, T),
    }
    with Unchanged(network, steps):
        for message, prepared in others.items():
            with pytest.raises(ValueError, match=message):
                step.run(prepared, ORDER)
        for arguments, named in [((), {}), ((T, ORDER), {}), ((ORDER,), {"scale": 2.0}), ((ORDER,), {"sparse": True})]:
            with pytest.raises(TypeError, match="prepared data go with an order alone"):
                step.run(mine, *arguments, **named)
        with pytest.raises(TypeError, match="run needs samples, labels and an order"):
            step.run(X, T)
        by_layers_data = by_layers(network, steps).prepare(X, T)
        for data_ in (mine, by_layers_data):
            for use in (step.prepare, step, by_layers(network, steps).prepare, by_layers(network, steps)):
                with pytest.raises(TypeError, match=r"prepared data go to run\(data, order\) and fastbp\.predict"):
                    use(data_, T)
    assert step.run(mine, order=ORDER).shape == (4,)


def test_labels_are_checked_before_the_layers_take_a_step() -> None:
    """The index is that of the sample, not its place in a batch."""
    network, steps = net(), optimizer("Adam")
    step = by_layers(network, steps)
    with Unchanged(network, steps), pytest.raises(ValueError, match=r"t\[19\] is 3, but the 3 classes are 0 to 2"):
        step.run(X, with_value(T, 19, 3), ORDER)


def test_rows_in_a_tuple_are_samples() -> None:
    for make in (compiled, by_layers):
        ours, expected = (make(net(), optimizer()) for _ in range(2))
        assert ours.run((X[0], X[1]), (0, 1), [[0, 1]]) == expected.run(X[:2], [0, 1], [[0, 1]])


@pytest.mark.parametrize("scale", [np.nan, np.inf, "1", None, 1j])
def test_scales(scale: Any) -> None:
    network, steps = net(), optimizer("Adam")
    for step in (compiled(network, steps), by_layers(network, steps)):
        for use in (
            lambda step=step: step.prepare(X, T, scale=scale),
            lambda step=step: step.run(X, T, ORDER, scale=scale),
        ):
            with Unchanged(network, steps), pytest.raises((TypeError, ValueError), match=r"finite number|real number"):
                use()
    with pytest.raises((TypeError, ValueError), match=r"finite number|real number"):
        fastbp.predict(network, X, scale=scale)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, "0.1", None])
@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
def test_hyperparameters(name: str, value: Any, first: bool) -> None:
    network, steps = net(), optimizer(name)
    step = compiled(network, steps)
    if not first:
        step(X, T)
    for number in vars(optimizer(name)).keys() & {"lr", "momentum", "decay_rate", "beta1", "beta2"}:
        kept = getattr(steps, number)
        setattr(steps, number, value)
        for use in (lambda: step(X, T), lambda: step.run(X, T, ORDER)):
            with Unchanged(network, steps), pytest.raises((TypeError, ValueError), match=f"{number} must be|real num"):
                use()
        setattr(steps, number, kept)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_weight_decays(value: float) -> None:
    network, steps = net(), optimizer("Adam")
    step = compiled(network, steps)
    network.weight_decay_lambda = value
    with Unchanged(network, steps), pytest.raises(ValueError, match="weight_decay_lambda must be a finite number"):
        step(X, T)


def test_a_state_of_other_parameters() -> None:
    adam, other, network = optimizer("Adam"), chain("ARA", (6, 9, 3)), net()
    compiled(other, adam)(X, T)
    step = compiled(network, adam)
    with Unchanged(network, adam), pytest.raises(ValueError, match=r"m of W1 must have its shape and dtype, \(6, 5\)"):
        step(X, T)
    adam.iter = -1
    with Unchanged(other, adam), pytest.raises(ValueError, match="iter must be at least 0"):
        compiled(other, adam)(X, T)


def test_a_parameter_that_came_later() -> None:
    """It would not be trained."""
    network, steps = net(), optimizer("Adam")
    step = compiled(network, steps)
    step(X, T)
    network.params["gamma"] = np.ones(3)
    with Unchanged(network, steps), pytest.raises(ValueError, match=r"no layer holds params\['gamma'\]"):
        step(X, T)


# Networks -------------------------------------------------------------------------------------------------------------


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
