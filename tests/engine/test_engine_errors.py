"""What steps refuse, data, orders and numbers, before a parameter, a state or a count has changed."""

from typing import Any

import numpy as np
import pytest
from chains import OPTIMIZERS, Unchanged, batches, by_layers, chain, compiled, data, optimizer

import fastbp

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
