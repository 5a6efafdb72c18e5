"""Scores of many samples, by the compiled loop's forward pass."""

import math
from ctypes import addressof
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.boundary.arguments import finite
from fastbp.chain import Chain, NotCompilable
from fastbp.engine import launch
from fastbp.engine.addresses import address
from fastbp.engine.data import (
    NO_LABELS,
    Data,
    LayerData,
    dense_rows,
    prepare,
    samples_array,
    scaled,
)
from fastbp.engine.layer_step import layer_data
from fastbp.engine.operations import Operation, connect, held_in, make_ready, takes
from fastbp.engine.proof import prove
from fastbp.engine.recognition import bind, operations_of, read
from fastbp.engine.workspace import Workspace
from fastbp.reads import Reads

# Samples that pass through all layers before the next: their rows stay in the second-level cache. No chunk has fewer,
# unless there are no more: the order of a product's sums depends on whether it has a few rows or many.
CHUNK = 512


def predict(network: Any, x: ArrayLike | Data, *, scale: float = 1.0) -> NDArray[Any]:
    """The scores (N, classes), before softmax, of samples x, (N, D) or (N, C, H, W); (classes,) of a single one (D,).

    x may be float32, float64 or, with `scale` to multiply it with, uint8; a scipy.sparse matrix; or what `prepare` of
    a step made. In compiled code where `fastbp.compile` knows the layers and `network.predict`, if there is one, is
    proved to pass the samples through them, denormal numbers taken for 0; else by `network.predict`. ValueError and
    TypeError when x doesn't fit.
    """
    scale = finite(scale, "scale")
    if isinstance(x, Data | LayerData) and scale != 1:
        raise TypeError("prepared data have a scale of their own")
    try:
        reads = Reads()
        chain = read(network, reads)
        operations = operations_of(chain, reads)
        dtype, _ = bind(chain, operations, reads)
        prove(chain, ("predict",), held_in(operations), reads)
    except NotCompilable as error:
        return _by_methods(Chain(network), x, scale, error)
    if isinstance(x, LayerData):
        x = x.x
    taken = takes(operations, dtype, chain.loss)
    if isinstance(x, Data):
        x.check_fits(taken)
        return _scores(network, operations, x)
    if hasattr(x, "tocsr"):
        return _scores(network, operations, prepare(x, NO_LABELS, taken, scale=scale, sparse=None))
    x = samples_array(x)
    alone = x.shape == (taken.features,)
    samples = x[None] if alone else x
    shape = samples.shape[1:] if taken.features is None else (taken.features,)
    connect(operations, shape)
    rows = dense_rows(samples, math.prod(shape), dtype)
    name, classes = rows.dtype.name, operations[-1].M
    data = Data(len(rows), math.prod(shape), classes, dtype, scale, name, NO_LABELS, rows, shape=shape)
    scores = _scores(network, operations, data)
    return scores[0] if alone else scores


def _by_methods(chain: Chain, x: Any, scale: float, reason: NotCompilable) -> NDArray[Any]:
    """By the network's `predict`, or through its layers where it has none."""
    has_predict = hasattr(chain.network, "predict")
    if not chain.layers and not has_predict:
        raise reason
    if isinstance(x, Data | LayerData):
        samples = layer_data(x).x
    else:
        samples = scaled(samples_array(x.toarray() if hasattr(x, "tocsr") else x), scale)
    return np.asarray(chain.network.predict(samples) if has_predict else chain.forward(samples, trains=False))


def _scores(network: Any, operations: list[Operation], data: Data) -> NDArray[Any]:
    dtype, N = data.dtype, data.samples
    flops = float(sum(operation.compiled.flops(operation.layer, operation.inputs or ()) for operation in operations))
    n = launch.threads_for(flops * N)
    parts = max(1, N // (CHUNK * n))
    borders = [N * part // parts for part in range(parts + 1)]
    make_ready(operations, dtype)
    work = Workspace(operations, dtype, -(-N // parts), learns=False)
    in_place = not data.is_sparse and data.x.dtype == dtype and data.scale == 1
    run, samples = work.run_for(data, None, None, 0.0, work.capacity, n, in_place=in_place), data.table()
    work.enter_numbers((), ())
    work.point_at(network.params, None)
    scores, order, rates = np.empty((N, *(operations[-1].outputs or ())), dtype), np.arange(N), np.zeros(1)
    run.samples, run.steps, run.rates = addressof(samples), 1, address(rates)
    for start, end in pairwise(borders):
        run.N, run.order = end - start, address(order[start:])
        if in_place:
            work.plan["x"][0] = address(data.x[start:])
        work.plan["out"][-1] = work.functions.skipping["out"][-1] = address(scores[start:])
        launch.run(run, dtype, n, _nothing)
    return scores


def _nothing(steps: int) -> None:
    """A forward pass takes no steps."""
