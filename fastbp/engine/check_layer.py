"""Whether the kernels of a layer do what its methods do."""

import copy
import dis
from ctypes import CFUNCTYPE, addressof, c_int64
from itertools import pairwise
from types import CodeType, FunctionType
from typing import Any

import numpy as np
from numba import config
from numpy.typing import ArrayLike, NDArray

from fastbp import originals
from fastbp.boundary import arrays
from fastbp.engine.addresses import address
from fastbp.engine.operations import Operation
from fastbp.engine.workspace import Workspace
from fastbp.kernels.loop import parts, plan
from fastbp.layers.compiled import Compiled

_SPECIAL = {"__init__", "__repr__", "__str__", "__getstate__", "__setstate__"}  # methods that no step calls
PART = CFUNCTYPE(c_int64, *[c_int64] * 6)


def check_layer(layer: Any, x: ArrayLike) -> None:
    """Compares the kernels of a layer's class with the methods of this layer, on samples x (N, D) and random gradients.

    In float32 and float64, forward and backward, for the whole batch and for parts of it. What agrees, to
    max|a − b| ≤ 1e-5 or 1e-12 · max(1, max|b|), runs in the compiled loop from now on, while the class is as it is now.
    Where NUMBA_DISABLE_JIT is set nothing is compared, and the layer runs by its methods.
    ValueError, naming the worst element, where they differ; TypeError for a layer without kernels, and for methods that
    read an attribute that the kernels don't get: another value of it, in this layer or in one that isn't looked at,
    would count for the methods alone.
    """
    cls = type(layer)
    compiled = vars(cls).get("compiled")
    if not isinstance(compiled, Compiled):
        raise TypeError(f"{cls.__name__} has no kernels: write `compiled = fastbp.layer_kernels(...)` in the class")
    if compiled.parameters or compiled.draws or compiled.has_flag:
        raise TypeError(f"{cls.__name__} has parameters, random numbers or a mode, which are not compared")
    samples = arrays.real_array(x, "x")
    if samples.ndim < 2:
        raise ValueError(f"x must hold a batch, of shape (N, ...), got {samples.shape}")
    if config.DISABLE_JIT:
        return
    hidden = _read_beside(copy.deepcopy(layer), compiled.numbers, samples)
    if hidden:
        raise TypeError(
            f"the methods of {cls.__name__} read {', '.join(hidden)}, which its kernels don't get: add it to `numbers` "
            "or leave `compiled` out, and the layer runs by its methods"
        )
    for dtype in (arrays.FLOAT32, arrays.FLOAT64):
        _check(copy.deepcopy(layer), compiled, np.ascontiguousarray(samples, dtype), dtype)
    if not originals.is_original(cls):
        originals.original(cls)


def _read_beside(layer: Any, numbers: tuple[str, ...], x: NDArray[Any]) -> list[str]:
    """The attributes that a layer's methods read, but for its numbers and those that forward and backward make."""
    cls, before = type(layer), dict(vars(layer))
    layer.backward(np.ones_like(layer.forward(x)))
    kept = {name for name, value in before.items() if vars(layer).get(name) is value}
    methods = [value for base in cls.__mro__ for name, value in vars(base).items() if name not in _SPECIAL]
    read = _names_in(methods, {"LOAD_ATTR", "LOAD_METHOD"})
    made = _names_in([cls.forward, cls.backward], {"STORE_ATTR"})
    return sorted((kept & read) - made - set(numbers))


def _names_in(functions: list[Any], operations: set[str]) -> set[str]:
    """The attributes that functions, and those inside them, name in such instructions of CPython."""
    found: set[str] = set()
    codes = [function.__code__ for function in functions if isinstance(function, FunctionType)]
    while codes:
        code = codes.pop()
        found |= {each.argval for each in dis.get_instructions(code) if each.opname in operations}
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
    return found


def _check(layer: Any, compiled: Compiled, x: NDArray[Any], dtype: np.dtype[Any]) -> None:
    out = np.asarray(layer.forward(x))
    dout = np.random.default_rng(0).standard_normal(out.shape).astype(dtype)
    expected = {"forward": out, "backward": np.asarray(layer.backward(dout.copy()))}
    cuts = sorted({0, len(x) // 3, len(x) // 2, len(x)})
    for borders in ([0, len(x)], cuts):
        got = _by_kernels(layer, compiled, x, dout, borders)
        for name, value in expected.items():
            _compare(got[name], value, arrays.TOLERANCE[dtype], f"{name} of {type(layer).__name__} in {dtype}")


def _by_kernels(
    layer: Any, compiled: Compiled, x: NDArray[Any], dout: NDArray[Any], borders: list[int]
) -> dict[str, NDArray[Any]]:
    """What the kernels make of the rows between each two borders."""
    shape, outputs = x.shape[1:], tuple(compiled.output_shape(layer, x.shape[1:]))
    expected = len(x), *outputs
    if expected != dout.shape:
        raise ValueError(f"forward of {type(layer).__name__} must return the shape {expected}, got {dout.shape}")
    numbers = tuple(float(getattr(layer, name)) for name in compiled.numbers)
    operation = Operation(type(layer).__name__, compiled, layer, numbers=numbers, inputs=shape, outputs=outputs)
    work = Workspace([operation], x.dtype, len(x), learns=True)
    work.enter_numbers((), ())
    out, dx, row, step = (
        np.full(dout.shape, np.nan, x.dtype),
        np.full(x.shape, np.nan, x.dtype),
        work.plan,
        plan.Step.row(),
    )
    row["x"], row["out"], row["dout"], row["dx"] = address(x), address(out), address(dout), address(dx)
    step.N = len(x)
    for where in parts.addresses([parts.of_operation(part, x.dtype) for part in (compiled.forward, compiled.backward)]):
        for lo, hi in pairwise(borders):
            PART(where)(lo, hi, 0, operation.M, address(row), addressof(step))
    return {"forward": out, "backward": dx}


def _compare(got: NDArray[Any], expected: NDArray[Any], tolerance: float, what: str) -> None:
    if got.shape != expected.shape:
        raise ValueError(f"{what}: the method returns the shape {expected.shape}, the kernel {got.shape}")
    with np.errstate(invalid="ignore"):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        apart = np.where(same, 0.0, np.abs(got.astype(np.float64) - expected))
    bound = tolerance * max(1.0, float(np.max(np.abs(expected), where=np.isfinite(expected), initial=0)))
    apart = np.where(np.isnan(apart), np.inf, apart)
    if apart.size and apart.max() > bound:
        worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(apart)), apart.shape))
        raise ValueError(f"{what} differs at {worst}: the kernel has {got[worst]!r}, the method {expected[worst]!r}")
