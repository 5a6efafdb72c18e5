"""Who runs in each row: kernels and layers, NumPy, PyTorch, a plain copy, the peak. Only here are kernels called."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import instruction_sets
import kernel_rows
import numpy as np
from numpy.typing import NDArray

from fastbp import layers, reference
from fastbp.bench import pytorch
from fastbp.bench.layers import Arrays, activation_passes, layer_contenders, loss_passes, passes, row_arrays
from fastbp.bench.process import machine_facts
from fastbp.bench.results import Row
from fastbp.bench.timing import Contender
from fastbp.bench.training import images
from fastbp.engine.compressed import compress
from fastbp.kernels import affine, peak, relu, sigmoid, softmax_loss
from fastbp.kernels.matmul.product import scratch_size
from fastbp.system import threads

rows = kernel_rows.rows


def contenders(row: Row) -> list[Contender]:
    """Those of the row that can run here."""
    return list(MAKERS[row.section](row))


def facts() -> dict[str, str]:
    """What the machine is, and what each library says that it runs."""
    return machine_facts() | instruction_sets.reported()


def finish() -> dict[str, str]:
    """Whether AVX-512 was used. ValueError where this process was to do without it and didn't."""
    return instruction_sets.checked()


# Matrix products -----------------------------------------------------------------------------------------------------


def _product(row: Row) -> Iterator[Contender]:
    a = row_arrays(row)
    x, W, b, dout = a["x"], a["W"], a["b"], a["dout"]
    scratch = np.empty(scratch_size(x.dtype), x.dtype)
    kernel: Any = getattr(affine, row.operation)
    flops = 2 * x.shape[0] * W.size
    inputs: tuple[NDArray[Any], ...]
    rest: tuple[NDArray[Any], ...] = ()
    if row.operation == "affine_forward":
        inputs, factors = (x, W, b), (x, W)
        expected = np.dot(x, W) + b
    elif row.operation == "affine_backward_params":
        inputs, factors, rest = (dout, x), (x.T, dout), (dout.sum(axis=0),)
        expected = np.dot(x.T, dout)
    else:
        inputs, factors = (dout, W), (dout, W.T)
        expected = np.dot(dout, W.T)
    out, *others = outputs = [np.empty_like(array) for array in (expected, *rest)]
    yield Contender("fastbp", partial(kernel, *inputs, out, *others, scratch), flops, outputs, (expected, *rest))
    yield _peak(x.dtype, flops)
    yield Contender("np.dot", partial(np.dot, *factors, out=out), flops, (out,), (np.dot(*factors),))
    if "PyTorch" in row.contenders and pytorch.installed():
        yield Contender("PyTorch", pytorch.product(row.operation, a, out), flops, (out,), (expected,))


def _peak(dtype: np.dtype[Any], flops: float) -> Contender:
    """About as long as a product at the peak would take, within limits."""
    steps = int(min(200_000, max(4000, flops / peak.peak_flops(dtype, 1))))
    accumulators = np.zeros(peak.peak_flops(dtype, 1) // 2, dtype)
    return Contender("peak", partial(peak.fma_peak, accumulators, steps), peak.peak_flops(dtype, steps), follows=True)


# Layers --------------------------------------------------------------------------------------------------------------


def _mixed(row: Row) -> Iterator[Contender]:
    a = row_arrays(row)
    wide = a | {"x": a["x"].astype(np.float32).astype(np.float64)}
    narrow = a | {"x": a["x"].astype(np.float32)}
    expected = passes(reference, "Affine", wide)()
    yield Contender("float32 x", passes(layers, "Affine", narrow), expected=expected)
    yield Contender("float64 x", passes(layers, "Affine", wide), expected=expected)


def _threads(row: Row) -> Iterator[Contender]:
    if not two_threads():
        return
    a = row_arrays(row)
    oracle = reference.Affine(a["W"], a["b"])
    expected = {"Affine.forward": oracle.forward(a["x"]), "Affine.backward": oracle.backward(a["dout"])}
    flops = 2 * a["x"].size * a["W"].shape[1] * (2 if row.operation == "Affine.backward" else 1)
    for n, name in ((2, "two threads"), (1, "one thread")):
        layer = layers.Affine(a["W"], a["b"])
        layer.forward(a["x"])
        method, argument = (layer.forward, a["x"]) if row.operation == "Affine.forward" else (layer.backward, a["dout"])
        yield Contender(name, partial(_limited, n, method, argument), flops, expected=(expected[row.operation],))


def _limited(n: int, method: Callable[[Any], Any], argument: NDArray[Any]) -> tuple[Any]:
    with threads.threads(n):
        return (method(argument),)


def two_threads() -> bool:
    """Whether two threads can run at once here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(threads.launched(), cores) > 1 and threads.threading_layer()[0] is not None


# Kernels without a product -------------------------------------------------------------------------------------------


def _loss_kernels(row: Row) -> Iterator[Contender]:
    a = row_arrays(row)
    oracle = passes(reference, "SoftmaxWithLoss", a)
    loss, dx = oracle()
    outputs = (np.empty_like(dx), np.empty_like(dx))
    yield Contender("fastbp", partial(_loss_kernel_passes, a, *outputs), expected=(loss, dx))
    yield Contender("NumPy", oracle, expected=(loss, dx))
    if "PyTorch" in row.contenders and pytorch.installed():
        yield Contender("PyTorch", pytorch.layer("SoftmaxWithLoss", a), expected=(loss, dx))


def _loss_kernel_passes(a: Arrays, y: NDArray[Any], dx: NDArray[Any]) -> tuple[Any, ...]:
    loss = softmax_loss.softmax_loss_forward(a["x"], a["t"], 0.0, y)
    softmax_loss.softmax_loss_backward(dx.dtype.type(1), y, a["t"], dx)
    return loss, dx


def _memory(row: Row) -> Iterator[Contender]:
    """The work is the bytes read and written."""
    a = row_arrays(row)
    operation, direction = row.operation.rsplit("_", 1)
    name = {"relu": "Relu", "sigmoid": "Sigmoid", "softmax_loss": "SoftmaxWithLoss"}[operation]
    layer = getattr(reference, name)()
    results = loss_passes(layer, a["x"], a["t"]) if operation == "softmax_loss" else None
    forward, backward = results or activation_passes(layer, a["x"], a["dout"])
    x, dout = (array.reshape(-1) for array in (a["x"], a["dout"]))
    out = np.zeros_like(x)  # written once, so that its pages are there
    element = x.itemsize
    call: Any
    if row.operation == "relu_forward":
        mask = np.zeros(x.shape, np.bool_)
        call, moved = partial(relu.relu_forward, x, out, mask), 2 * element + 1
    elif row.operation == "relu_backward":
        call, moved = partial(relu.relu_backward, dout, layer.mask.reshape(-1), out), 2 * element + 1
    elif row.operation == "sigmoid_forward":
        call, moved = partial(sigmoid.sigmoid_forward, x, out), 2 * element
    elif row.operation == "sigmoid_backward":
        call, moved = partial(sigmoid.sigmoid_backward, dout, layer.out.reshape(-1), out), 3 * element
    elif row.operation == "softmax_loss_forward":
        forward, y = layer.y, out.reshape(row.shape)
        call, moved = partial(softmax_loss.softmax_loss_forward, a["x"], a["t"], 0.0, y), 2 * element
    else:
        dx = out.reshape(row.shape)
        call = partial(softmax_loss.softmax_loss_backward, x.dtype.type(1), layer.y, a["t"], dx)
        moved = 2 * element
    expected = (forward if direction == "forward" else backward).reshape(-1)
    yield Contender("fastbp", call, moved * x.size, (out,), (expected,))
    yield Contender("copy", partial(np.copyto, out, x), 2 * x.nbytes, (out,), (x,))


def _compressing(row: Row) -> Iterator[Contender]:
    """The work is the bytes read; what comes out is checked by putting it back."""
    x, _ = images(row.shape[0], np.uint8)
    factor, dtype = 1 / 255, np.dtype(row.dtype)
    values, starts, columns = compress(x, dtype, factor)
    again, used = np.zeros_like(x), slice(starts[-1])
    again[np.repeat(np.arange(len(x)), np.diff(starts)), columns[used]] = values[used]
    if not np.array_equal(again, x):
        raise ValueError("the compressed images are not the images: not timed")
    copy = np.empty_like(x)
    yield Contender("fastbp", partial(compress, x, dtype, factor), x.nbytes)
    yield Contender("copy", partial(np.copyto, copy, x), x.nbytes)


MAKERS: dict[str, Callable[[Row], Iterator[Contender]]] = {
    "products": _product,
    "grid": _product,
    "threads": _threads,
    "layers": layer_contenders,
    "layer grid": layer_contenders,
    "loss kernels": _loss_kernels,
    "memory": _memory,
    "compressing": _compressing,
    "mixed": _mixed,
}
