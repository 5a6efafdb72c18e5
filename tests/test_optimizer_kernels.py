"""The kernels of the optimizers: the bits of NumPy, wherever a range is cut, and nothing outside it."""

from typing import Any

import numpy as np
import pytest
from cases import DTYPES
from numba import config, njit

if config.DISABLE_JIT:
    pytest.skip("register tiles exist in compiled code only", allow_module_level=True)

from fastbp.kernels import optimizers as kernels
from fastbp.kernels import plain
from fastbp.kernels.codegen import lanes
from fastbp.kernels.flags import OPTIONS
from fastbp.kernels.simd import pointer

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
            getattr(kernels, f"{name}_update")(*ours, *KERNELS[name][1])
            with np.errstate(all="ignore"):
                getattr(plain, f"{name}_update")(*expected, *KERNELS[name][1])
            same_bits((name, size), ours, expected)


def in_parts(name: str) -> Any:
    """A compiled loop that runs the range between each two cuts."""
    part, count = getattr(kernels, f"{name}_range"), KERNELS[name][0]
    if count == 0:

        @njit(**OPTIONS)
        def run(cuts, W, dW, numbers):
            for i in range(cuts.size - 1):
                part(cuts[i], cuts[i + 1], pointer(W), pointer(dW), *numbers)

    elif count == 1:

        @njit(**OPTIONS)
        def run(cuts, W, dW, v, numbers):
            for i in range(cuts.size - 1):
                part(cuts[i], cuts[i + 1], pointer(W), pointer(dW), pointer(v), *numbers)

    else:

        @njit(**OPTIONS)
        def run(cuts, W, dW, m, v, numbers):
            for i in range(cuts.size - 1):
                part(cuts[i], cuts[i + 1], pointer(W), pointer(dW), pointer(m), pointer(v), *numbers)

    return run


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_ranges(name: str, dtype: str) -> None:
    """Any cuts give the same bits; nothing before the first and past the last is read into them or written."""
    run, size, numbers = in_parts(name), 300, KERNELS[name][1]
    whole = arrays(name, size, dtype)
    run(np.array([0, size]), *whole, numbers)
    if name == "weight_decay":
        W, dW = arrays(name, size, dtype)
        with np.errstate(all="ignore"):
            same_bits(name, whole, [W, dW + numbers[0] * W])
    for cuts in ([0, 150, 300], [0, 1, 2, 3, 7, 140, 141, 300], [0, 299, 300], [0, 64, 64, 300]):
        memories = [np.full(size + 2 * GUARD, np.nan, dtype) for _ in whole]
        inner = [memory[GUARD : GUARD + size] for memory in memories]
        for array, values in zip(inner, arrays(name, size, dtype), strict=True):
            array[...] = values
        run(np.array(cuts) + GUARD, *memories, numbers)
        same_bits((name, cuts), inner, whole)
        for memory in memories:
            assert np.isnan(memory[:GUARD]).all()
            assert np.isnan(memory[GUARD + size :]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 7, 4 * 16, 4 * 16 + 1, kernels.BLOCK - 1, kernels.BLOCK + 1, 3 * kernels.BLOCK])
def test_sum_of_squares(size: int, dtype: str) -> None:
    memory = np.full(size + 2 * GUARD, np.nan, dtype)
    W = memory[GUARD : GUARD + size]
    W[...] = np.random.default_rng([56, size]).standard_normal(size)
    expected = float(np.sum(W.astype(np.longdouble) ** 2))
    got = kernels.sum_of_squares(W)
    assert type(got) is float
    assert got == pytest.approx(expected, rel=2e-15)
    assert got == kernels.sum_of_squares(W.copy())
    assert plain.sum_of_squares(W) == pytest.approx(expected, rel=2e-15)
    if dtype == "float32":
        assert got == pytest.approx(kernels.sum_of_squares(W.astype(np.float64)), rel=1e-15)
    W[size // 2] = np.inf
    assert kernels.sum_of_squares(W) == np.inf


def test_squares_of_large_float32_numbers() -> None:
    W = np.full(5, 1e30, np.float32)
    assert kernels.sum_of_squares(W) == pytest.approx(5e60)
    assert kernels.sum_of_squares(W[:0]) == 0


def test_ranges_cover_the_kernels() -> None:
    parts = {name.removesuffix("_range") for name in vars(kernels) if name.endswith("_range")}
    whole = {name.removesuffix("_update") for name in vars(kernels) if name.endswith("_update")}
    assert parts == set(KERNELS) == whole | {"weight_decay"}
