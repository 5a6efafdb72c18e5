"""The loss of a network in which one element of one parameter is another: by the network itself, or by its chain."""

from inspect import signature
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastbp.chain import Chain, NotCompilable
from fastbp.gradient import STEP

Array = NDArray[Any]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# What layers keep of the side of a kink on which each element was: ReLU's mask, the place of pooling's maximum.
SWITCHES = ("mask", "arg_max")


class Losses(Protocol):
    """Losses of a network beside a point. `where` are places in the flattened parameter, each changed alone."""

    params: dict[str, Array]
    freezes: bool  # whether it can hold activations to the side of their kink on which they are

    def at(self, name: str, where: Indices, steps: Floats, frozen: bool = False) -> Floats:
        """The losses with each of these elements of a parameter a step higher."""

    def switched(self, name: str, where: Indices, low: float, high: float) -> Indices:
        """How many activations are on the other side of their kink at `high` than at `low`."""


def slopes(
    losses: Losses, name: str, where: Indices, low: float = -STEP, high: float = STEP, frozen: bool = False
) -> Floats:
    """(loss(p + high) − loss(p + low)) / (high − low) for each of these elements p; NaN where p can't hold the step."""
    below, above = (taken(losses.params[name], where, step) for step in (low, high))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        difference = losses.at(name, where, above, frozen) - losses.at(name, where, below, frozen)
        return np.asarray(np.where(above == below, np.nan, difference / (above - below)))


def taken(parameter: Array, where: Indices, step: float) -> Floats:
    """The step that float64 elements can hold, where one was meant: another one beside elements above a million."""
    values = parameter.ravel()[where]
    return np.asarray((values + step) - values)


class Draws:
    """The state of the random numbers that a network's layers draw: NumPy's own, and that of their generators."""

    def __init__(self, network: Any) -> None:
        self._global = np.random.get_state()
        found = (getattr(layer, "rng", None) for layer in Chain(network).layers)
        self._own = [(rng, rng.bit_generator.state) for rng in found if isinstance(rng, np.random.Generator)]

    def restore(self) -> None:
        """What is drawn next is what was drawn when this was made."""
        np.random.set_state(self._global)
        for rng, state in self._own:
            rng.bit_generator.state = state


def _takes_flag(function: Any) -> bool:
    """Whether a function has an argument `train_flg`; not for one that can't be asked."""
    try:
        return "train_flg" in signature(function).parameters
    except (TypeError, ValueError):
        return False


class NetworkLosses:
    """By the network's own `loss`, a call each; in training, as its gradient is, where `loss` takes a `train_flg`.

    Then each call draws the same random numbers, so that dropout keeps the same ones.
    """

    freezes = False

    def __init__(self, network: Any, x: Array, t: Any) -> None:
        self.network, self.x, self.t = network, x, t
        self.params: dict[str, Array] = network.params
        self._switches: list[tuple[Any, str]] | None = None
        self.draws = Draws(network) if _takes_flag(network.loss) else None

    def here(self) -> float:
        """The loss of the network as it is."""
        if self.draws is None:
            return float(self.network.loss(self.x, self.t))
        self.draws.restore()
        return float(self.network.loss(self.x, self.t, train_flg=True))

    def at(self, name: str, where: Indices, steps: Floats, frozen: bool = False) -> Floats:
        return np.array([self._loss(name, place, step) for place, step in zip(where, steps, strict=True)], np.float64)

    def switched(self, name: str, where: Indices, low: float, high: float) -> Indices:
        counts = np.zeros(where.size, np.intp)
        for n, place in enumerate(where):
            sides = [self._sides(name, place, step) for step in (low, high)]
            counts[n] = sum(np.sum(below != above) for below, above in zip(*sides, strict=True))
        return counts

    def _loss(self, name: str, place: np.intp, step: float) -> float:
        parameter = self.params[name]
        index = np.unravel_index(place, parameter.shape)
        kept = parameter[index]
        try:
            parameter[index] = kept + step
            return self.here()
        finally:
            parameter[index] = kept

    def _sides(self, name: str, place: np.intp, step: float) -> list[Array]:
        """The switches after a forward pass with one element a step higher."""
        self._loss(name, place, step)
        if self._switches is None:
            places = Chain(self.network).places
            self._switches = [(place.owner, place.key) for place in places if place.key in SWITCHES]
        return [np.array(getattr(owner, key)) for owner, key in self._switches]


def losses_of(own: NetworkLosses) -> Losses:
    """By the chain where the network's loss is proved to be that, else by the network."""
    from fastbp.gradcheck.chain_losses import ChainLosses

    try:
        return ChainLosses(own.network, own.x, own.t)
    except NotCompilable:
        return own


def gradient_of(losses: Losses, name: str) -> Floats:
    """The gradient of a parameter, by central differences."""
    shape = losses.params[name].shape
    return slopes(losses, name, np.arange(losses.params[name].size)).reshape(shape)
