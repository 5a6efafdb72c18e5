"""Networks of convolutions and pooling in the compiled loop: the steps that their layers take."""

import copy
from typing import Any

import numpy as np
import pytest
from book_images import CLASSES, IMAGES, BookConvNet, BookDeepNet, OracleDeepNet
from chains import COMPILES, OPTIMIZERS, Chain, by_layers, compiled, optimizer
from checks import close
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets import same_bits
from processes import python

import fastbp
from fastbp import (
    Affine,
    BatchNormalization,
    Convolution,
    DeepConvNet,
    Dropout,
    Pooling,
    Relu,
    Sigmoid,
    SimpleConvNet,
    SoftmaxWithLoss,
    reference,
)

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")


def images(samples: int, shape: tuple[int, ...] = IMAGES, classes: int = CLASSES, dtype: str = "float64") -> Any:
    rng = np.random.default_rng(3)
    return rng.standard_normal((samples, *shape)).astype(dtype), rng.integers(0, classes, samples)


def order_of(steps: int, batch: int, samples: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, samples, (steps, batch))


def by_the_oracle(network: Any, x: Any, t: Any, order: Any, steps: Any) -> list[float]:
    """The losses of steps by the network's own methods, which draw once a step."""
    losses = []
    for batch in order:
        gradients = network.gradient(x[batch], t[batch])
        losses.append(float(network.last_layer.loss))
        steps.update(network.params, gradients)
    return losses


@pytest.mark.parametrize(
    ("ours", "oracle"), [(BookConvNet, lambda: BookConvNet(reference)), (BookDeepNet, OracleDeepNet)]
)
def test_a_hundred_steps_are_the_oracles(ours: Any, oracle: Any) -> None:
    """The book's networks as readers type them: the same numbers from the same stream."""
    (x, t), order = images(60), order_of(100, 20, 60)
    network, expected = ours(), oracle()
    np.random.seed(5)
    losses = fastbp.compile(network, fastbp.Adam(), strict=True).run(x, t, order)
    np.random.seed(5)
    close(losses, by_the_oracle(expected, x, t, order, fastbp.Adam()), 1e-9, "losses")
    for name, array in network.params.items():
        close(array, expected.params[name], 1e-8, name)
    close(fastbp.predict(network, x), expected.predict(x), 1e-8, "scores")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [SimpleConvNet, DeepConvNet])
def test_the_librarys_networks(kind: Any, dtype: str) -> None:
    small = {"filter_num": 5, "filter_size": 3, "pad": 1, "stride": 2}
    more = {"conv_param": small} if kind is SimpleConvNet else {f"conv_param_{n}": {**small, "stride": 1} for n in "14"}
    ours, twin = (kind((1, 12, 9), **more, dtype=dtype, rng=np.random.default_rng(1)) for _ in range(2))
    (x, t), order = images(40, (1, 12, 9), 10, dtype), order_of(5, 17, 40)
    losses = compiled(ours, fastbp.Adam()).run(x, t, order)
    close(losses, by_layers(twin, fastbp.Adam()).run(x, t, order), 1e-12 if dtype == "float64" else 1e-4, "losses")
    assert all(array.dtype == dtype for array in ours.params.values())


# Any chain ----------------------------------------------------------------------------------------------------------


@st.composite
def chains(draw: Any) -> dict[str, Any]:
    """Blocks of layers on images, then affine ones."""
    sizes, blocks = st.integers(1, 3), []
    for _ in range(draw(st.integers(1, 3))):
        block = {
            "filters": draw(st.sampled_from([1, 3, 8, 17])),
            "size": (draw(sizes), draw(sizes)),
            "stride": draw(sizes),
            "pad": draw(st.integers(0, 2)),
            "bias": draw(st.sampled_from([0, 0.5, "trained", "trained"])),
            "then": draw(st.sampled_from(["", "R", "R", "S", "RS", "BR", "BE", "RD"])),
            "pool": draw(st.sampled_from([None, None, (2, 2, 2, 0), (1, 2, 1, 1), (2, 1, 3, 0)])),
        }
        blocks.append(block)
    return {
        "images": (draw(sizes), draw(st.integers(5, 14)), draw(st.integers(5, 20))),
        "blocks": blocks,
        "first": draw(st.sampled_from(["", "", "R", "P", "B"])),
        "affine": draw(st.sampled_from(["A", "ARA", "RA"])),
        "batch": draw(st.sampled_from([1, 2, 5, 16, 33, 70])),
        "x": draw(st.sampled_from(["float32", "float64", "uint8"])),
        "optimizer": draw(st.sampled_from(list(OPTIMIZERS))),
        "decay": draw(st.sampled_from([0.0, 0.01])),
        "max_norm": draw(st.sampled_from([None, 0.5])),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def network_of(case: dict[str, Any], dtype: str) -> Chain | None:
    """The chain of a case; None where a filter or window is larger than its images."""
    rng, params, layers = np.random.default_rng(case["seed"]), dict[str, np.ndarray](), list[Any]()
    shape = case["images"]

    def parameter(kind: str, value: Any) -> np.ndarray:
        name = f"{kind}{len(params)}"
        params[name] = np.asarray(value, dtype)
        return params[name]

    def weights(*sizes: int) -> np.ndarray:
        return parameter("W", rng.standard_normal(sizes) * (2 / np.prod(sizes[1:])) ** 0.5)

    def add(kind: str) -> None:
        nonlocal shape
        if kind == "P":
            layers.append(Pooling(2, 2, 1, 0))
            shape = (shape[0], shape[1] - 1, shape[2] - 1)
        elif kind in "BE":
            size = shape[0] if kind == "B" else int(np.prod(shape))
            layers.append(BatchNormalization(parameter("g", rng.random(size) + 0.5), parameter("h", rng.random(size))))
        elif kind == "D":
            layers.append(Dropout(0.4, rng=np.random.default_rng(case["seed"])))
        else:
            layers.append(Relu() if kind == "R" else Sigmoid())

    for kind in case["first"]:
        add(kind)
    for block in case["blocks"]:
        W = weights(block["filters"], shape[0], *block["size"])
        bias = parameter("b", rng.standard_normal(len(W))) if block["bias"] == "trained" else block["bias"]
        high, wide = ((shape[n] + 2 * block["pad"] - block["size"][n - 1]) // block["stride"] + 1 for n in (1, 2))
        layers.append(Convolution(W, bias, block["stride"], block["pad"]))
        shape = (len(W), high, wide)
        for kind in block["then"]:
            add(kind)
        if block["pool"]:
            ph, pw, stride, pad = block["pool"]
            if min(shape[1] + 2 * pad - ph, shape[2] + 2 * pad - pw) < 0:
                return None
            layers.append(Pooling(*block["pool"]))
            shape = (shape[0], (shape[1] + 2 * pad - ph) // stride + 1, (shape[2] + 2 * pad - pw) // stride + 1)
        if min(shape[1:]) < 3:
            break
    for kind in case["affine"]:
        if kind == "A":
            D, M = int(np.prod(shape)), CLASSES
            layers.append(Affine(parameter("W", rng.standard_normal((D, M)) / D**0.5), parameter("b", np.zeros(M))))
            shape = (M,)
        else:
            add(kind)
    network = Chain(layers, params, SoftmaxWithLoss())
    if case["decay"]:
        network.weight_decay_lambda = case["decay"]
    return network


def agrees(case: dict[str, Any], dtype: str) -> None:
    """Each of three steps, from the state that the layers' step before it has left."""
    network = network_of(case, dtype)
    assume(network is not None)
    rng = np.random.default_rng(case["seed"])
    x, scale = rng.standard_normal((80, *case["images"])), 1.0
    if case["x"] == "uint8":
        x, scale = rng.integers(0, 256, x.shape), 1 / 255
    x, t = x.astype(case["x"]), rng.integers(0, CLASSES, 80)
    twin = copy.deepcopy(network)
    ours = fastbp.compile(network, optimizer(case["optimizer"]), strict=True, max_norm=case["max_norm"])
    theirs = fastbp.engine.layer_step.LayerStep(twin, optimizer(case["optimizer"]), case["max_norm"])
    tolerance = 1e-9 if dtype == "float64" else 2e-3
    for batch in rng.integers(0, 80, (3, 1, case["batch"])):
        losses = ours.run(x, t, batch, scale=scale), theirs.run(x, t, batch, scale=scale)
        close(*losses, tolerance, "loss")
        for name, array in twin.params.items():
            close(network.params[name], array, tolerance, name)
            network.params[name][...] = array


@settings(max_examples=60, deadline=None)
@given(chains())
def test_any_chain(case: dict[str, Any]) -> None:
    agrees(case, "float64")


# Threads, NaN, and what is around -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [BookConvNet, BookDeepNet])
@pytest.mark.parametrize("max_norm", [None, 0.1])
def test_same_bits_for_any_number_of_threads(
    make: Any, dtype: str, max_norm: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastbp.engine.launch.FLOPS_PER_THREAD", 1e-3)
    monkeypatch.setattr("fastbp.engine.launch.Pace.next", lambda pace: (pace._most, False))
    monkeypatch.setattr("fastbp.system.threads.launched", lambda: 8)
    monkeypatch.setattr("fastbp.system.threads.get_num_threads", lambda: most[0])
    most = [1]
    for batch in (1, 3, 9, 50, 130):
        (x, t), order = images(150, dtype=dtype), order_of(4, batch, 150)
        results = []
        for most[0] in (1, 2, 3, 5, 8):
            network = make(dtype=dtype)
            np.random.seed(6)
            step = fastbp.compile(network, fastbp.Adam(), strict=True, max_norm=max_norm)
            results.append({"losses": step.run(x, t, order), **network.params})
        for other in results[1:]:
            same_bits(results[0], other)


@pytest.mark.parametrize("where", ["x", "W1", "b1", "W2"])
def test_nan_goes_where_the_layers_let_it_go(where: str) -> None:
    network = BookConvNet()
    (x, t), order = images(20), np.arange(20)[None]
    (x if where == "x" else network.params[where]).flat[7 if where != "b1" else 2] = np.nan
    twin = copy.deepcopy(network)
    losses = compiled(network, fastbp.SGD(0.1)).run(x, t, order)
    np.testing.assert_array_equal(losses, by_layers(twin, fastbp.SGD(0.1)).run(x, t, order))
    for name, array in twin.params.items():
        np.testing.assert_array_equal(np.isnan(network.params[name]), np.isnan(array), name)


def test_a_bias_of_zero_stays_zero() -> None:
    case = {
        **{"images": IMAGES, "first": "", "affine": "A", "seed": 1, "decay": 0.0},
        "blocks": [{"filters": 3, "size": (3, 3), "stride": 1, "pad": 0, "bias": 0, "then": "R", "pool": None}],
    }
    network = network_of(case, "float64")
    assert network is not None
    network.layers[-1].b = 0.25
    del network.params["b2"]
    twin, (x, t), order = copy.deepcopy(network), images(30), order_of(4, 10, 30)
    step, layers = compiled(network, fastbp.Momentum(0.1)), by_layers(twin, fastbp.Momentum(0.1))
    close(step.run(x, t, order), layers.run(x, t, order), 1e-12, "losses")
    assert (network.layers[0].b, network.layers[-1].b) == (0, 0.25)
    network.layers[0].b = twin.layers[0].b = 0.5
    close(step.run(x, t, order), layers.run(x, t, order), 1e-12, "losses, another bias")


def test_images_that_do_not_fit_are_refused() -> None:
    step, t = compiled(BookConvNet(), fastbp.SGD(0.1)), np.zeros(5, int)
    with pytest.raises(
        ValueError,
        match=r"x must be images, \(C, H, W\) each, to go with W1 of shape .*, got \(112,\); if these are flat samples",
    ):
        step.run(np.zeros((5, 112)), t, [[0]])
    with pytest.raises(
        ValueError, match=r"W1 of shape \(5, 2, 3, 3\) and b1 .* don't go with images of shape \(3, 8, 7\)"
    ):
        step.run(np.zeros((5, 3, 8, 7)), t, [[0]])
    with pytest.raises(ValueError, match="a filter of 3 x 3 is larger than images of 2 x 7"):
        step.run(np.zeros((5, 2, 2, 7)), t, [[0]])
    with pytest.raises(ValueError, match=r"W2 of shape \(30, 6\) and b2 of shape \(6,\) don't go with 45 inputs"):
        step.run(np.zeros((5, 2, 8, 9)), t, [[0]])
    with pytest.raises(ValueError, match="sparse=True needs an Affine layer at the front"):
        step.run(np.zeros((5, 2, 8, 7)), t, [[0]], sparse=True)


def test_the_report_has_figures_once_images_are_seen() -> None:
    step, (x, t) = compiled(BookConvNet(), fastbp.SGD(0.1)), images(6)
    assert step.report(10).splitlines()[2].split()[-4:] == ["?"] * 4
    step.run(x, t, [[0, 1]])
    W, high, wide = step.network.params["W1"], 6, 5
    inputs, outputs = x[0].size, len(W) * high * wide
    size = 8 * (W.size + len(W) + 10 * (inputs + outputs)) / 1e3
    figures = (inputs, outputs, f"{2 * 10 * 2 * W.size * high * wide / 1e3:.0f}", f"{size:.0f}")
    assert step.report(10).splitlines()[2].split()[-4:] == [str(each) for each in figures]


def test_trainer_and_fit_many_run_compiled() -> None:
    (x, t), order = images(60), order_of(6, 20, 60)
    trainer = fastbp.Trainer(BookConvNet(), x, t, x, t, epochs=2, mini_batch_size=20, verbose=False)
    trainer.train()
    assert len(trainer.train_acc_list) == 2
    assert trainer.runs == "compiled loop"
    networks, alone = [BookConvNet(), BookConvNet()], BookConvNet()
    losses = fastbp.fit_many(networks, [fastbp.SGD(0.1), fastbp.SGD(0.01)], x, t, order)
    np.testing.assert_array_equal(losses[0], compiled(alone, fastbp.SGD(0.1)).run(x, t, order))
    same_bits(networks[0].params, alone.params)


AS_PYTHON = """
import numpy as np
import fastbp
from book_images import BookDeepNet
rng = np.random.default_rng(0)
x, t = rng.standard_normal((9, 2, 8, 7)), rng.integers(0, 4, 9)
nets = [BookDeepNet() for _ in range(2)]
np.random.seed(1)
losses = fastbp.compile(nets[0], fastbp.SGD(), strict=True).run(x, t, [[0, 3, 8, 4, 4]])
np.random.seed(1)
gradients = nets[1].gradient(x[[0, 3, 8, 4, 4]], t[[0, 3, 8, 4, 4]])
fastbp.SGD().update(nets[1].params, gradients)
for name, array in nets[0].params.items():
    np.testing.assert_allclose(array, nets[1].params[name], rtol=1e-10, atol=1e-12)
print("inside")
"""


@pytest.mark.command
def test_the_loop_as_python_stays_inside_its_arrays() -> None:
    assert python(AS_PYTHON, NUMBA_DISABLE_JIT="1") == "inside\n"
