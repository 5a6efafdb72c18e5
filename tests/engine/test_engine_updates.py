"""float32: a step makes the whole update, for any number of samples and any learning rate.

The measure is one addition: each parameter minus lr times its exact gradient, rounded once. To that error float32 adds
the rounding of the gradient, of which a step with a large rate shows more: the layers' own stands for it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from chains import COMPILES
from mnist_real import REAL, real_data

import fastbp
from fastbp.datasets import load_mnist

pytestmark = pytest.mark.skipif(not COMPILES, reason="nothing is compiled")

RATES = (1.0, 1e-2, 1e-4, 1e-6)
Params = dict[str, np.ndarray]


def exact_gradient(p: Params, x: np.ndarray, t: np.ndarray) -> Params:
    """The gradient of the mean loss in float64, at parameters of float32."""
    W1, b1, W2, b2 = (p[name].astype(np.float64) for name in ("W1", "b1", "W2", "b2"))
    x = x.astype(np.float64)
    hidden = x @ W1 + b1
    out = np.maximum(hidden, 0)
    scores = out @ W2 + b2
    y = np.exp(scores - scores.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    y[np.arange(len(t)), t] -= 1
    y /= len(t)
    below = (y @ W2.T) * (hidden > 0)
    return {"W1": x.T @ below, "b1": below.sum(axis=0), "W2": out.T @ y, "b2": y.sum(axis=0)}


def network(params: Params) -> Any:
    D, H = params["W1"].shape
    net = fastbp.TwoLayerNet(D, H, params["b2"].size, dtype=np.float32)
    for name, values in params.items():
        net.params[name][...] = values
    return net


def trained(x: np.ndarray, t: np.ndarray, hidden: int) -> Params:
    """After some steps, so that the biases aren't 0."""
    net = fastbp.TwoLayerNet(x.shape[1], hidden, 10, 0.05, dtype=np.float32, rng=np.random.default_rng(21))
    order = np.random.default_rng(22).integers(0, len(x), (100, 100))
    fastbp.compile(net, fastbp.SGD(0.05)).run(x, t, order)
    return {name: values.copy() for name, values in net.params.items()}


def runs(params: Params, x: np.ndarray, t: np.ndarray, rows: np.ndarray, lr: float) -> Iterator[tuple[str, Params]]:
    """The parameters after one step, however it is made."""
    for sparse in (False, True):
        for threads in (1, 2):
            net = network(params)
            with fastbp.threads(threads):
                fastbp.compile(net, fastbp.SGD(lr)).run(x, t, rows[None], sparse=sparse)
            yield f"{len(rows)} samples, lr {lr:g}, sparse {sparse}, {threads} threads", net.params


def check(params: Params, x: np.ndarray, t: np.ndarray, count: int) -> None:
    rows = np.random.default_rng(count).permutation(len(x))[:count]
    exact = exact_gradient(params, x[rows], t[rows])
    rounded = network(params).gradient(x[rows], t[rows])
    for lr in RATES:
        for what, made in runs(params, x, t, rows, lr):
            for name, before in params.items():
                change = lr * exact[name]
                once = (before - change).astype(np.float32)
                for size in (np.linalg.norm, lambda a: np.abs(a).max()):
                    allowed = size(once - (before - change)) + lr * size(rounded[name] - exact[name])
                    error = size(made[name] - (before - change))
                    assert error <= 2 * allowed, f"{name}, {what}: {error:.3g}, allowed {2 * allowed:.3g}"
                share, of_once = (((before - p.astype(float)) * change).sum() for p in (made[name], once))
                assert abs(share - of_once) <= 0.002 * (change**2).sum(), f"{name}, {what}: {share} made, not {of_once}"


# One chain of a product and more, in dW of narrow and of wide layers; one sample and a few; more than one block.
@pytest.mark.parametrize("count", [1, 100, 129, 3000])
@pytest.mark.parametrize("hidden", [50, 300])
def test_update_is_made(count: int, hidden: int) -> None:
    rng = np.random.default_rng(23)
    x = (rng.random((3000, 196)) * (rng.random((3000, 196)) < 0.2)).astype(np.float32)
    t = rng.integers(0, 10, 3000)
    check(trained(x, t, hidden), x, t, count)


@real_data
@pytest.mark.parametrize("count", [100, 60000])
def test_update_is_made_on_mnist(count: int) -> None:
    (x, t), _ = load_mnist(REAL)
    check(trained(x, t, 50), x, t, count)
