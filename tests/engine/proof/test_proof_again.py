"""A network that changes after the compiled loop has looked at it: the next steps are what its methods say then."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from book_networks import ORDER, BookNet, MultiLayerNet, Switched, T, X, by_hand
from chains import COMPILES
from checks import close
from nets import same_bits

import fastbp
from fastbp import SGD, Relu, Trainer

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")


class Halved(SGD):
    """Foreign to the compiled loop."""

    def update(self, params: Any, grads: Any) -> None:
        super().update(params, {name: 0.5 * grad for name, grad in grads.items()})


def freeze(network: Any) -> None:
    network.frozen = True


def freeze_class(network: Any) -> None:
    type(network).frozen = True


def swap_method(network: Any) -> None:
    gradient = type(network).gradient
    type(network).gradient = lambda self, x, t: {k: 2 * g for k, g in gradient(self, x, t).items()}


def swap_code(network: Any) -> None:
    def predict(self: Any, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(0.5 * x)
        return x

    type(network).predict.__code__ = predict.__code__


def put_on_the_object(network: Any) -> None:
    gradient = network.gradient
    network.gradient = lambda x, t: {k: -g for k, g in gradient(x, t).items()}


def swap_layer(network: Any) -> None:
    class Leaky(Relu):
        def forward(self, x: Any) -> Any:
            return super().forward(x) + 0.1 * np.minimum(x, 0)

    network.layers["Relu1"] = Leaky()


def patch_layer(network: Any) -> None:
    backward = network.layers["Affine2"].backward
    network.layers["Affine2"].backward = lambda dout: 0.5 * backward(dout)


def swap_base(network: Any) -> None:
    class Other(BookNet):
        def loss(self, x: Any, t: Any) -> Any:
            return 3 * super().loss(x, t)

    type(network).__bases__ = (Other,)


def swap_class(network: Any) -> None:
    class Other(type(network)):  # type: ignore[misc]
        def gradient(self, x: Any, t: Any) -> Any:
            return {k: 3 * g for k, g in super().gradient(x, t).items()}

    network.__class__ = Other


def swap_last_layer(network: Any) -> None:
    class Weighted(fastbp.SoftmaxWithLoss):
        def backward(self, dout: Any = 1) -> Any:
            return 4 * super().backward(dout)

    network.lastLayer = Weighted()


CHANGES = [freeze, freeze_class, swap_method, swap_code, put_on_the_object, swap_layer, patch_layer, swap_base]
CHANGES += [swap_class, swap_last_layer]


def fresh() -> Any:
    """A network of a class of its own, which a test may change."""

    class Fresh(Switched):
        def predict(self, x: Any) -> Any:
            for layer in self.layers.values():
                x = layer.forward(x)
            return x

    return Fresh()


def test_what_stands_under___class___is_looked_at() -> None:
    class Decaying(BookNet):
        lam = 0.1

        def loss(self, x: Any, t: Any) -> Any:
            squares = sum(np.sum(self.params[k] ** 2) for k in ("W1", "W2"))
            return super().loss(x, t) + 0.5 * __class__.lam * squares  # type: ignore[name-defined]

    step, expected = fastbp.compile(Decaying(), Halved(0.1)), Decaying()
    for Decaying.lam in (0.1, 5.0):
        close(step.run(X, T, ORDER), by_hand(expected, X, T, ORDER, Halved(0.1)), 1e-12, "losses")
    with pytest.raises(fastbp.NotCompilable, match=r"lam of Decaying"):
        fastbp.compile(Decaying(), SGD(), strict=True)


STATES: dict[str, Any] = {
    "a parameter": lambda net, opt: opt.v.update(W1=net.params["W1"]),
    "shared": lambda net, opt: opt.v.update(b1=opt.v["W1"][0]),
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_states_that_overlap(change: Any) -> None:
    networks, optimizers = [BookNet(), BookNet()], [fastbp.Momentum(0.1), fastbp.Momentum(0.1)]
    for network, optimizer in zip(networks, optimizers, strict=True):
        optimizer.v = {name: np.zeros_like(array) for name, array in network.params.items()}
        change(network, optimizer)
    step = fastbp.compile(networks[0], optimizers[0])
    losses = step.run(X, T, ORDER)
    assert not step.compiled
    assert losses.tolist() == by_hand(networks[1], X, T, ORDER, optimizers[1])


class Falling:
    """A rate that is less each time it is asked for."""

    def __init__(self) -> None:
        self.value = 0.2

    def __float__(self) -> float:
        self.value *= 0.9
        return self.value

    def __ge__(self, other: Any) -> bool:
        return True


def test_rates_that_are_objects() -> None:
    step = fastbp.compile(BookNet(), SGD(0.1))
    step.optimizer.lr = Falling()  # type: ignore[assignment]
    step.run(X, T, ORDER)
    assert (step.compiled, step.reason) == (False, "a hyperparameter of the optimizer is no plain number")


class Negative(np.ndarray):
    def __getitem__(self, item: Any) -> Any:
        return -np.asarray(self)[item]


def test_samples_of_a_class_of_their_own() -> None:
    x = X.view(Negative)
    for prepares in (False, True):
        network, expected = BookNet(), BookNet()
        step = fastbp.compile(network, SGD(0.1))
        losses = step.run(step.prepare(x, T), ORDER) if prepares else step.run(x, T, ORDER)
        assert not step.compiled
        close(losses, by_hand(expected, -X, T), 1e-12, "losses")


def test_samples_that_are_a_parameter() -> None:
    networks = [BookNet((8, 8, 8)) for _ in range(3)]
    t = np.arange(8)
    order = np.random.default_rng(3).integers(0, 8, (30, 4))
    step = fastbp.compile(networks[0], SGD(0.1))
    losses = step.run(networks[0].params["W1"], t, order)
    assert not step.compiled
    close(losses, by_hand(networks[1], networks[1].params["W1"], t, order), 1e-12, "losses")
    with pytest.raises(fastbp.NotCompilable, match="x shares memory with a parameter"):
        fastbp.fit_many([networks[2]], [SGD(0.1)], networks[2].params["W1"], t, order)


@pytest.mark.parametrize("name", ["x", "t"])
def test_a_step_on_a_parameter(name: str) -> None:
    """A step reads large batches where they lie, while it changes the parameters."""
    network, expected = BookNet((128, 128, 128)), BookNet((128, 128, 128))
    rng = np.random.default_rng(4)
    x, t, W = rng.standard_normal((128, 128)), np.arange(128), rng.dirichlet(np.ones(128), 128)
    step = fastbp.compile(network, SGD(0.5))
    for net in network, expected:
        net.params["W1"][...] = W
    given = {"x": x, "t": t}
    step(**given | {name: network.params["W1"]})
    by_hand(expected, **given | {name: W}, order=[slice(None)], optimizer=SGD(0.5))
    assert not step.compiled
    assert step.reason == f"{name} shares memory with a parameter, or with the optimizer's state"
    same_bits(network.params, expected.params)
    step(x, t)
    assert step.compiled


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["step", "run", "prepared", "trainer"])
def test_what_is_changed_later_counts(change: Any, by: str) -> None:
    network, expected = fresh(), fresh()
    if by == "trainer":
        loop = Trainer(
            *(network, X, T, X, T, 2, 8, SGD(0.1)),
            verbose=False,
            rng=np.random.default_rng(6),
            callbacks=[lambda loop: change(network) if loop.current_epoch == 1 else None],
        )
        loop.train()
        rng = np.random.default_rng(6)
        losses = by_hand(expected, X, T, rng.permutation(40).reshape(5, 8))
        change(expected)
        losses += by_hand(expected, X, T, rng.permutation(40).reshape(5, 8))
        assert loop.runs.startswith("5 steps compiled loop; 5 steps layer by layer: ")
        close(loop.train_loss_list, losses, 1e-12, "losses")
    else:
        step = fastbp.compile(network, SGD(0.1))
        prepared = step.prepare(X, T)
        close(step.run(X, T, ORDER), by_hand(expected, X, T), 1e-12, "losses")
        assert step.compiled
        change(network)
        change(expected)
        if by == "step":
            close([step(X[batch], T[batch]) for batch in ORDER], by_hand(expected, X, T), 1e-12, "losses")
        else:
            losses = step.run(X, T, ORDER) if by == "run" else step.run(prepared, ORDER)
            close(losses, by_hand(expected, X, T), 1e-12, "losses")
        assert not step.compiled
    for name, array in network.params.items():
        close(array, expected.params[name], 1e-12, name)


def test_a_switch_that_is_off_again() -> None:
    network = Switched()
    step = fastbp.compile(network, SGD(0.1))
    ran = []
    for frozen in (False, True, False):
        network.frozen = frozen
        step.run(X, T, ORDER)
        ran.append(step.compiled)
    assert ran == [True, False, True]


def test_strict_steps_refuse_what_was_changed() -> None:
    network = Switched()
    step = fastbp.compile(network, SGD(0.1), strict=True)
    step(X, T)
    network.frozen = True
    before = copy.deepcopy(network.params)
    with pytest.raises(fastbp.NotCompilable, match="it multiplies a gradient"):
        step(X, T)
    same_bits(network.params, before)


def test_a_decay_that_changes() -> None:
    network, expected = MultiLayerNet(0.1), MultiLayerNet(0.1)
    step = fastbp.compile(network, SGD(0.1), strict=True)
    for decay in (0.1, 0.3, 0, 0.2):
        network.weight_decay_lambda = expected.weight_decay_lambda = decay
        close(step.run(X, T, ORDER), by_hand(expected, X, T), 1e-12, "losses")
    close(network.params["W1"], expected.params["W1"], 1e-12, "W1")


@pytest.mark.parametrize("decay", [-0.1, np.nan, np.inf])
def test_decays_that_the_loop_does_not_know(decay: float) -> None:
    network = MultiLayerNet(decay)
    with pytest.raises(fastbp.NotCompilable, match="its weight decay is"):
        fastbp.compile(network, SGD(), strict=True)


# What is said, and prepared data -----------------------------------------------------------------------------------


def test_what_is_said_is_what_happened() -> None:
    network = Switched()
    step = fastbp.compile(network, SGD(0.1))
    step(X, T)
    before = step.report(10)
    network.layers["Relu1"] = fastbp.Sigmoid()
    network.frozen = True
    step.flops(8)
    step.prepare(X, T)
    assert (step.compiled, step.report(10)) == (True, before)
    step(X, T)
    assert not step.compiled
    after = step.report()
    assert "Sigmoid" in after
    network.frozen = False
    network.layers["Relu1"] = Relu()
    assert (step.compiled, step.report()) == (False, after)
    assert pickle.loads(pickle.dumps(step)).report() == after


@pytest.mark.parametrize("x", [X, np.where(X > 1.4, X, 0.0)], ids=["dense", "compressed"])
@pytest.mark.parametrize("first", [False, True], ids=["compiled first", "layers first"])
def test_prepared_data_go_along(x: Any, first: bool) -> None:
    network, expected = Switched(), Switched()
    network.frozen = expected.frozen = first
    step = fastbp.compile(network, SGD(0.1))
    prepared = step.prepare(x, T, scale=0.5)
    for frozen in (first, not first, first):
        network.frozen = expected.frozen = frozen
        close(step.run(prepared, ORDER), by_hand(expected, 0.5 * x, T), 1e-12, "losses")
        assert step.compiled is not frozen
    close(network.params["W1"], expected.params["W1"], 1e-12, "W1")


def test_accuracy_and_numerical_gradient_run_as_they_are_written() -> None:
    class Own(BookNet):
        calls = 0

        def accuracy(self, x: Any, t: Any) -> float:
            self.calls += 1
            return super().accuracy(x, t) / 2

        def numerical_gradient(self, x: Any, t: Any) -> Any:
            self.calls += 10
            return {k: fastbp.numerical_gradient(lambda _: self.loss(x, t), p) for k, p in self.params.items()}

    network = Own()
    assert fastbp.compile(network, SGD(0.1), strict=True).compiled
    loop = Trainer(network, X, T, X, T, 2, 8, SGD(0.1), verbose=False)
    loop.train()
    assert network.calls == 4
    assert loop.test_acc_list[-1] == BookNet.accuracy(network, X, T) / 2
    close(network.numerical_gradient(X[:3], T[:3])["W1"], network.gradient(X[:3], T[:3])["W1"], 1e-7, "W1")
    assert network.calls == 14


def test_parameters_that_came_apart_where_the_layers_take_the_steps() -> None:
    network = BookNet()
    network.params = {name: array.copy() for name, array in network.params.items()}
    with pytest.raises(ValueError, match=r"no layer holds params\['W1'\].*; network.layers\['Affine1'\].b = "):
        fastbp.compile(network, Halved(0.1))
    network = BookNet()
    step = fastbp.compile(network, Halved(0.1))
    step(X, T)
    network.params["b2"] = network.params["b2"] + 1
    with pytest.raises(ValueError, match=r"no layer holds params\['b2'\]"):
        step(X, T)
