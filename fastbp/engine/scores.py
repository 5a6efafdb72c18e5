"""Scores of many samples, by the compiled loop's forward pass."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import _arrays
from fastbp.engine import team
from fastbp.engine.chain import NotCompilable, bind, chain_of
from fastbp.engine.data import KINDS, address, checked_scale
from fastbp.engine.workspace import Workspace
from fastbp.kernels import training

# Samples that pass through all layers before the next: their rows stay in the second-level cache. No chunk has fewer,
# unless there are no more: the order of a product's sums depends on whether it has a few rows or many.
CHUNK = 512


def predict(network: Any, x: ArrayLike, *, scale: float = 1.0) -> NDArray[Any]:
    """The scores (N, classes) of samples x (N, D), before softmax, or (classes,) of a single sample.

    x may be float32, float64 or, with `scale` to multiply it with, uint8. In compiled code where `fastbp.compile`
    can run the network, else by `network.predict`. ValueError and TypeError when x doesn't fit.
    """
    scale = checked_scale(scale)
    try:
        operations, _ = chain_of(network)
        dtype, _ = bind(network, operations)
    except NotCompilable:
        array = _arrays.real_array(x, "x")
        return np.asarray(network.predict(array if scale == 1 else array * scale))
    features = operations[0].inputs
    rows = _rows(x, features, dtype)
    single = np.ndim(x) == 1
    flops = 2.0 * sum(o.inputs * o.outputs for o in operations if o.affine is not None)
    n = team.threads_for(flops * len(rows))
    parts = max(1, len(rows) // (CHUNK * n))
    borders = [len(rows) * part // parts for part in range(parts + 1)]
    chunk = -(-len(rows) // parts)
    work = Workspace(operations, dtype, chunk, learns=False)
    work.point_at(network.params, None)
    scores = np.empty((len(rows), operations[-1].outputs), dtype)
    in_place = rows.dtype == dtype and scale == 1
    table, settings = np.zeros(8, np.int64), np.array([scale, 0.0, 0.0, 0.0, 0.0])
    table[training.KIND] = training.IN_PLACE if in_place else KINDS[rows.dtype.name]
    table[training.FEATURES], scratch = features, work.scratch(n)
    order, one, rates = np.arange(chunk, dtype=np.int64)[None], np.empty(1), np.zeros(1)
    for start, end in pairwise(borders):
        table[training.ADDRESS] = address(rows[start:])
        if in_place:
            work.plan[0, training.X] = address(rows[start:])
        work.plan[-1, training.OUT] = address(scores[start:])
        team.run(
            training.train,
            n,
            _nothing,
            work.plan,
            table,
            work.batch,
            settings,
            training.NOTHING,
            rates,
            order[:, : end - start],
            work.costs,
            work.cursors(n),
            one,
            False,
            scratch,
        )
    return scores[0] if single else scores


def _rows(x: ArrayLike, features: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = _arrays.real_array(x, "x")
    count = 1 if array.ndim == 1 else len(array) if array.ndim else 0
    if array.ndim == 0 or array.size != count * features:
        raise ValueError(f"x must have {features} features a sample, got shape {array.shape}")
    array = array.reshape(count, features)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    return _arrays.kernel_array(array, _arrays.float_dtype(array, dtype))


def _nothing(steps: int) -> None:
    """A forward pass takes no steps."""
