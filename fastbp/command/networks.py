"""The networks of `fastbp train` and `fastbp evaluate`: made for a data set, and known again by what was saved."""

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from fastbp.lazy import names


class Architecture(StrEnum):
    two_layer = "two-layer"
    multi_layer = "multi-layer"
    simple_conv = "simple-conv"
    deep_conv = "deep-conv"


# The list of optimizers stands in one place.
_NAMES = {name.lower(): name.lower() for name in names("fastbp.optimizers") if name != "Optimizer"}
OptimizerName: Any = StrEnum("OptimizerName", _NAMES)  # type: ignore[misc]  # names that mypy can't read
HIDDEN = {"two-layer": (50,), "multi-layer": (100, 100, 100), "simple-conv": (100,), "deep-conv": (50,)}
RATES = {"sgd": 0.1, "adam": 0.001}  # 0.01 for the others, as in the book


OTHER_DATA = "--data names the data that it was trained on"


def sizes(text: str) -> tuple[int, ...]:
    """`--hidden 100,50` as numbers. A usage error for anything else."""
    found = [part.strip() for part in str(text).split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in found):
        raise typer.BadParameter(f"{text!r} is no size of a layer, such as 50, nor several, such as 100,50.")
    return tuple(map(int, found))


def number(text: str) -> float:
    """`--lr 0.1` as a number. A usage error for anything else."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number.") from None


def default_optimizer(architecture: Architecture, lr: float | None) -> str:
    """The name of the optimizer where none is given: SGD, for a rate that is given too.

    DeepConvNet learns by Adam: on the digits it has an accuracy of 0.91 to 0.93 after six epochs, by SGD of 0.52 to
    0.72 (three seeds).
    """
    return "adam" if architecture is Architecture.deep_conv and lr is None else "sgd"


def make_network(
    architecture: Architecture, image: Sequence[int], hidden: tuple[int, ...] | None, classes: int, dtype: str, rng: Any
) -> Any:
    """A network for images of shape (C, H, W), from He's initial weights (the book's section 6.2.3).

    ValueError for several hidden layers where the architecture has one.
    """
    from fastbp import networks

    hidden, features = hidden or HIDDEN[architecture.value], math.prod(image)
    if architecture is Architecture.multi_layer:
        return networks.MultiLayerNet(features, hidden, classes, dtype=dtype, rng=rng)
    if len(hidden) > 1:
        given, has = ",".join(map(str, hidden)), f"{architecture.value} has one hidden layer"
        raise ValueError(f"--hidden {given}: {has}, several need --network multi-layer")
    if architecture is Architecture.two_layer:
        # On the digits 0.974 on average, over 12 splits, instead of the 0.963 that chapter 5's 0.01 gives.
        return networks.TwoLayerNet(features, hidden[0], classes, math.sqrt(2 / features), dtype=dtype, rng=rng)
    if architecture is Architecture.deep_conv:
        return networks.DeepConvNet(image, hidden_size=hidden[0], output_size=classes, dtype=dtype, rng=rng)
    network = networks.SimpleConvNet(image, None, hidden[0], classes, 1.0, dtype=dtype, rng=rng)
    for W in (network.params[name] for name in ("W1", "W2", "W3")):  # with the book's 0.01 SGD stays where it is
        W *= math.sqrt(2 / math.prod(W.shape[1:] if W.ndim == 4 else W.shape[:1]))
    return network


def takes_images(network: Any) -> bool:
    """Whether samples are (N, C, H, W), else (N, features)."""
    return bool(network.params["W1"].ndim == 4)


def saved_network(file: Path, image: tuple[int, ...], largest: int) -> Any:
    """The network whose parameters a file holds, for images of shape (C, H, W) and labels up to the largest.

    Names and shapes tell which it is. ValueError for parameters of no such network, or of one for other data.
    """
    from fastbp.networks import load_params

    params = load_params(file)
    shapes = {name: value.shape for name, value in params.items()}
    is_single = "W1" in params and params["W1"].dtype.itemsize == 4
    network = _unfilled(file, shapes, image, "float32" if is_single else "float64")
    load_params(file, network)
    classes = network.params[f"b{len(shapes) // 2}"].size
    if classes <= largest:
        raise ValueError(f"{file} has {classes} classes, but the data labels up to {largest}: {OTHER_DATA}")
    return network


def _unfilled(file: Path, shapes: dict[str, tuple[int, ...]], image: tuple[int, ...], dtype: str) -> Any:
    """A network with parameters of these shapes."""
    from fastbp import networks

    count, features = len(shapes) // 2, math.prod(image)
    W = [shapes.get(f"W{n}", ()) for n in range(1, count + 1)]
    dimensions = [len(shape) for shape in W]
    if count < 2 or set(shapes) != {f"{letter}{n}" for letter in "Wb" for n in range(1, count + 1)}:
        dimensions = []
    if dimensions and dimensions == [2] * count:
        if W[0][0] != features:
            raise ValueError(f"{file} takes {W[0][0]} features a sample, but the data has {features}: {OTHER_DATA}")
        return networks.MultiLayerNet(features, [shape[1] for shape in W[:-1]], W[-1][1], dtype=dtype)
    if dimensions == [4, 2, 2]:
        param = {"filter_num": W[0][0], "filter_size": W[0][2], "pad": 0, "stride": 1}
        network: Any = networks.SimpleConvNet(image, param, W[1][1], W[2][1], dtype=dtype)
    elif dimensions == [4] * 6 + [2] * 2:
        network = networks.DeepConvNet(image, hidden_size=W[6][1], output_size=W[7][1], dtype=dtype)
    else:
        raise ValueError(f"{file} holds no network of `fastbp train`: expected W1, b1, W2, b2 and so on, got {shapes}")
    if network.params[f"W{count - 1}"].shape != W[count - 2]:
        raise ValueError(f"{file} takes images of another size than the data's, {image[1]} x {image[2]}: {OTHER_DATA}")
    return network
