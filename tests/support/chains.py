"""Networks of any chain of layers for the tests of `fastbp.compile`, and what those compare."""

import copy
from typing import Any

import numpy as np
from book_steps import OTHERS
from nets import same_bits
from numba import config

import fastbp
from fastbp import Affine, Relu, Sigmoid, SoftmaxWithLoss
from fastbp.engine import TrainingStep
from fastbp.engine.layer_step import LayerStep

COMPILES = not config.DISABLE_JIT  # as Python, the loop is too slow for most of its tests
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

# An optimizer of each class with numbers of its own, whose steps are large enough to be seen.
RATES = {"SGD": 0.1, "Momentum": 0.05, "Nesterov": 0.05, "AdaGrad": 0.05, "RMSprop": 0.01, "Adam": 0.01}
OPTIMIZERS = {name: {**OTHERS[name][0], "lr": rate} for name, rate in RATES.items()}


class Chain:
    """A network as users write one: `layers` and a loss, `params`, `predict`; no loss or gradient of its own."""

    def __init__(self, layers: Any, params: dict[str, np.ndarray], loss: Any, loss_name: str = "last_layer") -> None:
        self.layers, self.params = layers, params
        setattr(self, loss_name, loss)

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values() if isinstance(self.layers, dict) else self.layers:
            x = layer.forward(x)
        return x


def chain(
    kinds: str,
    widths: tuple[int, ...],
    dtype: str = "float64",
    *,
    seed: int = 91,
    eps: float = 0.0,
    as_dict: bool = False,
    loss_name: str = "last_layer",
    decay: float = 0.0,
) -> Chain:
    """Layers by their letters: A(ffine), R(elu), S(igmoid); `widths` are those of the data and of each affine layer."""
    assert kinds.count("A") == len(widths) - 1
    rng, params, layers = np.random.default_rng(seed), {}, []
    for kind in kinds:
        if kind == "A":
            n = len(params) // 2 + 1
            D, M = widths[n - 1 : n + 1]
            W = params[f"W{n}"] = (rng.standard_normal((D, M)) * (2 / D) ** 0.5).astype(dtype)
            b = params[f"b{n}"] = (0.1 * rng.standard_normal(M)).astype(dtype)
            layers.append(Affine(W, b))
        else:
            layers.append(Relu() if kind == "R" else Sigmoid())
    held: Any = {f"layer{i}": layer for i, layer in enumerate(layers)} if as_dict else layers
    network = Chain(held, params, SoftmaxWithLoss(eps), loss_name)
    if decay:
        network.weight_decay_lambda = decay
    return network


def data(samples: int, features: int, classes: int, dtype: str = "float64", seed: int = 92) -> tuple[Any, Any]:
    """Samples and class indices."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, features)).astype(dtype), rng.integers(0, classes, samples)


def zeros_mostly(samples: int, features: int, dtype: str = "float64", share: float = 0.1, seed: int = 93) -> Any:
    """Samples with so many non-zeros; one without any, and one that has no zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, features)) * (rng.random((samples, features)) < share)
    x[0], x[-1] = 0, rng.random(features) + 0.5
    return x.astype(dtype)


def optimizer(name: str = "SGD") -> Any:
    return getattr(fastbp, name)(**OPTIMIZERS[name])


def compiled(network: Any, steps: Any) -> TrainingStep:
    step = fastbp.compile(network, steps, strict=True)
    assert step.compiled
    return step


def by_layers(network: Any, steps: Any) -> LayerStep:
    """The same steps by the layers' own methods."""
    return LayerStep(network, steps)


def batches(samples: int, steps: int, batch: int, seed: int = 94) -> np.ndarray:
    """An order with repeated samples."""
    return np.random.default_rng(seed).integers(0, samples, (steps, batch))


def arrays_of(steps: Any) -> dict[str, np.ndarray]:
    """The arrays of an optimizer's state, by attribute and parameter."""
    names = [name for name in steps.state_names if getattr(steps, name) is not None]
    return {f"{name} of {key}": array for name in names for key, array in getattr(steps, name).items()}


class Unchanged:
    """A block that must leave a network and its optimizer as they are, to the last bit."""

    def __init__(self, network: Any, steps: Any) -> None:
        self.network, self.steps = network, steps

    def __enter__(self) -> None:
        self.params = {name: array.copy() for name, array in self.network.params.items()}
        self.state, self.arrays = copy.deepcopy(vars(self.steps)), arrays_of(copy.deepcopy(self.steps))

    def __exit__(self, *_: object) -> None:
        same_bits(self.network.params, self.params)
        same_bits(arrays_of(self.steps), self.arrays)
        assert vars(self.steps).keys() == self.state.keys()
        assert getattr(self.steps, "iter", 0) == self.state.get("iter", 0)
