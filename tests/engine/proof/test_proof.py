"""Which networks the compiled loop stands in for: those whose methods are proved to do what their layers do."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from book_networks import COMPILED, ORDER, BookNet, T, X, by_hand
from chains import COMPILES, data
from checks import close
from nets import same_bits
from other_networks import BROKEN, CALLS, METHODS, NotingInAList, Regularized, TrainsToPredict
from other_objects import OBJECTS
from processes import python

import fastbp
from fastbp import SGD, Trainer

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

OTHER = METHODS | OBJECTS


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
    "TwoPasses": r"it passes samples through BatchNormalization more than once$",
    "PartOfAPass": r"it passes samples through BatchNormalization more than once$",
    "PredictingFirst": r"it passes samples through BatchNormalization more than once$",
    "LossOfTwoPasses": r"it passes samples through BatchNormalization more than once$",
    "DictWithMethods": r"__dict__ of the Relu is of a subclass of dict$",
    "AttributesElsewhere": r"AttributesElsewhere has attributes that are not looked up as usual$",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_names_the_line(name: str) -> None:
    with pytest.raises(fastbp.NotCompilable, match=REASONS[name]):
        fastbp.compile((OTHER | BROKEN)[name](), SGD(), strict=True)


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


@pytest.mark.parametrize("make", [Regularized, TrainsToPredict])
def test_a_predict_that_draws_and_averages_does_so(make: Any) -> None:
    network, expected = make(), make()
    found = []
    for predict in fastbp.predict, make.predict:
        np.random.seed(5)
        which = network if predict is fastbp.predict else expected
        for _ in range(2):
            scores = predict(which, X)
        found.append((scores, np.random.rand(), which.layers["BatchNorm"].running_mean))
    for ours, own in zip(*found, strict=True):
        close(ours, own, 1e-12, "predict")


@pytest.mark.parametrize("by", ["step", "run"])
def test_a_network_whose_gradient_passes_once_draws_and_averages_once_a_step(by: str) -> None:
    x, t = data(40, 6, 5)
    network, expected, optimizer = Regularized(), Regularized(), SGD(0.1)
    step = fastbp.compile(network, SGD(0.1), strict=True)
    np.random.seed(6)
    if by == "step":
        for batch in ORDER:
            step(x[batch], t[batch])
    else:
        step.run(x, t, ORDER)
    drawn = np.random.rand()
    np.random.seed(6)
    for batch in ORDER:
        optimizer.update(expected.params, expected.gradient(x[batch], t[batch]))
    assert drawn == np.random.rand()
    for name in "running_mean", "running_var":
        close(getattr(network.layers["BatchNorm"], name), getattr(expected.layers["BatchNorm"], name), 1e-12, name)


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
