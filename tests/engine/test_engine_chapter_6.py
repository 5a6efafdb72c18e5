"""Dropout, batch normalization and a squared error in the compiled loop, beside the layers themselves."""

import copy
import signal
import threading
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, OPTIMIZERS, TOLERANCE, Chain, arrays_of, batches, data, optimizer
from nets import same_bits

import fastbp
from fastbp import Affine, BatchNormalization, Dropout, IdentityWithLoss, MultiLayerNetExtend, Relu, threads
from fastbp.chain import NotCompilable
from fastbp.engine import compiled_step, launch
from fastbp.engine.layer_step import LayerStep

X, T = data(40, 6, 3)
ORDER = batches(40, 9, 8)
VARIANTS: dict[str, dict[str, Any]] = {
    "batch normalization": {"use_batchnorm": True},
    "dropout": {"use_dropout": True, "dropout_ration": 0.3},
    "both, decay": {"use_batchnorm": True, "use_dropout": True, "weight_decay_lambda": 0.05},
}


def net(dtype: str = "float64", hidden: Any = (17, 9), rng: Any = 1, **arguments: Any) -> MultiLayerNetExtend:
    generator = None if rng is None else np.random.default_rng(rng)
    return MultiLayerNetExtend(6, hidden, 3, rng=generator, dtype=dtype, **arguments)


def same_state(ours: Any, theirs: Any, tolerance: float) -> None:
    """Parameters, and running statistics."""
    for name, array in theirs.params.items():
        np.testing.assert_allclose(ours.params[name], array, rtol=tolerance, atol=tolerance, err_msg=name)
    for key, layer in theirs.layers.items():
        for name in ("running_mean", "running_var") if key.startswith("BatchNorm") else ():
            got = getattr(ours.layers[key], name)
            np.testing.assert_allclose(got, getattr(layer, name), rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_steps_agree_with_the_layers(variant: dict[str, Any], name: str, dtype: str) -> None:
    ours, theirs, x = net(dtype, **variant), net(dtype, **variant), X.astype(dtype)
    first, second = optimizer(name), optimizer(name)
    step, by_layers = fastbp.compile(ours, first, strict=True), LayerStep(theirs, second)
    losses = step.run(x, T, ORDER[:5]), by_layers.run(x, T, ORDER[:5])
    np.testing.assert_allclose(*losses, rtol=50 * TOLERANCE[dtype])
    same_state(ours, theirs, 50 * TOLERANCE[dtype])
    np.testing.assert_allclose(fastbp.predict(ours, x), theirs.predict(x), rtol=1e-3, atol=50 * TOLERANCE[dtype])
    # And what was trained by the loop goes on by the layers, from the same random numbers.
    for batch in ORDER[5:]:
        assert step(x[batch], T[batch]) == pytest.approx(by_layers(x[batch], T[batch]), rel=100 * TOLERANCE[dtype])
    same_state(ours, theirs, 200 * TOLERANCE[dtype])
    assert arrays_of(first).keys() == arrays_of(second).keys()


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_numpys_own_stream_is_drawn_in_the_books_order(variant: dict[str, Any]) -> None:
    ours, theirs = net(**variant), net(**variant)
    for network in (ours, theirs):
        for key in network.layers:
            if key.startswith("Dropout"):
                network.layers[key].rng = None
    np.random.seed(7)
    losses = fastbp.compile(ours, fastbp.SGD(0.1), strict=True).run(X, T, ORDER)
    after = np.random.rand()
    np.random.seed(7)
    np.testing.assert_allclose(losses, LayerStep(theirs, fastbp.SGD(0.1)).run(X, T, ORDER), rtol=1e-9)
    assert np.random.rand() == after


@pytest.mark.parametrize("value", [None, np.ones((4, 17))], ids=["None", "an array"])
def test_what_was_assigned_leaves_a_network_in_the_loop(value: Any) -> None:
    """As by the state of a pickle that plain Python wrote of the book's own layers."""
    network = net(use_batchnorm=True)
    vars(network.layers["BatchNorm1"]).update(xc=value, xn=value)
    step = fastbp.compile(network, fastbp.SGD(), strict=True)
    assert np.isfinite(step.run(X, T, ORDER)).all()


def states() -> Any:
    key, place = np.random.get_state()[1:3]
    return key.tolist(), place


class Interrupted(np.random.Generator):
    """Where Ctrl-C comes while the loop draws ahead."""

    left = 3333

    def random(self, *arguments: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().random(*arguments)


@pytest.mark.skipif(not COMPILES, reason="as Python, a step takes a second")
@pytest.mark.parametrize("when", ["drawing", "drawing from a generator", "any time"])
def test_an_interrupted_run_has_drawn_for_its_steps_alone(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_step, "MOST_STEPS_OF_A_SLICE", 500)
    np.random.seed(4)
    ours, timer = net(rng=None, use_dropout=True), threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    theirs, before, stream = copy.deepcopy(ours), np.random.get_state(), Interrupted(np.random.PCG64(1))
    adam, order = fastbp.Adam(), np.tile(ORDER, (20_000, 1))
    step = fastbp.compile(ours, adam, strict=True)
    if when == "drawing from a generator":
        ours.layers["Dropout1"].rng, theirs.layers["Dropout1"].rng = stream, np.random.default_rng(1)
    elif when == "drawing":
        rand = Interrupted(np.random.mtrand.get_bit_generator()).random
        monkeypatch.setattr(np.random, "rand", lambda *shape: rand(shape))
    step.run(X, T, order[:1])
    if when == "any time":
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        step.run(X, T, order[1:])
    monkeypatch.undo()
    if when == "any time":
        timer.join()
    assert 1 < adam.iter < len(order)
    left = states()
    np.random.set_state(before)
    fastbp.compile(theirs, fastbp.Adam(), strict=True).run(X, T, order[: adam.iter])
    same_bits(ours.params, theirs.params)
    assert left == states()
    if when == "drawing from a generator":
        assert stream.bit_generator.state == theirs.layers["Dropout1"].rng.bit_generator.state


def test_a_loss_of_nan_leaves_the_stream_where_the_layers_leave_it() -> None:
    left = []
    for compiled in (True, False):
        np.random.seed(4)
        network = net(rng=None, use_dropout=True)
        x = X.copy()
        x[ORDER[5]] = np.nan
        trainer = fastbp.Trainer(network, x, T, X, T, epochs=1, mini_batch_size=4, verbose=False)
        if not compiled:
            network.layers["Dropout1"].forward = network.layers["Dropout1"].forward
        with pytest.raises(FloatingPointError, match="the loss is NaN at step"):
            trainer.train()
        left.append((trainer.current_iter, states()))
    assert left[0] == left[1]


@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_a_trainer_and_its_layers_may_draw_from_one_stream(sampling: Any) -> None:
    found = []
    for compiles in (True, False):
        network = net(use_dropout=True, use_batchnorm=True)
        for key in ("Dropout1", "Dropout2"):
            network.layers[key].rng = None
        if not compiles:  # a layer of one's own, which the loop does not know
            network.layers["Affine1"].backward = network.layers["Affine1"].backward
        np.random.seed(8)
        trainer = fastbp.Trainer(network, X, T, X, T, 2, 8, "SGD", {"lr": 0.1}, verbose=False, sampling=sampling)
        trainer.train()
        found.append((trainer, network, np.random.rand()))
    (ours, network, drawn), (theirs, other, expected) = found
    assert ours.runs.startswith("compiled loop")
    assert theirs.runs.startswith("layer by layer")
    assert drawn == expected
    np.testing.assert_allclose(ours.train_loss_list, theirs.train_loss_list, rtol=1e-9)
    same_state(network, other, 1e-10)


@pytest.mark.skipif(not COMPILES, reason="as Python, there is one thread")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [(5, 3), (65, 130)])
def test_any_number_of_threads_gives_the_same_bits(dtype: str, hidden: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1.0)
    monkeypatch.setattr(launch.threads, "launched", lambda: 4)
    results = []
    for n in (1, 2, 4):
        network = net(dtype, hidden, **VARIANTS["both, decay"])
        with threads(n):
            losses = fastbp.compile(network, optimizer("Adam")).run(X.astype(dtype), T, batches(40, 12, 33))
        statistics = [network.layers["BatchNorm2"].running_mean, network.layers["BatchNorm2"].running_var]
        results.append((losses.tobytes(), network.params | dict(enumerate(statistics))))
    for losses, arrays in results[1:]:
        assert losses == results[0][0]
        same_bits(arrays, results[0][1])


@pytest.mark.parametrize("clipped", [None, 0.3])
@pytest.mark.parametrize(("shape", "features"), [((3, 4, 5), 3), ((3, 4, 5), 60), ((7,), 7)])
def test_normalized_images(shape: tuple[int, ...], features: int, clipped: float | None) -> None:
    """A feature a channel, or an element, of samples that are images; at the front, where nobody reads its dx."""
    rng = np.random.default_rng(9)
    x, t = rng.standard_normal((40, *shape)), rng.integers(0, 3, 40)
    size = int(np.prod(shape))
    params = {"gamma": rng.standard_normal(features), "beta": rng.standard_normal(features)}
    params |= {"W": rng.standard_normal((size, 3)) / size, "b": np.zeros(3)}
    networks = []
    for _ in range(2):
        own = copy.deepcopy(params)
        layers = [BatchNormalization(own["gamma"], own["beta"], 0.7), Relu(), Affine(own["W"], own["b"])]
        networks.append(Chain(layers, own, fastbp.SoftmaxWithLoss()))
    ours, theirs = networks
    step = fastbp.compile(ours, fastbp.SGD(0.5), strict=True, max_norm=clipped)
    losses = step.run(x, t, ORDER), LayerStep(theirs, fastbp.SGD(0.5), clipped).run(x, t, ORDER)
    np.testing.assert_allclose(*losses, rtol=1e-9)
    for name, array in theirs.params.items():
        np.testing.assert_allclose(ours.params[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours.layers[0].running_var, theirs.layers[0].running_var, rtol=1e-12)
    expected = x
    for layer in theirs.layers:
        expected = layer.forward(expected, False) if isinstance(layer, BatchNormalization) else layer.forward(expected)
    ours.predict = lambda x: None  # not asked
    del ours.predict
    np.testing.assert_allclose(step_scores(ours, x), expected, rtol=1e-9, atol=1e-12)


def test_images_of_another_shape_at_each_call() -> None:
    """Without a layer that says how many numbers it takes; larger ones than the first, and smaller ones."""
    rng = np.random.default_rng(10)
    params = {"gamma": np.ones(3), "beta": np.zeros(3)}
    ours = Chain([BatchNormalization(*params.values())], params, IdentityWithLoss())
    theirs = copy.deepcopy(ours)
    layer, loss, by_hand = theirs.layers[0], theirs.last_layer, fastbp.SGD(0.1)
    step = fastbp.compile(ours, fastbp.SGD(0.1), strict=True)
    for shape in [(3,), (3, 2, 2), (3,), (3, 4, 4), (3, 2, 2), (3, 8)]:
        x = rng.standard_normal((5, *shape))
        t = rng.standard_normal(x.shape)
        got = step(x, t), step.run(x, t, [[3, 0, 1, 4]])[0]
        for samples, value in zip(([0, 1, 2, 3, 4], [3, 0, 1, 4]), got, strict=True):
            assert value == pytest.approx(loss.forward(layer.forward(x[samples]), t[samples]), rel=1e-12)
            layer.backward(loss.backward())
            by_hand.update(theirs.params, {"gamma": layer.dgamma, "beta": layer.dbeta})
    np.testing.assert_allclose(ours.params["gamma"], theirs.params["gamma"], rtol=1e-12)


def step_scores(network: Any, x: Any) -> Any:
    """Of a network without methods of its own."""
    bare = type("Bare", (), {})()
    vars(bare).update(vars(network))
    return fastbp.predict(bare, x)


def test_prediction_before_any_training() -> None:
    """The running statistics start at 0, as the book's do."""
    ours, theirs = net(use_batchnorm=True), net(use_batchnorm=True)
    np.testing.assert_allclose(fastbp.predict(ours, X), theirs.predict(X), rtol=1e-12)
    np.testing.assert_array_equal(ours.layers["BatchNorm1"].running_var, np.zeros(17))


@pytest.mark.parametrize("at_once", [False, True], ids=["steps", "fit_many"])
def test_networks_may_begin_with_the_same_statistics(at_once: bool) -> None:
    """The layers make new arrays and leave those that they were given: so does the loop, with what others hold too."""
    mean, var = np.zeros(17), np.full(17, 2.0)

    def networks() -> list[MultiLayerNetExtend]:
        found = [net(hidden=(17,), rng=n, use_batchnorm=True) for n in range(2)]
        for network in found:
            network.layers["BatchNorm1"].running_mean, network.layers["BatchNorm1"].running_var = mean, var
        return found

    ours, theirs = networks(), networks()
    if at_once:
        fastbp.fit_many(ours, [fastbp.SGD(0.1) for _ in ours], X, T, ORDER[:4], threads=2)
    steps = [fastbp.compile(network, fastbp.SGD(0.1), strict=True) for network in ours]
    by_layers = [LayerStep(network, fastbp.SGD(0.1)) for network in theirs]
    for batch in ORDER[:4]:
        for n in range(2):
            by_layers[n](X[batch], T[batch])
            if not at_once:
                steps[n](X[batch], T[batch])
    for one, other in zip(ours, theirs, strict=True):
        same_state(one, other, 1e-12)
    assert not mean.any()
    assert (var == 2).all()


def test_statistics_that_were_noted_stay() -> None:
    network = net(use_batchnorm=True)
    step, layer = fastbp.compile(network, fastbp.SGD(0.1), strict=True), network.layers["BatchNorm1"]
    step(X, T)
    noted, before = layer.running_mean, layer.running_mean.copy()
    step(X, T)
    step.run(X, T, ORDER)
    np.testing.assert_array_equal(noted, before)
    assert (layer.running_mean != before).any()


def test_statistics_that_do_not_fit_are_refused() -> None:
    network = net(use_batchnorm=True)
    network.layers["BatchNorm1"].running_mean, network.layers["BatchNorm1"].running_var = np.zeros(3), np.zeros(17)
    for run in (lambda: fastbp.compile(network, fastbp.SGD(0.1)).run(X, T, ORDER), lambda: fastbp.predict(network, X)):
        with pytest.raises(ValueError, match="running_mean"):
            run()


def test_a_ratio_and_a_momentum_may_be_changed() -> None:
    ours, theirs = net(**VARIANTS["both, decay"]), net(**VARIANTS["both, decay"])
    steps = fastbp.compile(ours, fastbp.SGD(0.1), strict=True), LayerStep(theirs, fastbp.SGD(0.1))
    for ratio, momentum in ((0.5, 0.9), (0.1, 0.2)):
        for network, step in zip((ours, theirs), steps, strict=True):
            network.layers["Dropout1"].dropout_ratio = ratio
            network.layers["BatchNorm2"].momentum = momentum
            step.run(X, T, ORDER)
    same_state(ours, theirs, 1e-9)


def test_a_subclass_of_dropout_is_not_stood_in_for() -> None:
    class Inverted(Dropout):
        def forward(self, x: Any, train_flg: bool = True) -> Any:
            return super().forward(x, train_flg) / 0.5

    network = net(use_dropout=True)
    network.layers["Dropout1"] = Inverted()
    with pytest.raises(NotCompilable, match="Inverted has its own forward"):
        fastbp.compile(network, fastbp.SGD(0.1), strict=True)


# A squared error


def regression(dtype: str = "float64", outputs: int = 3) -> Chain:
    rng = np.random.default_rng(3)
    params = {"W1": rng.standard_normal((6, 5)), "b1": rng.standard_normal(5)}
    params |= {"W2": rng.standard_normal((5, outputs)), "b2": rng.standard_normal(outputs)}
    params = {name: array.astype(dtype) for name, array in params.items()}
    layers = [Affine(params["W1"], params["b1"]), Relu(), Affine(params["W2"], params["b2"])]
    return Chain(layers, params, IdentityWithLoss())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("outputs", "shape"), [(3, (40, 3)), (1, (40, 1)), (1, (40,)), (70, (40, 70))])
@pytest.mark.parametrize("sparse", [False, True])
def test_regression(dtype: str, outputs: int, shape: tuple[int, ...], sparse: bool) -> None:
    ours, theirs = regression(dtype, outputs), regression(dtype, outputs)
    x, t = X.astype(dtype), np.random.default_rng(4).standard_normal(shape)
    step = fastbp.compile(ours, fastbp.SGD(0.01), strict=True)
    losses = step.run(x, t, ORDER, sparse=sparse), LayerStep(theirs, fastbp.SGD(0.01)).run(x, t, ORDER)
    np.testing.assert_allclose(*losses, rtol=20 * TOLERANCE[dtype])
    for name, array in theirs.params.items():
        np.testing.assert_allclose(ours.params[name], array, rtol=1e-3, atol=50 * TOLERANCE[dtype], err_msg=name)


def test_values_that_do_not_fit_are_refused() -> None:
    network = regression()
    for step in (fastbp.compile(network, fastbp.SGD(0.01)), LayerStep(network, fastbp.SGD(0.01))):
        with pytest.raises(ValueError, match="t must have the shape of the outputs"):
            step.run(X, np.zeros((40, 2)), ORDER)


def test_a_trainer_learns_a_line() -> None:
    network, target = regression(outputs=1), X @ np.arange(1.0, 7.0) + 0.5
    trainer = fastbp.Trainer(network, X, target, X, target, 60, 10, "Adam", {"lr": 0.05}, verbose=False)
    trainer.train()
    assert trainer.runs == "compiled loop"
    assert trainer.train_loss_list[-1] < 0.05 * trainer.train_loss_list[0]
