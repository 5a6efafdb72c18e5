"""Which networks the compiled loop stands in for: those whose methods are proved to do what their layers do."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from book_networks import COMPILED, BookNet, MultiLayerNet, Switched
from chains import COMPILES, data
from checks import close
from nets import same_bits
from other_networks import BROKEN, CALLS, OTHER, NotingInAList
from processes import python

import fastbp
from fastbp import SGD, Relu, Trainer

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

X, T = data(40, 6, 3)
ORDER = np.random.default_rng(5).integers(0, 40, (6, 7))


def by_hand(network: Any, x: Any, t: Any, order: Any = ORDER, optimizer: Any = None) -> list[float]:
    """The losses and the steps by the network's own methods."""
    losses, optimizer = [], optimizer or SGD(0.1)
    for batch in order:
        gradients = network.gradient(x[batch], t[batch])
        losses.append(float(network.loss(x[batch], t[batch])))
        optimizer.update(network.params, gradients)
    return losses


@pytest.mark.parametrize("make", COMPILED.values(), ids=COMPILED)
@pytest.mark.parametrize("soft", [False, True], ids=["indices", "soft"])
def test_the_books_networks_are_compiled(make: Any, soft: bool) -> None:
    network, expected = make(), make()
    labels = np.random.default_rng(1).random((40, 3)) if soft else T
    state, before = np.random.get_state()[1].copy(), copy.deepcopy(network.params)
    step = fastbp.compile(network, SGD(0.1), strict=True)
    same_bits(network.params, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    layers = network.layers.values() if isinstance(network.layers, dict) else network.layers
    assert all(getattr(layer, "x", None) is None for layer in layers)  # no layer has run
    for order in ORDER[:2], ORDER[2:]:
        close(step.run(X, labels, order), by_hand(expected, X, labels, order), 1e-12, "losses")
        for name, array in network.params.items():
            close(array, expected.params[name], 1e-12, name)
    assert step.compiled
    close(fastbp.predict(network, X), network.predict(X), 1e-12, "scores")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("make", OTHER.values(), ids=OTHER)
def test_what_may_do_something_else_is_not(make: Any) -> None:
    x, t = data(40, 6, make().params[max(make().params)].shape[-1])
    network, expected = make(), make()
    before, calls, draws = copy.deepcopy(vars(network) | {"lock": 0}, {}), len(CALLS), np.random.get_state()[1].copy()
    with pytest.raises(fastbp.NotCompilable) as refusal:
        fastbp.compile(network, SGD(0.1), strict=True)
    step = fastbp.compile(network, SGD(0.1))
    assert (step.compiled, step.reason) == (False, str(refusal.value))
    assert step.reason in step.report()
    assert len(CALLS) == calls
    np.testing.assert_array_equal(np.random.get_state()[1], draws)
    for name in before.keys() & {"norms", "seen", "order"}:
        assert getattr(network, name) == before[name]
    assert "steps" not in vars(network)
    np.random.seed(3)
    losses = step.run(x, t, ORDER)
    np.random.seed(3)
    np.testing.assert_array_equal(losses, by_hand(expected, x, t))
    same_bits(network.params, expected.params)
    for name in before.keys() & {"norms", "seen", "order"}:  # what they note is theirs
        assert getattr(network, name) == getattr(expected, name)
        assert getattr(network, name) != before[name] or name == "order"
    assert getattr(network, "steps", 0) == getattr(expected, "steps", 0)


REASONS = {
    "ClassWeights": r'has a loss of its own, .*: line \d+ of other_networks.py, "return .*": it names WEIGHTS$',
    "OwnWeights": r'"return grads \| .*": self.weights is of type ndarray, which a proof can\'t read$',
    "SoftLabelsApart": r"it reads ndim of the labels$",
    "BatchSize": r"it asks for the length of the samples$",
    "Dtype": r"it reads dtype of the samples$",
    "Dimensions": r"it reads reshape of the samples$",
    "Counting": r'"self.steps \+= 1": it stores to an attribute$',
    "NotingInAList": r"it changes self.seen$",
    "NotingInADefault": r"a default of its arguments is no number, string or None$",
    "Printing": r'"print\("loss"\)": it names print$',
    "Cautious": r"it handles exceptions$",
    "ByIdentity": r"it asks for an identity$",
    "ByPattern": r"it matches patterns$",
    "ByTemplate": r"it reads format$",
    "ByText": r"it prints a layer or a method$",
    "Importing": r"it imports$",
    "Half": r"the backward pass starts with something else than 1$",
    "Skipping": r"a layer's backward gets something else than the gradient of the layer above it$",
    "Stale": r"it reads dW of a layer before that has gone backward|something else than the gradient",
    "Earlier": r"it reads dW of a layer before that has gone backward$",
    "OnLabels": r"a layer's forward gets something else than the output of the layer before it$",
    "SamplesAsLabels": r"the loss gets something else than the labels as they are given$",
    "HalfAChain": r"the loss gets something else than the scores of the last layer$",
    "Residual": r"it adds|it computes with the scores$",
    "Swapped": r"what it returns for b1 is something else than the gradient of b1$",
    "UnequalDecay": r"it decays the weights unequally, by \[0.1, 0.2\]$",
    "DecayInTheLoss": r"the weight decay is not the same everywhere: \{'loss': 0.2, 'gradient': 0.0\}$",
    "DecayOfBiases": r"it decays a parameter that is no matrix of weights$",
    "DecayInPlace": r"it decays the weights unequally, by \[0.1, 0.2\]$",
    "Property": r"layers of Property is computed at each look \(a property\)$",
    "LayerWithMethods": r"Watched has its own x$",
    "Wrapper": r"Wrapper has attributes that are not looked up as usual$",
    "OtherAttributes": r"it reads dV of a layer$",
    "KeyWithAttribute": r"self.options has a key that is no number, string or None$",
    "NumberWithMethods": r"self.scale is of type Number, which a proof can't read$",
    "WithDescriptor": r"self.factor is a Remover$",
    "NaNInAList": r"it compares the loss$",
    "WithoutForward": r"the backward pass starts before its own forward pass$",
    "Mutable": r"it names steps of Mutable|steps of Mutable is no method",
    "Diamond": r"it multiplies a gradient$",
    "AsksForGradients": r"it asks whether a layer has dW$",
    "PowerOfNumbers": r"it computes with np\.",
    "ByChosenIdentity": r"it asks for an identity$",
    "ByChosenTemplate": r"it reads format$",
    "Closure": r"it names factor, a variable of the function around it$",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_names_the_line(name: str) -> None:
    with pytest.raises(fastbp.NotCompilable, match=REASONS[name]):
        fastbp.compile((OTHER | BROKEN)[name](), SGD(), strict=True)


# What changes after the first look ------------------------------------------------------------------------------------


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


# The library's own classes and optimizers -----------------------------------------------------------------------------

REPLACED = {
    "layer": "fastbp.Affine.backward = lambda self, dout, f=fastbp.Affine.backward: 0.5 * f(self, dout)",
    "layer's code": "fastbp.Relu.backward.__code__ = (lambda self, dout: dout * 2.0).__code__",
    "layer's defaults": "fastbp.SoftmaxWithLoss.backward.__defaults__ = (2,)",
    "layer's attribute": "fastbp.Affine.W = property(lambda self: 2 * vars(self)['W'], lambda self, v: None)",
    "loss": "fastbp.SoftmaxWithLoss.forward = lambda self, x, t, f=fastbp.SoftmaxWithLoss.forward: 2 * f(self, x, t)",
    "optimizer": "fastbp.SGD.update = lambda self, params, grads: None",
    "optimizer's base": "fastbp.optimizers.Optimizer.update = lambda self, params, grads: None",
    "optimizer's rate": "fastbp.SGD.scalars = lambda self, step=1: (0.0,)",
    "getattribute": "fastbp.Relu.__getattribute__ = lambda self, name: object.__getattribute__(self, name)",
    "network": "fastbp.TwoLayerNet.gradient = lambda self, x, t: {k: 0 * v for k, v in self.params.items()}",
}


@pytest.mark.parametrize("line", REPLACED.values(), ids=REPLACED)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_class_of_the_library_that_was_changed(line: str, when: str) -> None:
    code = f"""
import fastbp
net, opt = fastbp.TwoLayerNet(6, 5, 3), fastbp.SGD(0.1)
step = None
if {when == "after"}:
    step = fastbp.compile(net, opt)
    assert step.compiled, step.reason
{line}
step = step or fastbp.compile(net, opt)
step([[1.0] * 6], [0])
print(step.compiled, step.reason)
"""
    assert python(code).startswith("False ")


class Halved(SGD):
    def update(self, params: Any, grads: Any) -> None:
        super().update(params, {name: 0.5 * grad for name, grad in grads.items()})


def clipping() -> Any:
    optimizer = SGD(0.1)
    update = optimizer.update

    def clipped(params: Any, grads: Any) -> None:
        norm = float(np.sqrt(sum(float(np.sum(g**2)) for g in grads.values())))
        update(params, {name: g * min(1.0, 0.05 / norm) for name, g in grads.items()})

    optimizer.update = clipped  # type: ignore[method-assign]
    return optimizer


def scheduled() -> Any:
    optimizer = SGD(0.1)
    optimizer.scalars = lambda step=1: (0.05,)  # type: ignore[method-assign]
    return optimizer


@pytest.mark.parametrize("make", [lambda: Halved(0.1), clipping, scheduled], ids=["subclass", "wrapped", "scheduled"])
def test_optimizers_of_ones_own(make: Any) -> None:
    network, expected = BookNet(), BookNet()
    step = fastbp.compile(network, make())
    assert step.run(X, T, ORDER).tolist() == by_hand(expected, X, T, ORDER, make())
    assert not step.compiled
    same_bits(network.params, expected.params)
    changed = fastbp.compile(BookNet(), SGD(0.1))
    changed(X, T)
    changed.optimizer.update = lambda params, grads: None  # type: ignore[method-assign]
    before = copy.deepcopy(changed.network.params)
    changed(X, T)
    same_bits(changed.network.params, before)


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


# Predicting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Dtype", "Noisy", "Residual", "MoreLayers", "NotANumber", "Dimensions"])
def test_predict_is_the_networks_own_where_that_may_differ(name: str) -> None:
    x, _ = data(40, 6, 5)
    network = OTHER[name]()
    for _ in range(2):
        np.random.seed(4)
        expected = network.predict(x)
        np.random.seed(4)
        np.testing.assert_array_equal(fastbp.predict(network, x), expected)


def test_a_predict_that_changes_after_the_first() -> None:
    class Tempered(BookNet):
        T = 1

        def predict(self, x: Any) -> Any:
            scores = super().predict(x)
            return scores if self.T == 1 else scores / self.T

    network = Tempered()
    fastbp.predict(network, X)
    network.T = 2
    np.testing.assert_array_equal(fastbp.predict(network, X), BookNet.predict(network, X) / 2)


def test_images_work_layer_by_layer() -> None:
    class Images(BookNet):
        def __init__(self) -> None:
            super().__init__((16, 5, 3))

        def predict(self, x: Any) -> Any:
            return super().predict(x.reshape(len(x), -1))

    x = np.random.default_rng(2).standard_normal((40, 1, 4, 4))
    network, expected = Images(), Images()
    step = fastbp.compile(network, SGD(0.1))
    assert step.run(x, T, ORDER).tolist() == by_hand(expected, x, T)
    np.testing.assert_array_equal(fastbp.predict(network, x), network.predict(x))
    loop = Trainer(network, x, T, x, T, 1, 8, SGD(0.1), verbose=False)
    loop.train()
    assert loop.test_acc_list == [network.accuracy(x, T)]


def test_a_predict_that_steps_do_not_need() -> None:
    """The loss goes through the layers; `predict` gives probabilities."""

    class Probabilities(BookNet):
        def loss(self, x: Any, t: Any) -> Any:
            return self.lastLayer.forward(super().predict(x), t)

        def predict(self, x: Any) -> Any:
            scores = np.exp(super().predict(x))
            return scores / scores.sum(axis=1, keepdims=True)

    network = Probabilities()
    assert fastbp.compile(network, SGD(0.1), strict=True).compiled
    np.testing.assert_allclose(fastbp.predict(network, X).sum(axis=1), 1)


# Copies ---------------------------------------------------------------------------------------------------------------


class WithStep(BookNet):
    """It holds the step that trains it."""

    def __init__(self) -> None:
        super().__init__()
        self.step = fastbp.compile(self, SGD(0.1), strict=True)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_network_that_holds_its_step_can_be_copied(copied: Any) -> None:
    network = WithStep()
    network.step(X, T)
    other = copied(network)
    assert other.step.network is other
    assert other.step.flops(8) == network.step.flops(8)
    np.testing.assert_array_equal(other.step.run(X, T, ORDER), network.step.run(X, T, ORDER))
    same_bits(other.params, network.params)
    assert not np.shares_memory(other.params["W1"], network.params["W1"])


def test_a_network_that_cannot_be_copied_needs_no_copy() -> None:
    class Single(BookNet):
        def __copy__(self) -> Any:
            raise RuntimeError("there is but one")

        __deepcopy__ = None

    assert fastbp.compile(Single(), SGD(0.1), strict=True).compiled


def test_a_refused_proof_leaves_the_network_alone() -> None:
    network = NotingInAList()
    for _ in range(3):
        assert not fastbp.compile(network, SGD()).compiled
    assert network.seen == [0]
