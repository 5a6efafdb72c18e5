"""A sparse matrix where an array is expected: the error names what takes one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import functions

x = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
W = np.ones((3, 3))
t = np.array([0, 1])


def affine() -> fastbp.Affine:
    layer = fastbp.Affine(W, np.zeros(3))
    layer.forward(x)
    return layer


def relu() -> fastbp.Relu:
    layer = fastbp.Relu()
    layer.forward(x)
    return layer


def network() -> fastbp.TwoLayerNet:
    return fastbp.TwoLayerNet(3, 2, 2, rng=np.random.default_rng(0))


# What is called with the sparse matrix, and what the error calls it.
CALLS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Affine": ("x", lambda s: affine().forward(s)),
    "Affine's W": ("W", lambda s: fastbp.Affine(s, np.zeros(3)).forward(x[:, :2])),
    "Affine, backward": ("dout", lambda s: affine().backward(s)),
    "Relu": ("x", lambda s: fastbp.Relu().forward(s)),
    "Relu, backward": ("dout", lambda s: relu().backward(s)),
    "Sigmoid": ("x", lambda s: fastbp.Sigmoid().forward(s)),
    "SoftmaxWithLoss": ("x", lambda s: fastbp.SoftmaxWithLoss().forward(s, t)),
    "labels": ("t", lambda s: fastbp.SoftmaxWithLoss().forward(x, s)),
    "MulLayer": ("x", lambda s: fastbp.MulLayer().forward(s, x)),
    "AddLayer": ("y", lambda s: fastbp.AddLayer().forward(x, s)),
    "softmax": ("x", lambda s: functions.softmax(s)),
    "sigmoid": ("x", lambda s: functions.sigmoid(s)),
    "cross_entropy_error": ("y", lambda s: functions.cross_entropy_error(s, t)),
    "numerical_gradient": ("x", lambda s: fastbp.numerical_gradient(np.sum, s)),
    "loss": ("x", lambda s: network().loss(s, t)),
    "gradient": ("x", lambda s: network().gradient(s, t)),
    "predict": ("x", lambda s: network().predict(s)),
}


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_matrix"])
def test_the_error_says_what_takes_it(case: str, kind: str, scipy_sparse: Any) -> None:
    name, call = CALLS[case]
    with pytest.raises(TypeError) as caught:
        call(getattr(scipy_sparse, kind)(x))
    said = str(caught.value)
    assert said.startswith(f"{name} is a sparse matrix ({kind}), expected an array: pass {name}.toarray()")
    assert "fastbp.predict" in said
    assert "run of fastbp.compile(" in said


def test_what_the_error_names_takes_it(scipy_sparse: Any) -> None:
    sparse, net = scipy_sparse.csr_matrix(x), network()
    np.testing.assert_allclose(fastbp.predict(net, sparse), net.predict(sparse.toarray()), rtol=1e-12)
    assert len(fastbp.compile(net, fastbp.SGD()).run(sparse, t, [[0, 1]])) == 1
