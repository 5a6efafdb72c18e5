"""Samples in the network's dtype are read where they lie: products of the first layer, with remainders of all kinds."""

from typing import Any

import numpy as np
import pytest
from chains import COMPILES
from checks import close
from nets import same_bits

import fastbp
from fastbp.kernels.matmul.samples import MOST_COLUMNS

# (Samples of a batch, inputs, outputs): whole tiles and vectors, and some of each left over; two chains of samples.
SHAPES = ((16, 64, 3), (17, 65, 18), (20, 67, 34), (100, 96, 50), (21, 100, 49), (130, 70, 2), (32, 64, MOST_COLUMNS))
if not COMPILES:
    SHAPES = SHAPES[1:3]  # a minute less
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def network(shape: tuple[int, int, int], dtype: str, seed: int = 5) -> Any:
    _, D, M = shape
    return fastbp.TwoLayerNet(D, M, 4, 0.1, rng=np.random.default_rng(seed), dtype=dtype)


def data(shape: tuple[int, int, int], dtype: str, steps: int = 3) -> Any:
    """Samples, labels and batches, in which the first and the last sample are, and some twice."""
    N, D, _ = shape
    rng = np.random.default_rng(6)
    order = rng.integers(0, N + 9, (steps, N))
    order[:, 0], order[:, -1] = N + 8, 0
    return rng.standard_normal((N + 9, D)).astype(dtype), rng.integers(0, 4, N + 9), order


@pytest.mark.parametrize("name", ["SGD", "Momentum"])  # W changed as dW is made, and afterwards
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_step_is_that_of_the_layers(shape: tuple[int, int, int], dtype: str, name: str) -> None:
    x, t, order = data(shape, dtype)
    for batch in order:
        ours, theirs = network(shape, dtype), network(shape, dtype)
        loss = fastbp.compile(ours, getattr(fastbp, name)(lr=0.1), strict=True).run(x, t, batch[None])[0]
        expected, gradients = theirs.loss_and_gradient(x[batch], t[batch])
        assert abs(loss - expected) <= TOLERANCE[dtype]
        getattr(fastbp, name)(lr=0.1).update(theirs.params, gradients)
        for key, array in theirs.params.items():
            close(ours.params[key], array, TOLERANCE[dtype], key)


@pytest.mark.skipif(not COMPILES, reason="Python runs one thread at a time")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "shape", [(100, 96, 50), (130, 784, 50), (61, 784, 131), (100, 784, 40), (100, 784, 20)], ids=str
)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_the_bits_are_the_same_for_any_number_of_threads(
    shape: tuple[int, int, int], dtype: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastbp.engine.launch.FLOPS_PER_THREAD", 1)
    x, t, order = data(shape, dtype, steps=6)
    trained = []
    for n in (1, 2):
        net = network(shape, dtype)
        with fastbp.threads(n):
            fastbp.compile(net, getattr(fastbp, name)(lr=0.01), strict=True).run(x, t, order)
        trained.append(net.params)
    same_bits(*trained)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_nothing_behind_the_samples_is_read(dtype: str) -> None:
    """What lies before and behind them is NaN, which any sum would show."""
    shape = (17, 65, 18)
    x, t, order = data(shape, dtype)
    guarded = np.full((len(x) + 2, x.shape[1]), np.nan, dtype)
    guarded[1:-1] = x
    nets = network(shape, dtype), network(shape, dtype)
    for net, samples in zip(nets, (x, guarded[1:-1]), strict=True):
        fastbp.compile(net, fastbp.SGD(lr=0.1), strict=True).run(samples, t, order)
    same_bits(nets[0].params, nets[1].params)
