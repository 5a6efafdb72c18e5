"""Kernels that run as Python: the results of the compiled ones, and an error where they leave an array."""

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, OPERATIONS
from numba import config
from sources import KERNELS, kernel_functions

from fastbp.kernels import (
    affine,
    affine_skipping,
    convolution,
    dropout,
    fingerprint,
    identity_loss,
    optimizers,
    peak,
    pooling,
    relu,
    sigmoid,
    softmax_loss,
    tiles,
)
from fastbp.kernels import batch_normalization as batch
from fastbp.kernels.images.shape import scratch_sizes
from fastbp.kernels.loop.optimizer_step import OptimizerStep
from fastbp.kernels.matmul.product import scratch_size
from fastbp.kernels.nonzero_products import columns_size, padded_columns, words_size
from fastbp.kernels.tiles import interpreter, interpreter_memory
from fastbp.kernels.tiles.addresses import note
from fastbp.kernels.tiles.interpreter import Tile, silent
from fastbp.kernels.tiles.interpreter_memory import Pointer
from fastbp.kernels.tiles.operation import Operation
from fastbp.kernels.tiles.target import lanes

RNG = np.random.default_rng(71)
WORDS = np.arange(19)


def as_python(kernel: Any) -> Callable[..., Any]:
    """The kernel as Python runs it, also where it is compiled."""
    return silent(getattr(kernel, "py_func", kernel))


def real(dtype: str, *shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def affine_arrays(dtype: str, n: int = 5, d: int = 37, m: int = 19) -> dict[str, Any]:
    """By the names of the kernels' parameters."""
    named = {"x": (n, d), "W": (d, m), "b": (m,), "out": (n, m), "dout": (n, m), "dx": (n, d), "dW": (d, m), "db": (m,)}
    arrays: dict[str, Any] = {name: real(dtype, *shape) for name, shape in named.items()}
    scratch = np.zeros(2 * scratch_size(np.dtype(dtype)), dtype)
    mask = (RNG.random((n, m)) < 0.5).view(np.uint8)
    return arrays | {"mask": mask, "alpha": 0.25, "scratch": scratch, "threads": 2, "launcher": 0}


def kernels(dtype: str) -> list[tuple[Any, list[Any]]]:
    """Every kernel, with arguments; after a call the arrays among them hold the results."""
    made: list[tuple[Any, list[Any]]] = []
    for shape in ((5, 37, 19), (1, 20, 1), (9, 3, 33)):
        arrays = affine_arrays(dtype, *shape)
        for name, kernel in vars(affine).items():
            if name.startswith("affine_"):
                function = getattr(kernel, "py_func", getattr(kernel, "__wrapped__", kernel))
                arguments = [arrays[each] for each in inspect.signature(function).parameters]
                if name == "affine_relu_backward_input":
                    arguments[1] = (RNG.random(arrays["dx"].shape) < 0.5).view(np.uint8)
                made.append((kernel, arguments))
    made += skipping(dtype)
    n = 3 * lanes(dtype) + 5
    x, out, mask = real(dtype, n), np.zeros(n, dtype), np.zeros(n, bool)
    made += [(relu.relu_forward, [x, out, mask]), (relu.relu_backward, [x, RNG.random(n) < 0.5, out])]
    made += [(sigmoid.sigmoid_forward, [x, out]), (sigmoid.sigmoid_backward, [x, x / 2, out])]
    for classes in (10, 2 * lanes(dtype), 70):
        scores, y, dx = real(dtype, 6, classes), np.zeros((6, classes), dtype), np.zeros((6, classes), dtype)
        for t in (RNG.integers(0, classes, 6), RNG.random((6, classes)).astype(dtype)):
            made += [(softmax_loss.softmax_loss_forward, [scores, t, eps, y]) for eps in (0.0, 1e-7)]
            made.append((softmax_loss.softmax_loss_backward, [0.5, abs(scores), t, dx]))
    made.append((dropout.dropout_forward, [x, RNG.random(n), 0.4, out, mask]))
    made += [(dropout.dropout_predict, [x, 0.4, out]), (dropout.dropout_backward, [x, RNG.random(n) < 0.5, out])]
    made.append((identity_loss.identity_loss_forward, [x, x / 2, 5]))
    made.append((identity_loss.identity_loss_backward, [0.5, x, x / 2, 5, out]))
    for places in (1, 7):
        features, whole = [abs(real(dtype, 5)) for _ in range(8)], [real(dtype, 4, 5, places) for _ in range(3)]
        a, b, c, d, e, f, g, h = features
        made.append((batch.batch_normalization_forward, [whole[0], a, b, 0.9, c, d, whole[1], e, f, g, h]))
        made.append((batch.batch_normalization_predict, [whole[0], a, b, c, d, whole[1]]))
        made.append((batch.batch_normalization_backward, [whole[0], whole[1], c, d, a, whole[2], e, f]))
    for stride, pad, channels in ((1, 0, 3), (2, 1, 9), (3, 0, 3)):
        size = (7 + 2 * pad - 3) // stride + 1
        planes, gradient = (real(dtype, 2, channels, 7, 7) for _ in range(2))
        pooled = np.zeros((2, channels, size, size), dtype)
        places, scratch = np.zeros_like(pooled), np.zeros(81, dtype)
        made.append((pooling.pooling_forward, [planes, 3, 3, stride, pad, pooled, places, scratch]))
        made.append((pooling.pooling_backward, [pooled, places, 3, 3, stride, pad, gradient, scratch]))
        filters, bias, seen = real(dtype, 9, channels, 3, 3), real(dtype, 9), real(dtype, 2, 9, size, size)
        own, together = scratch_sizes((channels, 7, 7, 9, 3, 3, stride, pad, size, size), 2, np.dtype(dtype))
        forward = [planes, filters, bias, stride, pad, seen, np.zeros(2 * own, dtype)]
        gradients = [np.zeros_like(each) for each in (planes, filters, bias)]
        sums, scratch = np.zeros(together, dtype), np.zeros(2 * own, dtype)
        backward = [real(dtype, 2, 9, size, size), planes, filters, stride, pad, *gradients, sums, scratch]
        made += [(convolution.convolution_forward, forward), (convolution.convolution_backward, backward)]
        made += [(convolution.convolution_forward_threads, [*forward, 2, 0])]
        made += [(convolution.convolution_backward_threads, [*backward, 2, 0])]
    states = [abs(real(dtype, n)) for _ in range(2)]
    numbers = {"sgd": (0.1,), "adagrad": (0.1,), "adam": (0.1, 0.9, 0.99)}
    for name, step in vars(optimizers).items():
        if isinstance(step, OptimizerStep):
            made.append((step.kernel, [x, out, *states[: len(step.state_names)], *numbers.get(name, (0.1, 0.9))]))
    made.append((peak.fma_peak, [np.full(peak.PEAK_CHAINS * lanes(dtype), 0.5, dtype), 3]))
    made.append((fingerprint.fingerprint, [note(WORDS), len(WORDS)]))
    return made + elementwise(dtype, {kernel.__name__ for kernel, _ in made})


def skipping(dtype: str, N: int = 5, D: int = 37, M: int = 19) -> list[tuple[Any, list[Any]]]:
    """Those that skip the zeros of x, with memory for two threads."""
    width, a = lanes(dtype), affine_arrays(dtype, N, D, M)
    x, stride = np.where(RNG.random((N, D)) < 0.2, a["x"], 0).astype(dtype), padded_columns(M, width)
    room, copies = 2 * columns_size(D), 2 * affine_skipping.copies_size(D, stride, width)
    memory = [np.zeros(copies, dtype), np.zeros(room, np.int32), np.zeros(2 * affine_skipping.MARKS, np.int64)]
    own = [np.zeros(affine_skipping.gradient_size(stride, width), dtype)]
    own.append(np.zeros(words_size(D), np.int64))
    forward = [x, a["W"], a["b"], stride, a["out"], *memory]
    return [
        (affine_skipping.affine_forward_skipping, forward),
        (affine_skipping.affine_forward_skipping_threads, [*forward, 2, 0]),
        (affine_skipping.affine_backward_params_skipping, [a["dout"], x, stride, a["dW"], a["db"], *own]),
    ]


def elementwise(dtype: str, known: set[str]) -> list[tuple[Any, list[Any]]]:
    """All others of layers that work element by element: the names of their arguments say what those are."""
    n = 3 * lanes(dtype) + 5
    x, mask = real(dtype, n), RNG.random(n) < 0.5
    arrays = {"x": x, "dout": x, "mask": mask, "out": x / 2, "dx": np.zeros(n, dtype)}
    made, kernels_in_files = [], {node.name for _, node in kernel_functions()}
    for operation in OPERATIONS:
        if (KERNELS / f"{operation}.py").is_file():
            for name, kernel in vars(import_module(f"fastbp.kernels.{operation}")).items():
                if name in kernels_in_files and name not in known:
                    function = getattr(kernel, "py_func", getattr(kernel, "__wrapped__", kernel))
                    wanted = inspect.signature(function).parameters
                    made.append((kernel, [arrays[each].copy() if each in arrays else 0.3 for each in wanted]))
    return made


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing to compare with")
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_those_of_the_compiled_kernels(dtype: str) -> None:
    tolerance = 2e-6 if dtype == "float32" else 1e-14
    for kernel, arguments in kernels(dtype):
        theirs = [each.copy() if isinstance(each, np.ndarray) else each for each in arguments]
        same = [as_python(kernel)(*arguments), *arguments], [kernel(*theirs), *theirs]
        names = ["what it returns", *inspect.signature(kernel.py_func).parameters]
        for name, got, expected in zip(names, *same, strict=True):
            if name not in ("scratch", "sums", "values", "columns", "marks") and expected is not None:
                what = f"{kernel.__name__}: {name}"
                np.testing.assert_allclose(got, expected, rtol=tolerance, atol=100 * tolerance, err_msg=what)


def test_every_kernel_runs_as_python() -> None:
    assert {kernel.__name__ for kernel, _ in kernels("float32")} == {node.name for _, node in kernel_functions()}


# Bounds --------------------------------------------------------------------------------------------------------------


def one_too_many(x, out):
    for i in range(x.size + 1):
        tiles.pointer(out)[i] = x[0]


def a_tile_too_many(x, out):
    tile = tiles.zeros(1, 1, out)
    for i in range(0, x.size + 1, tiles.width_of(tile)):
        tiles.store_row_masked(tiles.load_row_masked(tile, x, i, x.size - i), out, i, x.size + 1 - i)


def a_tile_without_a_mask(x, out):
    tile = tiles.zeros(1, 1, out)
    for i in range(0, x.size, tiles.width_of(tile)):
        tiles.store(tiles.load_row(tile, x, i), out, i, 0)


def before_the_first(x, out):
    tiles.store_row_masked(tiles.splat(tiles.zeros(1, 1, out), x[0]), out, -1, 3)


LAST = -(-21 // lanes("float32")) * lanes("float32") - 1  # of a whole tile
WRONG = {one_too_many: 21, a_tile_too_many: 21, a_tile_without_a_mask: LAST, before_the_first: -1}


@pytest.mark.parametrize(("kernel", "index"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_kernel_is_caught(kernel: Any, index: int) -> None:
    x, memory = np.arange(21, dtype=np.float32), np.full(60, 7, np.float32)
    with pytest.raises(IndexError, match=f"^index {index} is out of bounds for an array of 21 float32$"):
        kernel(x, memory[20:41])
    assert (memory[:20] == 7).all()
    assert (memory[41:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("short", ["x", "W", "b", "out", "dout", "dx", "dW", "db"])
def test_an_array_that_is_too_short_is_noticed(short: str, dtype: str) -> None:
    """By the products themselves: their last element would lie behind it."""
    from fastbp.kernels.matmul import gemm

    n, d, m = 5, 37, 19
    named = affine_arrays(dtype, n, d, m)
    p = {name: tiles.pointer(each) for name, each in named.items() if isinstance(each, np.ndarray)}
    nothing = tiles.address_as_bytes(0)

    def products() -> None:
        sizes = n, d, m
        gemm.forward_rows(0, n, 0, m, *sizes, p["x"], p["W"], p["b"], p["out"], nothing, False, p["scratch"])
        params = p["dout"], p["x"], 0.0, False, p["dW"], p["db"], p["scratch"]
        gemm.backward_params_rows(0, d, 0, m, *sizes, *params)
        gemm.backward_input_rows(0, n, 0, d, *sizes, p["dout"], nothing, False, p["W"], p["dx"], p["scratch"])

    products()
    p[short] = Pointer(p[short].memory[:-1])
    with pytest.raises(IndexError, match=f"out of bounds for an array of {named[short].size - 1} {dtype}$"):
        products()


def test_addresses_of_arrays_that_live() -> None:
    a = np.arange(9.0)
    address = note(a[3:6])
    assert tiles.address_as_float64(address)[2] == 5
    with pytest.raises(IndexError, match=r"^index 3 is out of bounds for an array of 3 float64$"):
        tiles.address_as_float64(address)[3]
    with pytest.raises(IndexError, match="out of bounds for an array of 0 float64"):
        tiles.address_as_float64(0)[0]
    del a
    with pytest.raises(IndexError, match="no array is known to lie at"):
        tiles.address_as_float64(address)


# Twins ---------------------------------------------------------------------------------------------------------------


def operations() -> dict[str, Operation]:
    found = {**vars(tiles), **vars(tiles.strided)}
    return {name: thing for name, thing in found.items() if isinstance(thing, Operation)}


def test_twins_have_the_parameters_of_the_operations() -> None:
    """But for those element by element, all of which take any operands."""
    for name, operation in operations().items():
        twin = [*inspect.signature(operation.interpreted).parameters]
        if twin != ["operands"]:
            assert twin == [*inspect.signature(operation._defn).parameters][1:], name


def test_the_interpreter_has_no_others() -> None:
    found = set()
    for module in (interpreter, interpreter_memory):
        own = {name: thing for name, thing in vars(module).items() if inspect.isfunction(thing) and name[0] != "_"}
        found |= {name for name, thing in own.items() if thing.__module__ == module.__name__}
    assert found - {"silent", "number", "multiply_add"} == set(operations())


def test_tiles_that_do_not_fit() -> None:
    one, wide = Tile(np.zeros((2, 8), np.float32)), Tile(np.zeros((2, 16), np.float32))
    for other in (wide, Tile(np.zeros((2, 8)))):
        with pytest.raises(TypeError, match=re.escape(f"tiles of 8 float32 and of {other.width} {other.dtype}")):
            one + other
    with pytest.raises(TypeError, match="a tile of float32 can't be stored as uint8"):
        tiles.store(one, np.zeros(16, np.uint8), 0, 8)
    with pytest.raises(ValueError, match="C-contiguous"):
        tiles.load(one, np.zeros((4, 16), np.float32)[:, ::2], 0, 8)
