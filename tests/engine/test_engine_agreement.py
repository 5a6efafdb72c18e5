"""Compiled steps agree with the layers' own, for networks, data and optimizers drawn at random."""

import copy
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, OPTIMIZERS, TOLERANCE, arrays_of, by_layers, chain, compiled, optimizer
from checks import close
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

WIDTHS = st.one_of(st.integers(1, 130), st.sampled_from([1, 2, 7, 8, 9, 16, 17, 50, 64, 128, 130]))
LABELS = ("index", "column", "one-hot", "soft")


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    hidden = draw(st.integers(0, 3))
    kinds = draw(st.sampled_from(["", "R", "S", "RS"])) + "A"
    for _ in range(hidden):
        kinds += draw(st.sampled_from(["R", "R", "S", "", "RS", "SR", "RR"])) + "A"
    kinds += draw(st.sampled_from(["", "", "R", "S"]))
    return {
        "kinds": kinds,
        "widths": tuple(draw(WIDTHS) for _ in range(kinds.count("A") + 1)),
        "batch": draw(st.one_of(st.integers(1, 9), st.integers(1, 200))),
        "x": draw(st.sampled_from(["float32", "float64", "uint8"])),
        "labels": draw(st.sampled_from(LABELS)),
        "optimizer": draw(st.sampled_from(list(OPTIMIZERS))),
        "decay": draw(st.sampled_from([0.0, 0.0, 0.01])),
        "eps": draw(st.sampled_from([0.0, 1e-7])),
        "sparse": draw(st.booleans()) and kinds[0] == "A",
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def samples(case: dict[str, Any], count: int) -> tuple[Any, Any, float]:
    """x, t and the scale of x."""
    rng, (features, classes) = np.random.default_rng(case["seed"]), (case["widths"][0], case["widths"][-1])
    x, scale = rng.standard_normal((count, features)), 1.0
    if case["x"] == "uint8":
        x, scale = rng.integers(0, 256, (count, features)), 1 / 255
    if case["sparse"]:
        x = x * (rng.random(x.shape) < 0.2)
    t = rng.integers(0, classes, count)
    labels = {"index": t, "column": t[:, None], "one-hot": np.eye(classes)[t], "soft": rng.random((count, classes))}
    if classes == 1:  # where other numbers than 1 are taken for values to predict, and refused
        labels["soft"] = np.ones((count, 1))
    return x.astype(case["x"]), labels[case["labels"]], scale


def network_of(case: dict[str, Any], dtype: str) -> Any:
    return chain(case["kinds"], case["widths"], dtype, seed=case["seed"], eps=case["eps"], decay=case["decay"])


def steps_agree(case: dict[str, Any], dtype: str) -> None:
    """Each of three steps from the state that the layers' step before it has left."""
    x, t, scale = samples(case, case["batch"] + 3)
    network, tolerance = network_of(case, dtype), TOLERANCE[dtype]
    steps = optimizer(case["optimizer"])
    layers = by_layers(network, steps)
    # As the loop does it: the samples in the network's dtype, then scaled. In float64 layers would compute in float64.
    arrays = x.astype(dtype) * np.dtype(dtype).type(scale)
    for n in range(3):
        batch = np.random.default_rng([case["seed"], n]).integers(0, len(x), case["batch"])
        ours, our_steps = copy.deepcopy((network, steps))
        loss = compiled(ours, our_steps).run(x, t, batch[None], scale=scale, sparse=case["sparse"])[0]
        before = {name: array.copy() for name, array in network.params.items()}
        expected = layers(arrays[batch], t[batch])
        assert abs(loss - expected) <= tolerance * max(1, abs(expected)), (n, loss, expected)
        for name, array in network.params.items():
            close(ours.params[name], array, tolerance, f"step {n}: {name}")
        # A sum over a batch that all but vanishes has few digits left, and these divide by its square root.
        if case["optimizer"] not in ("AdaGrad", "RMSprop", "Adam"):
            for name, array in before.items():
                close(ours.params[name] - array, network.params[name] - array, 10 * tolerance, f"step {n}: d{name}")
        for key, array in arrays_of(steps).items():
            close(arrays_of(our_steps)[key], array, tolerance, f"step {n}: {key}")


@given(cases())
@settings(max_examples=100)
def test_float64_steps(case: dict[str, Any]) -> None:
    steps_agree(case, "float64")


@given(cases())
@settings(max_examples=100)
def test_float32_steps(case: dict[str, Any]) -> None:
    # The adaptive optimizers' first steps are lr · gradient / |gradient|: of a gradient that is rounding alone, noise.
    case["optimizer"] = {"AdaGrad": "SGD", "RMSprop": "Momentum", "Adam": "Nesterov"}.get(
        case["optimizer"], case["optimizer"]
    )
    steps_agree(case, "float32")


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_many_steps_drawn_at_random(dtype: str) -> None:
    @given(cases())
    @settings(max_examples=2000)
    def check(case: dict[str, Any]) -> None:
        (test_float64_steps if dtype == "float64" else test_float32_steps).hypothesis.inner_test(case)

    check()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_a_hundred_steps_in_float64(name: str, sparse: bool) -> None:
    case = {"kinds": "ARARA", "widths": (40, 21, 17, 5), "x": "float64", "labels": "index", "sparse": sparse}
    case |= {"seed": 5, "eps": 0.0, "decay": 0.001}
    x, t, _ = samples(case, 90)
    networks, order = [network_of(case, "float64") for _ in range(2)], np.arange(2000).reshape(100, 20) % 90
    losses = compiled(networks[0], optimizer(name)).run(x, t, order, sparse=sparse)
    expected = by_layers(networks[1], optimizer(name)).run(x, t, order)
    close(losses, expected, 1e-9, "losses")
    assert losses[-10:].mean() < 0.9 * losses[:10].mean()  # they train
    for key, array in networks[1].params.items():
        close(networks[0].params[key], array, 1e-8, key)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_hundred_steps_in_float32(name: str) -> None:
    """They part by rounding alone: as far as float32 layers do from float64 ones, not further."""
    case: dict[str, Any] = {"kinds": "ARA", "widths": (40, 33, 5), "x": "float64", "labels": "index", "sparse": False}
    case |= {"seed": 6, "eps": 0.0, "decay": 0.0}
    x, t, _ = samples(case, 90)
    network, exact = network_of(case, "float32"), network_of(case, "float64")
    for key, array in network.params.items():
        exact.params[key][...] = array
    order = np.arange(2000).reshape(100, 20) % 90
    x32 = x.astype("float32")
    losses = compiled(network, optimizer(name)).run(x32, t, order)
    close(losses, by_layers(exact, optimizer(name)).run(x32.astype("float64"), t, order), 1e-4, "losses")
