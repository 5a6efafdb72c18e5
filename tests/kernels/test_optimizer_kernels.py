"""The kernels of the optimizers: the bits of NumPy, wherever a range is cut, and nothing outside it."""

import ctypes
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from cases import DTYPES
from numba import config

if config.DISABLE_JIT:
    pytest.skip("nothing to compare with", allow_module_level=True)

from fastbp.kernels import optimizers as kernels
from fastbp.kernels.loop import parts, plan
from fastbp.kernels.loop.optimizer_step import OptimizerStep
from fastbp.kernels.tiles.target import lanes

# Arrays beside W and dW, and numbers.
KERNELS: dict[str, tuple[int, tuple[float, ...]]] = {
    "sgd": (0, (0.1,)),
    "momentum": (1, (0.1, 0.9)),
    "nesterov": (1, (0.1, 0.9)),
    "adagrad": (1, (0.1,)),
    "rmsprop": (1, (0.1, 0.99)),
    "adam": (2, (0.003, 0.9, 0.999)),
    "weight_decay": (0, (0.1,)),
}
GUARD = 80  # elements before and after an array: more than a step is wide
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, 1e-30, -1e-42)


def arrays(name: str, size: int, dtype: str) -> list[np.ndarray]:
    """W, dW and the state, with special values among the gradients; the state's squares aren't negative."""
    rng = np.random.default_rng([55, size])
    made = [rng.standard_normal(size).astype(dtype) for _ in range(2 + KERNELS[name][0])]
    made[-1] = np.abs(made[-1]) if KERNELS[name][0] else made[-1]
    made[1][: size // 3 : 3] = np.resize(SPECIAL, len(made[1][: size // 3 : 3]))
    return made


def same_bits(what: Any, got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """NaN in the same places, whichever they are."""
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"{what}: array {i}")
        np.testing.assert_array_equal(np.signbit(a)[a == 0], np.signbit(b)[b == 0], err_msg=f"{what}: array {i}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in KERNELS if name != "weight_decay"])
def test_bits_of_numpy(name: str, dtype: str) -> None:
    for size in (1, 2, lanes(dtype), 4 * lanes(dtype) - 1, 4 * lanes(dtype), 4 * lanes(dtype) + 1, 1000):
        ours, expected = arrays(name, size, dtype), arrays(name, size, dtype)
        for _ in range(3):
            kernel = getattr(kernels, name).kernel
            kernel(*ours, *KERNELS[name][1])
            with np.errstate(all="ignore"):  # the same lines as NumPy computes them
                kernel.py_func(*expected, *KERNELS[name][1])
            same_bits((name, size), ours, expected)


def in_parts(name: str, dtype: str) -> Any:
    """Calls the loop's part for the range between each two cuts."""
    found = kernels.weight_decay_part if name == "weight_decay" else getattr(kernels, name).part
    (part,) = parts.addresses([parts.of_parameter(found, dtype)])
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 6)(part)

    def run(cuts: Any, W: Any, dW: Any, *states: Any, numbers: tuple[float, ...]) -> None:
        parameter, step, settings = (np.zeros(1, each.dtype) for each in (plan.Parameter, plan.Step, plan.Settings))
        addresses, others = np.array([state.ctypes.data for state in states], np.int64), np.array(numbers[1:])
        parameter["value"], parameter["gradient"] = W.ctypes.data, dW.ctypes.data
        parameter["states"] = addresses.ctypes.data
        settings["decay"], settings["numbers"] = numbers[0], others.ctypes.data
        step["rate"], step["settings"] = numbers[0], settings.ctypes.data
        for lo, hi in pairwise(cuts):
            function(int(lo), int(hi), 0, 0, parameter.ctypes.data, step.ctypes.data)

    return run


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_ranges(name: str, dtype: str) -> None:
    """Any cuts give the same bits; nothing before the first and past the last is read into them or written."""
    run, size, numbers = in_parts(name, dtype), 300, KERNELS[name][1]
    whole = arrays(name, size, dtype)
    run([0, size], *whole, numbers=numbers)
    if name == "weight_decay":
        W, dW = arrays(name, size, dtype)
        with np.errstate(all="ignore"):
            same_bits(name, whole, [W, dW + numbers[0] * W])
    for cuts in ([0, 150, 300], [0, 1, 2, 3, 7, 140, 141, 300], [0, 299, 300], [0, 64, 64, 300]):
        memories = [np.full(size + 2 * GUARD, np.nan, dtype) for _ in whole]
        inner = [memory[GUARD : GUARD + size] for memory in memories]
        for array, values in zip(inner, arrays(name, size, dtype), strict=True):
            array[...] = values
        run(np.array(cuts) + GUARD, *memories, numbers=numbers)
        same_bits((name, cuts), inner, whole)
        for memory in memories:
            assert np.isnan(memory[:GUARD]).all()
            assert np.isnan(memory[GUARD + size :]).all()


def test_ranges_cover_the_kernels() -> None:
    steps = {name: each for name, each in vars(kernels).items() if isinstance(each, OptimizerStep)}
    assert set(KERNELS) == {*steps, "weight_decay"}
    assert {name: len(step.state_names) for name, step in steps.items()} == {name: KERNELS[name][0] for name in steps}
