"""Trainers on small data, and what they do written out by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from chains import zeros_mostly

from fastbp import SGD, Trainer

N, BATCH, EPOCHS = 40, 8, 3
T = np.random.default_rng(3).integers(0, 3, N)
SAMPLES: dict[str, Callable[[], Any]] = {
    "dense": lambda: np.random.default_rng(1).standard_normal((N, 6)),
    "compressed": lambda: zeros_mostly(N, 6, share=0.15),
    "compressed float32": lambda: zeros_mostly(N, 6, "float32", share=0.15),
    "bytes": lambda: np.random.default_rng(2).integers(0, 4, (N, 6)).astype(np.uint8),
    "float16": lambda: np.random.default_rng(1).standard_normal((N, 6)).astype(np.float16),
    "columns": lambda: np.asfortranarray(np.random.default_rng(1).standard_normal((N, 6))),
}


def trainer(network: Any, x: Any, t: Any, cls: Any = Trainer, **arguments: Any) -> Any:
    given = {"optimizer": SGD(0.1), "verbose": False, "rng": np.random.default_rng(6)} | arguments
    return cls(network, x, t, x, t, EPOCHS, BATCH, **given)


def by_hand(network: Any, x: Any, t: Any, change: Any = None, optimizer: Any = None) -> list[float]:
    """What a trainer does, by the network's own methods; `change(epoch, x, t)` is called after each epoch."""
    rng, losses, optimizer = np.random.default_rng(6), [], optimizer or SGD(0.1)
    for epoch in range(1, EPOCHS + 1):
        for batch in rng.permutation(N).reshape(-1, BATCH):
            losses.append(float(network.loss(x[batch], t[batch])))
            optimizer.update(network.params, network.gradient(x[batch], t[batch]))
        if change:
            change(epoch, x, t)
    return losses
