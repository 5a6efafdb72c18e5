"""Losses beside a point, of a chain of layers: only what a changed parameter changes is computed.

A layer's parameter changes one column of its output: W[i, j] of an affine layer adds step · x[:, i] to column j. Layers
that work element by element keep it one column; the next affine layer makes of it a product of that column and a row of
its weights, added to the output that it had; from there on all rows of many perturbations pass through the layers at
once. A perturbation that changes nothing, as that of the weights of a blank pixel does, has the loss that was there.

It stands in for `network.loss` only where that is proved to be the loss of the chain (`engine/proof/`).
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import layers, originals
from fastbp.boundary import arrays
from fastbp.boundary.labels import targets
from fastbp.chain import Chain, NotCompilable
from fastbp.engine.operations import held_in
from fastbp.engine.proof import prove
from fastbp.engine.recognition import bind, operations_of, read, says
from fastbp.layers.compiled import Compiled
from fastbp.reads import Reads

Array = NDArray[Any]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Numbers that are under way at once, in one array: a quarter of a megabyte, so that it and those made of it stay in the
# second-level cache.
CHUNK = 1 << 15


class ChainLosses:
    """The losses of a network in float64, with samples x and labels t.

    NotCompilable where the network's own `loss` has to be asked.
    """

    freezes = True

    def __init__(self, network: Any, x: Array, t: Any) -> None:
        chain, self._held, self._decay = _proved(network)
        self.params: dict[str, Array] = network.params
        self._layers = [copy.copy(layer) for layer in chain.layers]
        rows = x[None] if x.ndim == 1 else x.reshape(len(x), -1)
        self._inputs = [rows]  # of each layer, and the scores
        for layer in self._layers:
            self._inputs.append(layer.forward(self._inputs[-1]))
        scores = self._inputs[-1][0] if x.ndim == 1 else self._inputs[-1]
        copy.copy(chain.loss).forward(scores, t)  # which refuses what are no labels
        self._loss = SoftmaxLosses(t, scores.shape, chain.loss.eps)
        self._here = float(self._loss(self._inputs[-1][None])[0])
        if not (np.isfinite(self._here) and all(np.isfinite(each).all() for each in self._inputs)):
            raise NotCompilable("the loss is not finite")
        self._squares = sum(float(np.sum(np.square(p))) for p in self.params.values() if p.ndim == 2 and self._decay)

    def at(self, name: str, where: Indices, steps: Floats, frozen: bool = False) -> Floats:
        place, key = self._held[name]
        losses = np.full(where.size, self._here)
        for some in _chunks(np.arange(where.size), len(self._inputs[0])):
            column = self._changed_column(place, key, where[some], steps[some])
            below = self._columnwise(place + 1, column, frozen)
            changed = np.flatnonzero((column.values - self._inputs[below].T[column.j]).any(axis=1))
            for few in _chunks(changed, self._numbers_from(below)):
                losses[some[few]] = self._loss(self._scores(below, column[few], frozen))
        if self._decay and self.params[name].ndim == 2:
            losses += 0.5 * self._decay * steps * (2 * self.params[name].ravel()[where] + steps)
        return losses + 0.5 * self._decay * self._squares

    def switched(self, name: str, where: Indices, low: float, high: float) -> Indices:
        place, key = self._held[name]
        counts = np.zeros(where.size, np.intp)
        for some in _chunks(np.arange(where.size), self._numbers_from(place + 1)):
            sides: list[list[Any]] = [[], []]
            for step, masks in zip((low, high), sides, strict=True):
                column = self._changed_column(place, key, where[some], np.full(some.size, step))
                self._scores(self._columnwise(place + 1, column, masks=masks), column, masks=masks)
            for below, above in zip(*sides, strict=True):
                counts[some] += np.sum(below != above, axis=tuple(range(1, below.ndim)))
        return counts

    def _numbers_from(self, place: int) -> int:
        """The most that one perturbation makes of them, from a layer on."""
        return max(each.size for each in self._inputs[place:])

    def _changed_column(self, place: int, key: str, where: Indices, steps: Floats) -> "_Columns":
        """The column of a layer's output that each perturbation changes."""
        columns = self._inputs[place + 1].shape[1]
        j, step = where % columns, steps[:, None]
        values = self._inputs[place + 1].T[j]
        values += step * self._inputs[place].T[where // columns] if key == "W" else step
        return _Columns(j, values)

    def _columnwise(self, place: int, column: "_Columns", frozen: bool = False, masks: list[Any] | None = None) -> int:
        """Through the layers that leave a changed column one, from `place` on; the layer above them."""
        while place < len(self._layers) and not isinstance(self._layers[place], layers.Affine):
            column.values = self._elementwise(place, column.values, column.j, frozen, masks)
            place += 1
        return place

    def _scores(self, place: int, column: "_Columns", frozen: bool = False, masks: list[Any] | None = None) -> Floats:
        """The scores (K, N, classes) where one column of the input of a layer is another."""
        if place == len(self._layers):
            scores = np.repeat(self._inputs[place][None], column.j.size, axis=0)
            scores[np.arange(column.j.size), :, column.j] = column.values
            return scores
        changes = column.values - self._inputs[place].T[column.j]
        rows = changes[:, :, None] * self._layers[place].W[column.j][:, None, :]
        rows += self._inputs[place + 1]
        K, N, _ = rows.shape
        for above in range(place + 1, len(self._layers)):
            if isinstance(self._layers[above], layers.Affine):
                rows = copy.copy(self._layers[above]).forward(rows.reshape(K * N, -1)).reshape(K, N, -1)
            else:
                rows = self._elementwise(above, rows, None, frozen, masks)
        return np.asarray(rows)

    def _elementwise(
        self, place: int, values: Floats, j: Indices | None, frozen: bool, masks: list[Any] | None
    ) -> Floats:
        """A layer's output for columns j (K, N), or for rows (K, N, width)."""
        layer = copy.copy(self._layers[place])
        if not isinstance(layer, layers.Relu):
            return np.asarray(layer.forward(values))
        if frozen:
            mask: Any = layer.mask
            return np.where(mask if j is None else mask.T[j], 0.0, values)
        out = layer.forward(values)
        if masks is not None:
            masks.append(layer.mask)
        return np.asarray(out)


@dataclass
class _Columns:
    """For each of K perturbations: which column it changes, and what that is, (K, N)."""

    j: Indices
    values: Floats

    def __getitem__(self, few: Indices) -> "_Columns":
        return _Columns(self.j[few], self.values[few])


class SoftmaxLosses:
    """The losses (K,) of scores (K, N, classes) beside labels t: of softmax and cross-entropy, as the layer has it."""

    def __init__(self, t: Any, shape: tuple[int, ...], eps: float) -> None:
        labels, self._eps = targets(t, shape, arrays.FLOAT64), eps
        self._indices = labels if labels.ndim == 1 else None
        self._probabilities = labels.T[:, None]

    def __call__(self, scores: Floats) -> Floats:
        K, N, classes = scores.shape
        # Classes come first: sums over ten numbers that lie side by side take 28 ms of 39,760 parameters' 50.
        shifted = np.array(scores.reshape(K * N, classes).T, order="C").reshape(classes, K, N)
        shifted -= shifted.max(axis=0)
        powers = np.exp(shifted)
        total = powers.sum(axis=0)
        if self._indices is not None:
            if not self._eps:
                return np.asarray(np.mean(np.log(total) - self._meant(shifted), axis=1))
            return np.asarray(-np.mean(np.log(self._meant(powers) / total + self._eps), axis=1))
        log_y = np.log(powers / total + self._eps) if self._eps else shifted - np.log(total)
        # A class that isn't meant costs nothing, even where log_y is -inf.
        costs = self._probabilities * np.where(self._probabilities == 0, 0, log_y)
        return np.asarray(-np.sum(costs, axis=(0, 2)) / N)

    def _meant(self, values: Floats) -> Floats:
        """The value of the class that its label names, of each row (K, N)."""
        return np.asarray(values[self._indices, :, np.arange(values.shape[2])].T)


def _proved(network: Any) -> tuple[Chain, dict[str, tuple[int, str]], float]:
    """The chain that the network's `loss` is, the place of the layer and the key of each parameter, and λ."""
    reads = Reads()
    chain = read(network, reads)
    operations = operations_of(chain, reads)
    known = [isinstance(layer, layers.Affine) or _keeps_columns(layer) for layer in chain.layers]
    unknown = [type(layer).__name__ for layer, is_known in zip(chain.layers, known, strict=True) if not is_known]
    if unknown or not isinstance(chain.loss, layers.SoftmaxWithLoss):
        raise NotCompilable(f"what a change makes of {[*unknown, type(chain.loss).__name__][0]} is not known")
    bind(chain, operations, reads)
    held = held_in(operations)
    decays = prove(chain, ("loss",), held, reads)
    if "loss" not in decays:
        raise NotCompilable(f"{chain.name} has no loss")
    place = {id(layer): n for n, layer in enumerate(chain.layers)}
    return chain, {name: (place[id(layer)], key) for layer, key, name in held}, decays["loss"]


def _chunks(where: Indices, numbers: int) -> list[Indices]:
    """Pieces of so many that they make a `CHUNK` of numbers, each of them `numbers`."""
    length = max(1, CHUNK // numbers)
    return [where[start : start + length] for start in range(0, where.size, length)]


def _keeps_columns(layer: Any) -> bool:
    """Whether a changed column stays one: in the library's layers that work element by element.

    Of those that keep a mask, as they have a kink, only in ReLU: what it does with a frozen mask is known here.
    """
    cls = originals.original_class(type(layer))
    if cls is None or not says(cls, Compiled):
        return False
    compiled: Compiled = vars(cls)["compiled"]
    return cls is layers.Relu or (compiled.is_elementwise and not compiled.keeps)
