"""Steps of the training of the book's network, by fastbp, by NumPy's layers in a loop, and by PyTorch."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

import fastbp
from fastbp import reference
from fastbp.bench import pytorch
from fastbp.bench.results import Row
from fastbp.bench.timing import Contender

STEPS, BATCH, RATE = 20, 100, 0.1
IMAGES = 10_000  # 31 MB in float32: as MNIST's 60,000, they don't fit into a core's caches
ZEROS_SKIPPED = "Training, zeros skipped"

Params = dict[str, NDArray[Any]]


def training_contenders(row: Row) -> Iterator[Contender]:
    """One call is STEPS steps from the same initial weights and returns their losses; its work is images."""
    x, t = images(IMAGES, row.dtype)
    order = np.random.default_rng(1).permutation(IMAGES)[: STEPS * BATCH].reshape(STEPS, BATCH)
    initial = _network(row).params
    numpy = _numpy_loop(_network(row, layers=reference), initial, x, t, order)
    expected = numpy()
    made = {
        "fastbp": _compiled_loop(_network(row), initial, x, t, order, row.operation == ZEROS_SKIPPED),
        "NumPy": numpy,
    }
    if pytorch.installed():
        made["PyTorch"] = pytorch.training(initial, x, t, order, RATE)
    for name, call in made.items():
        yield Contender(name, call, STEPS * BATCH, expected=expected)


def images(count: int, dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Made-up images (count, 784) with as many zeros as MNIST's, four of five pixels, and labels.

    As in MNIST the margin of 4 pixels is empty, and pixels are whole numbers of 255ths; uint8 has the numbers.
    """
    rng = np.random.default_rng(0)
    pixels = np.zeros((count, 28, 28), np.uint8)
    middle = pixels[:, 4:24, 4:24]
    middle[...] = rng.integers(1, 256, middle.shape) * (rng.random(middle.shape, np.float32) < 0.375)
    x = pixels.reshape(count, 784)
    scaled = x if np.dtype(dtype) == np.uint8 else x.astype(dtype) / np.dtype(dtype).type(255)
    return scaled, rng.integers(0, 10, count)


def _network(row: Row, **options: Any) -> fastbp.TwoLayerNet:
    inputs, hidden, outputs = row.shape
    rng = np.random.default_rng(2)
    return fastbp.TwoLayerNet(inputs, hidden, outputs, 0.05, dtype=row.dtype, rng=rng, **options)


def _reset(params: Params, initial: Params) -> None:
    for name, parameter in params.items():
        parameter[...] = initial[name]


def _compiled_loop(
    network: fastbp.TwoLayerNet, initial: Params, x: Any, t: Any, order: Any, sparse: bool
) -> Callable[[], Any]:
    step = fastbp.compile(network, fastbp.SGD(lr=RATE))
    data: Any = step.prepare(x, t, sparse=sparse)

    def run() -> tuple[Any]:
        _reset(network.params, initial)
        return (step.run(data, order),)

    return run


def _numpy_loop(network: fastbp.TwoLayerNet, initial: Params, x: Any, t: Any, order: Any) -> Callable[[], Any]:
    """The book's loop (section 5.7.4); the loss comes from the forward pass that the gradient needs anyway."""

    def run() -> tuple[Any]:
        _reset(network.params, initial)
        losses = []
        for batch in order:
            loss, gradients = network.loss_and_gradient(x[batch], t[batch])
            losses.append(loss)
            for name, parameter in network.params.items():
                parameter -= RATE * gradients[name]
        return (np.array(losses),)

    return run
