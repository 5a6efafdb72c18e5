"""The systems that training is compared with, a file each, with one interface.

Each file has a class `Peer`:

- `Peer.name`: what the tables call it. `Peer.missing(optimizer)`: why it can't run here, or nothing when it can.
- `Peer(job)`: a network of affine layers with ReLU between them and a softmax loss, for what a `Job` says. Nothing of
  it is changed.
- `run(order)`: a step for each row of order (steps, batch), whose elements are indices of samples: gathers the batch,
  forward, backward, update. Returns the losses (steps,) before each update. All of this is timed.
- `reset()`: the initial weights again, and an optimizer that has seen nothing. Not timed.
- `version()`: the library's name and version.
- `Peer.whole_epochs`, where it is there and true: a turn is an epoch and not a time.

The libraries are imported by `Peer(...)`, in a process that may use as many cores as there are threads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

# In the order of the tables: the modules of this folder.
NAMES = (
    "fastbp_dense",
    "fastbp_sparse",
    "fastbp_bytes",
    "fastbp_layers",
    "jax_scan",
    "torch_compiled",
    "torch_eager",
    "scikit_learn",
    "numpy_layers",
)
PROBE = "multiply_add"  # the processor's limit; it takes its turns as the peers do

RATES = {"SGD": 0.1, "Adam": 0.001}
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7  # the book's Adam, section 6.1.6

Params = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Job:
    """A network and the data it is to be trained on."""

    sizes: tuple[int, ...]  # its widths: 784, 50, 10 for instance
    batch: int
    optimizer: str  # "SGD" or "Adam", with RATES
    threads: int
    params: Params  # the initial W1 (in, out), b1 (out,), W2, ... in float32
    x: NDArray[Any]  # (samples, sizes[0]), float32: the whole training set
    t: NDArray[Any]  # (samples,), class indices


def peer_class(module: str) -> Any:
    """The class of one of NAMES, or of PROBE."""
    return import_module(f"peers.{module}").Peer


def needs(*packages: str) -> Callable[[str], str]:
    """A `missing` that asks for packages only."""

    def missing(optimizer: str) -> str:
        absent = [package for package in packages if find_spec(package) is None]
        return f"{', '.join(absent)} not installed" if absent else ""

    return missing


def initial_params(sizes: tuple[int, ...], seed: int = 0) -> Params:
    """He's initial weights in float32, biases of zero."""
    rng = np.random.default_rng(seed)
    params: Params = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        params[f"W{i}"] = (np.sqrt(2 / inputs) * rng.standard_normal((inputs, outputs))).astype(np.float32)
        params[f"b{i}"] = np.zeros(outputs, np.float32)
    return params


def pairs(params: Params) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """W and b, layer by layer."""
    for i in range(1, len(params) // 2 + 1):
        yield params[f"W{i}"], params[f"b{i}"]
