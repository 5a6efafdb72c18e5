"""`fastbp.compile`: what it takes, and that its steps are those of the layers."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from chains import (
    OPTIMIZERS,
    Chain,
    Unchanged,
    arrays_of,
    batches,
    by_layers,
    chain,
    compiled,
    data,
    optimizer,
)
from checks import close
from nets import same_bits
from numba import config

import fastbp
from fastbp import SGD, Adam, Affine, SoftmaxWithLoss, TwoLayerNet, reference
from fastbp.engine import NotCompilable
from fastbp.engine.addresses import address

X, T = data(40, 6, 3)
ORDER = batches(40, 7, 5)


def net(**arguments: Any) -> Chain:
    return chain("ARA", (6, 5, 3), **arguments)


# Calling it -----------------------------------------------------------------------------------------------------------


def test_a_step_returns_the_loss_before_its_update() -> None:
    network = net()
    step = fastbp.compile(network, SGD(0.1))
    assert step.compiled
    assert step.compiled
    before = network.last_layer.forward(network.predict(X), T)
    loss = step(X, T)
    assert type(loss) is float
    assert loss == pytest.approx(before, rel=1e-12)
    assert network.last_layer.forward(network.predict(X), T) < loss


def test_a_run_is_its_steps() -> None:
    one, all_, prepared = (copy.deepcopy(net()) for _ in range(3))
    step, other, third = (fastbp.compile(network, Adam()) for network in (one, all_, prepared))
    losses = other.run(X, T, ORDER)
    assert losses.shape == (7,)
    assert losses.dtype == np.float64
    assert losses.tolist() == [step(X[batch], T[batch]) for batch in ORDER]
    assert losses.tolist() == third.run(third.prepare(X, T), ORDER).tolist()
    same_bits(one.params, all_.params)
    same_bits(one.params, prepared.params)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="too long for kernels that run as Python")
def test_one_batch_again_and_again_is_learnt_by_heart() -> None:
    network = chain("ARARA", (6, 40, 40, 3))
    losses = fastbp.compile(network, Adam(0.01)).run(X[:20], T[:20], np.tile(np.arange(20), (600, 1)))
    assert losses[0] > 0.5
    assert losses[-1] < 1e-3
    assert (fastbp.predict(network, X[:20]).argmax(axis=1) == T[:20]).all()


@pytest.mark.parametrize("make", [compiled, by_layers])
def test_a_scale_of_one_step(make: Any) -> None:
    ours, expected = make(net(), SGD(0.1)), make(net(), SGD(0.1))
    assert ours(4 * X, T, scale=0.25) == expected(X, T)
    same_bits(ours.network.params, expected.network.params)


def test_prepared_data_are_read_where_they_lie() -> None:
    x, networks = X.copy(), (net(), net())
    first, second = (fastbp.compile(network, SGD()) for network in networks)
    prepared = first.prepare(x, T, sparse=False)
    x *= 2
    assert first.run(prepared, ORDER).tolist() == second.run(2 * X, T, ORDER).tolist()


def test_numbers_are_read_at_each_call() -> None:
    """The learning rate, the weight decay and the loss's eps, whatever they were when the step was made."""
    network, expected = net(), net(decay=0.1, eps=0.01)
    step = fastbp.compile(network, SGD(0.5))
    step.optimizer.lr = np.float32(0.25)
    network.weight_decay_lambda, network.last_layer.eps = 0.1, 0.01
    losses = fastbp.compile(expected, SGD(0.25)).run(X, T, ORDER)
    assert step.run(X, T, ORDER).tolist() == losses.tolist()
    same_bits(network.params, expected.params)
    step.optimizer.lr = 0
    with Unchanged(network, step.optimizer):
        step(X, T)


# Which networks -------------------------------------------------------------------------------------------------------

KINDS = ["A", "ARA", "ASA", "RA", "SA", "ARRA", "ASS", "ARAR", "ARSA", "ASRA", "RRA", "AAA", "RSAR", "AR" * 12 + "A"]
DTYPES = ["float64", "float32"]


def widths(kinds: str) -> tuple[int, ...]:
    """Of a chain from 6 features to 3 classes: not all alike, and not all of whole vectors."""
    return (6, *(5 + 7 * i % 23 for i in range(kinds.count("A") - 1)), 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kinds", KINDS)
def test_chains(kinds: str, dtype: str) -> None:
    networks = [chain(kinds, widths(kinds), dtype) for _ in range(2)]
    steps, expected = (fastbp.compile(networks[0], SGD(0.1)), by_layers(networks[1], SGD(0.1)))
    assert steps.compiled
    for batch in ORDER[:3]:
        x = X[batch].astype(dtype)
        close(steps(x, T[batch]), expected(x, T[batch]), 1e-5 if dtype == "float32" else 1e-12, f"loss of {kinds}")
        for name, array in networks[1].params.items():
            close(networks[0].params[name], array, 1e-5 if dtype == "float32" else 1e-12, f"{name} of {kinds}")


@pytest.mark.parametrize("as_dict", [False, True], ids=["list", "dict"])
@pytest.mark.parametrize("loss_name", ["last_layer", "lastLayer"])
@pytest.mark.parametrize("eps", [0.0, 1e-7])
def test_forms_of_a_network(as_dict: bool, loss_name: str, eps: float) -> None:
    network, expected = net(as_dict=as_dict, loss_name=loss_name, eps=eps), net(eps=eps)
    step, layers = fastbp.compile(network, SGD()), by_layers(expected, SGD())
    assert step.compiled
    assert step(X, T) == pytest.approx(layers(X, T), rel=1e-12)


def test_the_loss_has_its_eps() -> None:
    """Of a sample that is far off the loss would be 1000; the book's, with 1e-7, is 16."""
    W = np.diag([1000.0, 0.0])
    for eps, loss in ((0.0, 1000.0), (1e-7, -np.log(1e-7))):
        params = {"W": W.copy(), "b": np.zeros(2)}
        network = Chain([Affine(params["W"], params["b"])], params, SoftmaxWithLoss(eps))
        assert fastbp.compile(network, SGD())(np.array([[1.0, 0.0]]), [1]) == pytest.approx(loss, rel=1e-12)


def test_the_library_s_own_network() -> None:
    networks = [TwoLayerNet(6, 4, 3, 0.5, rng=np.random.default_rng(1), weight_decay_lambda=0.1) for _ in range(2)]
    step, expected = fastbp.compile(networks[0], Adam()), by_layers(networks[1], Adam())
    close(step.run(X, T, ORDER), expected.run(X, T, ORDER), 1e-12, "losses")


def test_params_in_any_order_and_of_any_names() -> None:
    network, expected = net(), net()
    network.params = {f"the {name}": network.params[name] for name in ("b2", "W1", "W2", "b1")}
    fastbp.compile(network, optimizer("Adam")).run(X, T, ORDER)
    fastbp.compile(expected, optimizer("Adam")).run(X, T, ORDER)
    for name, array in expected.params.items():
        np.testing.assert_array_equal(network.params[f"the {name}"], array)


# Arrays ---------------------------------------------------------------------------------------------------------------


def test_arrays_stay_the_same_objects() -> None:
    network = net()
    before = dict(network.params)
    fastbp.compile(network, Adam()).run(X, T, ORDER)
    for name, array in before.items():
        assert network.params[name] is array
        assert getattr(network.layers[0 if name[1] == "1" else 2], name[0]) is array


def test_an_array_may_be_exchanged_between_calls() -> None:
    """In the layer and in params together, also for one of another size."""
    network, step = net(), None
    for hidden in (5, 9, 2):
        other = chain("ARA", (6, hidden, 3), seed=hidden)
        network.params.update(other.params)
        for layer, n in ((network.layers[0], 1), (network.layers[2], 2)):
            layer.W, layer.b = other.params[f"W{n}"], other.params[f"b{n}"]
        step = step or fastbp.compile(network, SGD(0.1))
        expected = copy.deepcopy(other)
        losses = by_layers(expected, SGD(0.1)).run(X, T, ORDER)
        close(step.run(X, T, ORDER), losses, 1e-12, "losses")
        close(network.params["W1"], expected.params["W1"], 1e-12, "W1")


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="arrays that kernels as Python know can't be resized")
@pytest.mark.parametrize("moved", ["W1", "b2", "m of W1"])
def test_an_array_may_lie_elsewhere_between_calls(moved: str) -> None:
    """What is larger for a while is moved, and stays the same object of the same shape."""
    network, expected, adam, same = net(), net(), Adam(0.01), Adam(0.01)
    step = fastbp.compile(network, adam, strict=True)
    step(X, T)
    by_layers(expected, same)(X, T)
    array = network.params[moved] if moved in network.params else adam.m["W1"]
    shape, lay, others = array.shape, address(array), []
    for _ in range(100):
        array.resize((1 << 20, 8), refcheck=False)
        others.append(np.empty(shape))  # perhaps where it lay
        array.resize(shape, refcheck=False)
        if address(array) != lay:
            break
    assert address(array) != lay
    close(step.run(X, T, ORDER), by_layers(expected, same).run(X, T, ORDER), 1e-12, "losses")
    for name, parameter in expected.params.items():
        close(network.params[name], parameter, 1e-12, name)


def test_a_layer_may_be_exchanged_between_calls() -> None:
    network, expected = net(), chain("ASA", (6, 5, 3))
    step = fastbp.compile(network, SGD(0.1), strict=True)
    step(X, T)
    for name, array in expected.params.items():
        network.params[name][...] = array
    network.layers[1] = expected.layers[1]
    close(step.run(X, T, ORDER), by_layers(expected, SGD(0.1)).run(X, T, ORDER), 1e-12, "losses")
    network.layers.insert(1, reference.Relu())
    with (
        Unchanged(network, step.optimizer),
        pytest.raises(
            NotCompilable,
            match=r"reference\.Relu is no layer",
        ),
    ):
        step(X, T)
    again = fastbp.compile(network, step.optimizer)
    assert not again.compiled
    again(X, T)


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
@pytest.mark.parametrize("where", ["params", "layer"])
def test_arrays_that_are_no_longer_one_are_refused(name: str, where: str) -> None:
    network = net()
    step = fastbp.compile(network, SGD())
    step(X, T)
    if where == "params":
        network.params[name] = network.params[name].copy()
    else:
        setattr(network.layers[0 if name[1] == "1" else 2], name[0], network.params[name].copy())
    for use in (lambda: step(X, T), lambda: step.run(X, T, ORDER), lambda: fastbp.compile(network, SGD())):
        with Unchanged(network, step.optimizer), pytest.raises(ValueError, match=rf"no layer holds params\['{name}'\]"):
            use()
    if where == "params":
        network.params[name] = getattr(network.layers[0 if name[1] == "1" else 2], name[0])
        step(X, T)


@pytest.mark.parametrize("name", ["W1", "b2"])
def test_a_parameter_that_params_has_no_more_is_not_trained(name: str) -> None:
    network = net()
    step = fastbp.compile(network, SGD(0.1))
    array = network.params.pop(name)
    before = array.copy()
    step(X, T)
    assert not step.compiled
    np.testing.assert_array_equal(array, before)


def test_an_array_that_became_read_only_is_refused() -> None:
    network = net()
    step = fastbp.compile(network, SGD())
    step(X, T)
    network.params["W2"].flags.writeable = False
    with Unchanged(network, step.optimizer), pytest.raises(ValueError, match="W2 is read-only"):
        step(X, T)


# Optimizers and copies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_s_state_is_the_same(name: str) -> None:
    """Steps in the loop, by the layers, and in the loop again: the state goes along, and is readable in between."""
    networks = net(), net()
    ours, expected = optimizer(name), optimizer(name)
    step, layers = fastbp.compile(networks[0], ours), by_layers(networks[1], expected)
    for turn in range(3):
        (by_layers(networks[0], ours) if turn == 1 else step).run(X, T, ORDER)
        layers.run(X, T, ORDER)
        state = arrays_of(expected)
        assert list(state) == list(arrays_of(ours))
        assert len(state) == 4 * len(expected.state_names)
        for key, array in arrays_of(ours).items():
            close(array, state[key], 1e-11, key)
        assert getattr(ours, "iter", None) == ({"Adam": 7 * (turn + 1)}.get(name))


def test_the_state_s_arrays_stay_the_same_objects() -> None:
    network, adam = net(), Adam()
    step = fastbp.compile(network, adam)
    step(X, T)
    before = arrays_of(adam)
    step.run(X, T, ORDER)
    assert all(array is before[key] for key, array in arrays_of(adam).items())
    adam.m, adam.v, adam.iter = None, None, 0  # a user's new start
    step(X, T)
    assert adam.iter == 1
    assert adam.m["W1"] is not before["m of W1"]


@pytest.mark.parametrize("how", [copy.deepcopy, lambda step: pickle.loads(pickle.dumps(step))], ids=["copy", "pickle"])
def test_a_copied_step_trains_a_copy(how: Any) -> None:
    network = net()
    step = fastbp.compile(network, Adam())
    step.run(X, T, ORDER)
    other = how(step)
    assert other.compiled
    assert other.network is not network
    with Unchanged(network, step.optimizer):
        losses = other.run(X, T, ORDER)
    assert other.optimizer.iter == 14
    assert step.run(X, T, ORDER).tolist() == losses.tolist()
    same_bits(network.params, other.network.params)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda step: pickle.loads(pickle.dumps(step))], ids=["copy", "pickle"])
def test_a_copied_network_trains_on(how: Any) -> None:
    network, adam = net(), Adam()
    step = fastbp.compile(network, adam)
    step.run(X, T, ORDER)
    other, steps = how((network, adam))
    losses = step.run(X, T, ORDER)
    assert fastbp.compile(other, steps).run(X, T, ORDER).tolist() == losses.tolist()
    same_bits(network.params, other.params)


def test_two_steps_of_one_network() -> None:
    """Taken in turn they train the one network, each with its optimizer."""
    networks = net(), net()
    made = [fastbp.compile(networks[0], each) for each in (Adam(), optimizer("Momentum"))]
    layers = [by_layers(networks[1], each) for each in (Adam(), optimizer("Momentum"))]
    for batch in ORDER:
        for ours, expected in zip(made, layers, strict=True):
            assert ours(X[batch], T[batch]) == pytest.approx(expected(X[batch], T[batch]), rel=1e-10)
    close(networks[0].params["W1"], networks[1].params["W1"], 1e-11, "W1")


# The report -----------------------------------------------------------------------------------------------------------


def test_the_report_names_layers_and_operations() -> None:
    network = chain("ARSA", (6, 50, 3), "float32")
    step = fastbp.compile(network, Adam())
    title, _, *rows = (line.split("  ") for line in step.report(20).splitlines())
    assert title[0].split(",")[0] == "one step of 20 samples in float32"
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    # Forward and the gradient of W, 2 · 20 · 6 · 50 each; above the first layer that of x too.
    assert cells[0][:5] == ["Affine + Relu", "compiled, one kernel", "6", "50", "24"]
    assert cells[1][:5] == ["Sigmoid", "compiled", "50", "50", "0"]
    assert cells[2][:5] == ["Affine", "compiled", "50", "3", "18"]
    assert [row[0] for row in cells[3:]] == ["SoftmaxWithLoss", "Adam"]
    assert step.flops(20) == 24_000 + 18_000
