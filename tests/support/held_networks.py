"""Networks whose layers hold parameters in other ways: views, blocks, lists, dicts."""

from typing import Any

import numpy as np

from fastbp import Affine, Relu, Sigmoid, SoftmaxWithLoss

RNG = np.random.default_rng(71)
X, T = RNG.random((4, 8)), np.array([0, 2, 1, 2])


class Squared:
    """½·Σ(y − t)²/N."""

    def forward(self, y: Any, t: Any) -> Any:
        self.y, self.t = y, t
        return 0.5 * np.sum((y - t) ** 2) / len(y)

    def backward(self, dout: Any = 1) -> Any:
        return (self.y - self.t) / len(self.y)


class Chain:
    """A network with `loss`; subclasses have layers, parameters and a gradient. `right` plants a mistake."""

    def __init__(self, right: bool = True, dtype: str = "float64") -> None:
        self.right, self.last_layer = right, SoftmaxWithLoss()
        self.build(np.random.default_rng(72), dtype)

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values() if isinstance(self.layers, dict) else self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        return self.last_layer.forward(self.predict(x), t)

    def backward(self, x: Any, t: Any) -> None:
        self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(list(self.layers.values() if isinstance(self.layers, dict) else self.layers)):
            dout = layer.backward(dout)


class Tied(Chain):
    """An autoencoder: its decoder uses the encoder's matrix, transposed."""

    def build(self, rng: Any, dtype: str) -> None:
        W, b, c = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 3), 3, 8))
        self.params = {"W": W, "b": b, "c": c}
        self.layers = {"encoder": Affine(W, b), "sigmoid": Sigmoid(), "decoder": Affine(W.T, c)}
        self.last_layer = Squared()

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        encoder, decoder = self.layers["encoder"], self.layers["decoder"]
        return {"W": encoder.dW + (decoder.dW.T if self.right else 0), "b": encoder.db, "c": decoder.db}


class Shared(Chain):
    """Two layers with one matrix."""

    def build(self, rng: Any, dtype: str) -> None:
        W, b, V = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 8), 8, (8, 3)))
        self.params = {"W": W, "b": b, "V": V}
        self.layers = [Affine(W, b), Relu(), Affine(W, b), Affine(V, np.zeros(3, dtype))]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        first, _, second, last = self.layers
        both = (first.dW + second.dW, first.db + second.db) if self.right else (first.dW, first.db)
        return {"W": both[0], "b": both[1], "V": last.dW}


class Sliced(Chain):
    """One matrix of which two layers use parts; and its rows as another shape."""

    def build(self, rng: Any, dtype: str) -> None:
        W = rng.standard_normal((8, 8)).astype(dtype)
        self.params = {"W": W}
        zeros = [np.zeros(n, dtype) for n in (5, 3)]
        self.layers = [Affine(W[:, :5], zeros[0]), Sigmoid(), Affine(W[3:, 5:], zeros[1])]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        dW = np.zeros_like(self.params["W"], dtype=self.layers[0].dW.dtype)
        dW[:, :5] = self.layers[0].dW
        dW[3:, 5:] = self.layers[2].dW * (1 if self.right else 1.01)
        return {"W": dW}


class Flat(Chain):
    """All parameters are views of one vector, which is a parameter too where `whole` says so."""

    def build(self, rng: Any, dtype: str) -> None:
        self.flat = rng.standard_normal(8 * 5 + 5 + 5 * 3 + 3).astype(dtype)
        W1, b1, W2, b2 = np.split(self.flat, [40, 45, 60])
        self.params = {"W1": W1.reshape(8, 5), "b1": b1, "W2": W2.reshape(5, 3), "b2": b2}
        self.layers = [Affine(self.params["W1"], b1), Relu(), Affine(W2.reshape(5, 3)[:], b2)]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        first, _, second = self.layers
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db * (1 if self.right else 0.99)}


class Residual:
    """x + relu(x @ W + b) @ V: a block with layers inside."""

    def __init__(self, W: Any, b: Any, V: Any) -> None:
        self.inner = [Affine(W, b), Relu()]
        self.parts = {"out": Affine(V, np.zeros(V.shape[1], V.dtype))}

    def forward(self, x: Any) -> Any:
        return x + self.parts["out"].forward(self.inner[1].forward(self.inner[0].forward(x)))

    def backward(self, dout: Any) -> Any:
        return dout + self.inner[0].backward(self.inner[1].backward(self.parts["out"].backward(dout)))


class Blocks(Chain):
    def build(self, rng: Any, dtype: str) -> None:
        W, b, V, U = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 6), 6, (6, 8), (8, 3)))
        self.params = {"W": W, "b": b, "V": V, "U": U}
        self.layers = {"block": Residual(W, b, V), "out": Affine(U, np.zeros(3, dtype))}

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        block = self.layers["block"]
        dV = block.parts["out"].dW if self.right else block.parts["out"].dW * 0.5
        return {"W": block.inner[0].dW, "b": block.inner[0].db, "V": dV, "U": self.layers["out"].dW}


class MatMul:
    """A layer of the second book: its parameters and gradients are lists."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x: Any) -> Any:
        self.x = x
        W, b = self.params
        return x @ W + b

    def backward(self, dout: Any) -> Any:
        self.grads[0], self.grads[1] = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.params[0].T


class SecondBook(Chain):
    def build(self, rng: Any, dtype: str) -> None:
        W, b, V, c = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 5), 5, (5, 3), 3))
        self.params = {"W": W, "b": b, "V": V, "c": c}
        self.layers = [MatMul(W, b), Sigmoid(), MatMul(V, c)]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        (dW, db), (dV, dc) = self.layers[0].grads, self.layers[2].grads
        return {"W": dW, "b": db, "V": dV, "c": dc if self.right else dc + 0.1}


class WithoutLayers(Chain):
    """The book's chapter 4: it computes with its parameters."""

    def build(self, rng: Any, dtype: str) -> None:
        self.params = {"W": rng.standard_normal((8, 3)).astype(dtype)}
        self.layers: Any = []

    def predict(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"]

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        return {"W": self.x.T @ self.last_layer.backward() * (1 if self.right else 1.1)}


class Holder:
    """A layer that holds the whole dict of parameters, and a network's."""

    def __init__(self, params: Any, network: Any) -> None:
        self.params, self.network = params, network

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"]

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return dout @ self.network.params["W"].T


class ByDict(Chain):
    def build(self, rng: Any, dtype: str) -> None:
        self.params = {"W": rng.standard_normal((8, 3)).astype(dtype)}
        self.layers = [Holder(self.params, self)]

    def gradient(self, x: Any, t: Any) -> Any:
        self.backward(x, t)
        return {"W": self.layers[0].dW * (1 if self.right else -1)}


NETWORKS: list[type[Chain]] = [Tied, Shared, Sliced, Flat, Blocks, SecondBook, WithoutLayers, ByDict]


def labels(network: Any) -> Any:
    return X if isinstance(network, Tied) else T
