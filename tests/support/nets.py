"""A small network, and what tests of networks compare."""

from typing import Any

import numpy as np

from fastbp import TwoLayerNet

NAMES = ("W1", "b1", "W2", "b2")
RNG = np.random.default_rng(61)
X = RNG.standard_normal((5, 6))
T = np.array([0, 2, 1, 2, 0])
LABELS = {"index": T, "column": T[:, None], "one-hot": np.eye(3)[T], "soft": RNG.random((5, 3))}


def net(seed: int = 62, **arguments: Any) -> TwoLayerNet:
    return TwoLayerNet(6, 4, 3, 0.5, rng=np.random.default_rng(seed), **arguments)


def holds_its_parameters(network: TwoLayerNet) -> bool:
    """`params[k] is layer.W`, for each of the four."""
    return all(network.params[name] is getattr(network.layers[f"Affine{name[1]}"], name[0]) for name in NAMES)


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert list(a) == list(b)
    for name, array in a.items():
        assert array.dtype == b[name].dtype, name
        assert array.tobytes() == b[name].tobytes(), name
