"""`fastbp.predict`: the scores of the network's own method, to the last bit, however many samples there are."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, TOLERANCE, chain, compiled, data, zeros_mostly
from checks import close

import fastbp
from fastbp import Relu, reference
from fastbp.engine import launch
from fastbp.engine.scores import CHUNK

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

# Also last columns that are summed in another way where there are few rows, and a single one.
NETS = [("ARA", (784, 50, 10)), ("RASA", (31, 65, 2)), ("A", (100, 1)), ("ARAR", (300, 33, 17)), ("SA", (64, 17))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kinds", "widths"), NETS, ids=str)
def test_bits_of_the_network_s_own(kinds: str, widths: tuple[int, ...], dtype: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1e-3)
    network, (x, _) = chain(kinds, widths, dtype), data(5000, widths[0], 2, dtype)
    before = x.copy()
    for count in (1, 2, 5, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 2, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5000):
        expected = network.predict(x[:count])
        for threads in (1, 2, 3):
            with fastbp.threads(threads):
                got = fastbp.predict(network, x[:count])
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, expected, err_msg=f"{count} samples, {threads} threads")
    np.testing.assert_array_equal(x, before)
    assert CHUNK == 512


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_single_sample(dtype: str) -> None:
    network, (x, _) = chain("ARA", (31, 17, 3), dtype), data(2, 31, 2, dtype)
    got = fastbp.predict(network, x[0])
    assert got.shape == (3,)
    np.testing.assert_array_equal(got, network.predict(x[0]))
    assert fastbp.predict(network, x[:1]).shape == (1, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 513])
def test_bytes_with_a_scale(count: int, dtype: str) -> None:
    network, rng = chain("ARA", (31, 17, 3), dtype), np.random.default_rng(98)
    x = rng.integers(0, 256, (count, 31)).astype("uint8")
    expected = network.predict(x.astype(dtype) * np.dtype(dtype).type(1 / 255))
    np.testing.assert_array_equal(fastbp.predict(network, x, scale=1 / 255), expected)
    np.testing.assert_array_equal(fastbp.predict(network, x), network.predict(x.astype(dtype)))
    assert (fastbp.predict(network, x) != expected).any()


def test_forms_of_the_samples() -> None:
    network, (x, _) = chain("ARA", (30, 17, 3)), data(20, 30, 2)
    expected = network.predict(x)
    images = x.reshape(20, 5, 6)
    for form in (x.tolist(), np.asfortranarray(x), x.astype(">f8"), images, np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(fastbp.predict(network, form), expected)
    single = chain("ARA", (30, 17, 3), "float32")
    got = fastbp.predict(single, x)
    assert got.dtype == np.float32
    close(got, single.predict(x.astype("float32")), 1e-6, "float64 samples, float32 network")


def test_results_are_new_arrays() -> None:
    network, (x, _) = chain("AR", (6, 3)), data(4, 6, 2)
    first = fastbp.predict(network, x)
    kept = first.copy()
    second = fastbp.predict(network, -x)
    np.testing.assert_array_equal(first, kept)
    first[...] = 7
    np.testing.assert_array_equal(fastbp.predict(network, -x), second)


def test_weights_are_read_at_each_call() -> None:
    network, (x, _) = chain("ARA", (6, 5, 3)), data(4, 6, 2)
    before = fastbp.predict(network, x)
    network.params["b2"] += 1
    close(fastbp.predict(network, x), before + 1, 1e-15, "scores")


def test_not_a_number_goes_through() -> None:
    network, (x, _) = chain("ARA", (6, 5, 3)), data(4, 6, 2)
    x[1, 2] = np.nan
    assert np.isnan(fastbp.predict(network, x)).any(axis=1).tolist() == [False, True, False, False]


def test_foreign_networks_predict_themselves() -> None:
    network, (x, _) = chain("ARA", (6, 5, 3)), data(4, 6, 2)
    network.layers[1] = reference.Relu()
    np.testing.assert_array_equal(fastbp.predict(network, x), network.predict(x))
    np.testing.assert_array_equal(fastbp.predict(network, x, scale=2), network.predict(2 * x))
    assert not isinstance(network.layers[1], Relu)


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "features": (np.ones((4, 5)), ValueError, r"x must have 6 features a sample, got shape \(4, 5\)"),
    "features of one": (np.ones(5), ValueError, r"got shape \(5,\)"),
    "a number": (1.0, ValueError, r"got shape \(\)"),
    "nothing": (np.ones((0, 6)), ValueError, "x is empty"),
    "complex": (np.ones((4, 6)) + 1j, TypeError, "x must hold real numbers"),
    "text": ([["1"] * 6], TypeError, "x must hold real numbers"),
}


@pytest.mark.parametrize(("x", "error", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastbp.predict(chain("ARA", (6, 5, 3)), x)


def test_a_parameter_that_no_layer_holds() -> None:
    network = chain("ARA", (6, 5, 3))
    network.params["W2"] = network.params["W2"].copy()
    with pytest.raises(ValueError, match=r"no layer holds params\['W2'\]"):
        fastbp.predict(network, np.ones((4, 6)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_prepared_data(threads: int, sparse: bool, dtype: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1e-3)
    network, x = chain("ARA", (50, 20, 3), dtype), zeros_mostly(1300, 50, dtype)
    before = {name: array.copy() for name, array in network.params.items()}
    prepared = compiled(network, fastbp.SGD()).prepare(x, np.zeros(1300, int), sparse=sparse)
    with fastbp.threads(threads):
        close(fastbp.predict(network, prepared), network.predict(x), 10 * TOLERANCE[dtype], "scores")
        first = fastbp.predict(network, prepared.first(7))
    close(first, network.predict(x[:7]), 10 * TOLERANCE[dtype], "scores of the first")
    for name, array in network.params.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("threads", [1, 2])
def test_zeros_beside_a_weight_that_is_not_finite(threads: int, monkeypatch: Any) -> None:
    """They can't be skipped: 0 · inf is NaN. In all chunks."""
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1e-3)
    network, x = chain("AA", (50, 20, 3)), zeros_mostly(1300, 50)
    prepared = compiled(network, fastbp.SGD()).prepare(x, np.zeros(1300, int), sparse=True)
    network.params["W1"][3, 2] = np.inf
    with fastbp.threads(threads):
        got = fastbp.predict(network, prepared)
    expected = network.predict(x)
    assert np.isnan(expected).all(axis=1).sum() > 1000
    np.testing.assert_array_equal(got, expected)


def test_prepared_data_that_do_not_go_with_it() -> None:
    prepared = compiled(chain("A", (50, 3)), fastbp.SGD()).prepare(np.ones((9, 50)), np.zeros(9, int))
    with pytest.raises(ValueError, match="prepared for 50 inputs, 3 classes and float64, but the network has 4, 2"):
        fastbp.predict(chain("A", (4, 2)), prepared)
    with pytest.raises(TypeError, match="a scale of their own"):
        fastbp.predict(chain("A", (50, 3)), prepared, scale=0.5)


@pytest.mark.parametrize("share", [0.1, 0.9], ids=["compressed", "dense"])
def test_prepared_data_go_to_the_layers_too(share: float) -> None:
    x = zeros_mostly(9, 50, share=share)
    prepared = compiled(chain("A", (50, 3)), fastbp.SGD()).prepare(x, np.zeros(9, int), scale=0.5)
    network = chain("A", (50, 3))
    expected = network.predict(0.5 * x)
    forward = network.layers[0].forward
    network.layers[0].forward = lambda x: 2 * forward(x)
    np.testing.assert_array_equal(fastbp.predict(network, prepared), 2 * expected)


def by_layers_alone(*, own: bool) -> Any:
    """A network that the compiled loop can't run, with a `predict` or without one."""
    network = chain("ARA", (50, 20, 3))
    network.layers[1] = reference.Relu()
    return network if own else SimpleNamespace(**vars(network))


@pytest.mark.parametrize("own", [False, True])
def test_without_the_compiled_loop(own: bool) -> None:
    network, x = by_layers_alone(own=own), zeros_mostly(20, 50)
    expected = chain("ARA", (50, 20, 3)).predict(x)
    close(fastbp.predict(network, x), expected, 1e-12, "scores")
    close(fastbp.predict(network, 255 * x, scale=1 / 255), expected, 1e-12, "scaled")
    prepared = fastbp.compile(network, fastbp.SGD()).prepare(255 * x, np.zeros(20, int), scale=1 / 255)
    close(fastbp.predict(network, prepared), expected, 1e-12, "prepared")
    close(fastbp.predict(chain("ARA", (50, 20, 3)), prepared), expected, 1e-12, "prepared by the layers")


def test_what_is_no_network() -> None:
    for network in (object(), type("Empty", (), {"params": {}})()):
        with pytest.raises(ValueError, match="has no layers and params"):
            fastbp.predict(network, np.ones((4, 6)))


@pytest.mark.parametrize("kinds", ["ARA", "SA"])
def test_matrices_of_scipy(kinds: str, scipy_sparse: Any) -> None:
    x, widths = zeros_mostly(700, 50), (50, 20, 3) if kinds == "ARA" else (50, 3)
    network = chain(kinds, widths)
    for matrix in (scipy_sparse.csr_matrix(x), scipy_sparse.coo_matrix(x)):
        close(fastbp.predict(network, matrix), network.predict(x), 1e-12, "scores")
        close(fastbp.predict(network, matrix, scale=0.5), network.predict(0.5 * x), 1e-12, "scaled")
    close(fastbp.predict(by_layers_alone(own=False), scipy_sparse.csr_matrix(x[:9])).shape, (9, 3), 0, "shape")
    with pytest.raises(ValueError, match=r"x must have shape \(samples, 50\), got \(700, 49\)"):
        fastbp.predict(network, scipy_sparse.csr_matrix(x[:, 1:]))
    with pytest.raises(ValueError, match="x is empty"):
        fastbp.predict(network, scipy_sparse.csr_matrix((0, 50)))


def test_a_network_counts_right_scores_of_a_matrix(scipy_sparse: Any) -> None:
    x, t = zeros_mostly(40, 6), np.arange(40) % 3
    network = fastbp.TwoLayerNet(6, 5, 3, 0.5, rng=np.random.default_rng(1))
    assert network.accuracy(scipy_sparse.csr_matrix(x), t) == network.accuracy(x, t)
