"""Each operation on register tiles alone, against NumPy."""

import ctypes
import mmap
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config, njit

if config.DISABLE_JIT:
    pytest.skip("register tiles exist in compiled code only", allow_module_level=True)

from fastbp.kernels import simd
from fastbp.kernels.codegen import TARGET, lanes
from fastbp.kernels.simd import load, row, splat, store, store_masked, width_of, zeros

DTYPES = ("float32", "float64")
SOURCES = ("float32", "float64", "uint8", "bool")
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -2.5)


def values(dtype: str, rows: int, vecs: int, seed: int = 0) -> np.ndarray:
    """rows x (vecs * lanes) random numbers with the special ones among them."""
    numbers = np.random.default_rng(seed).standard_normal((rows, vecs * lanes(dtype))).astype(dtype)
    numbers.flat[: 2 * len(SPECIAL) : 2] = SPECIAL[: numbers.size // 2]
    return numbers


def whole(dtype: str, rows: int, vecs: int, seed: int = 0) -> np.ndarray:
    """rows x (vecs * lanes) whole numbers: their sums are exact in any order."""
    return np.random.default_rng(seed).integers(-99, 99, (rows, vecs * lanes(dtype))).astype(dtype)


def applied(operation: Any, arity: int) -> Callable[..., None]:
    """A kernel that loads 2x3 tiles, applies the operation and stores the result."""
    if arity == 1:

        @njit
        def kernel(a, out):
            t = zeros(2, 3, a)
            store(operation(load(t, a, 0, width_of(t))), out, 0, width_of(t))

    elif arity == 2:

        @njit
        def kernel(a, b, out):
            t = zeros(2, 3, a)
            w = width_of(t)
            store(operation(load(t, a, 0, w), load(t, b, 0, w)), out, 0, w)

    else:

        @njit
        def kernel(a, b, c, out):
            t = zeros(2, 3, a)
            w = width_of(t)
            store(operation(load(t, a, 0, w), load(t, b, 0, w), load(t, c, 0, w)), out, 0, w)

    return kernel


UNARY = {"neg": np.negative, "absolute": np.abs, "sqrt": np.sqrt, "rint": np.rint}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": lambda a, b: np.where(a > b, a, b),
    "minimum": lambda a, b: np.where(a < b, a, b),
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    a = values(dtype, 2, 3)
    with np.errstate(invalid="ignore"):
        expected = UNARY[name](a)
    out = np.empty_like(a)
    applied(getattr(simd, name), 1)(a, out)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(np.signbit(out), np.signbit(expected), err_msg="signs of zero and NaN")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: str) -> None:
    a, b = values(dtype, 2, 3), values(dtype, 2, 3, seed=1)[::-1].copy()
    b[0, :3] = a[0, :3]
    with np.errstate(all="ignore"):
        expected = BINARY[name](a, b)
    out = np.empty_like(expected)
    applied(getattr(simd, name), 2)(a, b, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_rounds_once(dtype: str) -> None:
    a = np.full((2, 3 * lanes(dtype)), 1 + np.finfo(dtype).eps, dtype)
    out = np.empty_like(a)
    applied(simd.fma, 3)(a, a, -(a * a), out)
    assert (out == (np.finfo(dtype).eps ** 2 if TARGET.fma else 0)).all()


@njit
def logic(a, b, out, passed):
    t = zeros(2, 2, a)
    w = width_of(t)
    x, y = load(t, a, 0, w), load(t, b, 0, w)
    p, q = simd.less(x, y), simd.greater(x, 0.0)
    store(simd.select(p, x, y), out, 0, w)
    store(simd.logical_and(p, q), passed, 0, w)
    store(simd.logical_or(p, q), passed, 2 * w, w)
    store(simd.logical_not(p), passed, 4 * w, w)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_dtype", ["bool", "uint8"])
def test_select_and_logic(dtype: str, mask_dtype: str) -> None:
    a, b = values(dtype, 2, 2), values(dtype, 2, 2, seed=3)[::-1].copy()
    out, passed = np.empty_like(a), np.empty((6, a.shape[1]), mask_dtype)
    logic(a, b, out, passed)
    np.testing.assert_array_equal(out, np.where(a < b, a, b))
    np.testing.assert_array_equal(passed, np.concatenate([(a < b) & (a > 0), (a < b) | (a > 0), ~(a < b)]))


@njit
def broadcasts(a, out):
    t = zeros(3, 2, a)
    w = width_of(t)
    store(simd.add(load(t, a, 0, w), simd.load_row(t, a, w)), out, 0, w)
    store(splat(t, simd.load_row(t, a, w)), out, 3 * w, w)
    store(splat(t, a[1, 2]), out, 6 * w, w)
    store(simd.mul(load(t, a, 0, w), 2), out, 9 * w, w)
    store(row(load(t, a, 0, w), 2), out, 12 * w, w)
    store(simd.columns(t), out, 13 * w, w)
    store(zeros(1, 2, t), out, 16 * w, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_and_numbers_are_repeated(dtype: str) -> None:
    a = whole(dtype, 3, 2)
    out = np.full((17, a.shape[1]), np.nan, dtype)
    broadcasts(a, out)
    numbers = np.tile(np.arange(a.shape[1]), (3, 1))
    expected = [a + a[1], np.tile(a[1], (3, 1)), np.full_like(a, a[1, 2]), a * 2, a[2:], numbers, 0 * a[:1]]
    np.testing.assert_array_equal(out, np.concatenate(expected))


@njit
def masked(a, out, stride, rows, width):
    t = zeros(3, 2, out)
    w = width_of(t)
    p = simd.pointer(a)
    simd.store(simd.load_row_masked(t, p, 0, width), out, 0, w)
    store(simd.load_masked(t, p, 0, stride, rows, width), out, w, w)
    store_masked(splat(t, 7.0), out, 4 * w + 1, w, rows, width)
    simd.store_row_masked(splat(row(t, 0), 8.0), out, 8 * w + 1, width)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", SOURCES)
def test_masked_loads_and_stores(dtype: str, source: str) -> None:
    full = 2 * lanes(dtype)
    for rows in range(5):  # one more than there are, of both
        for width in range(full + 2):
            a = np.random.default_rng(5).integers(0, 200, (rows + 1) * (width + 1)).astype(source)
            out = np.full((10, full), np.nan, dtype)
            expected = out.copy()
            expected[:4] = 0
            expected[0, :width] = a[: min(width, full)]
            flat = expected.reshape(-1)
            for r in range(min(rows, 3)):
                expected[1 + r, :width] = a[r * (width + 1) :][: min(width, full)]
                flat[(4 + r) * full + 1 :][: min(width, full)] = 7
            flat[8 * full + 1 :][: min(width, full)] = 8
            masked(a, out, width + 1, rows, width)
            np.testing.assert_array_equal(out, expected, err_msg=f"rows {rows}, width {width}")


def reads_up_to_a_forbidden_page() -> None:
    """Loads that end where readable memory ends: one element further is a segmentation fault."""
    page = mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, 2 * page), np.uint8)
    forbidden = ctypes.c_void_p(memory.ctypes.data + page)
    assert ctypes.CDLL(None).mprotect(forbidden, ctypes.c_size_t(page), 0) == 0
    for dtype in DTYPES:
        out = np.zeros((10, 2 * lanes(dtype)), dtype)
        for width in range(2 * lanes(dtype)):
            masked(memory[page - 2 * width * out.itemsize : page].view(dtype), out, width, 2, width)


@pytest.mark.command
@pytest.mark.skipif(os.name != "posix", reason="mprotect")
def test_masked_loads_stay_inside_their_page() -> None:
    code = "import test_simd; test_simd.reads_up_to_a_forbidden_page()"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": paths})


@njit
def inside(out, rows, width):
    t = zeros(3, 2, np.zeros(1, np.float32))
    store(simd.within(t, rows, width), out, 0, width_of(t))


def test_within() -> None:
    full = 2 * lanes("float32")
    for rows in range(-1, 5):
        for width in (-1, 0, 1, full - 1, full, full + 1, 2**40):
            out = np.zeros((3, full), np.bool_)
            inside(out, rows, width)
            expected = (np.arange(3)[:, None] < rows) & (np.arange(full) < width)
            np.testing.assert_array_equal(out, expected, err_msg=f"rows {rows}, width {width}")


@njit
def clamped(a, out, stride, rows):
    t = zeros(4, 2, out)
    store(simd.load_clamped(t, a, 1, stride, rows), out, 0, width_of(t))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", SOURCES)
def test_load_clamped(dtype: str, source: str) -> None:
    full = 2 * lanes(dtype)
    a = np.random.default_rng(4).integers(0, 9, (4, full + 1)).astype(source)
    for rows in range(1, 7):
        out = np.full((4, full), np.nan, dtype)
        clamped(a, out, full + 1, rows)
        np.testing.assert_array_equal(out, a[np.minimum(np.arange(4), rows - 1), 1:])


@njit
def steps(a, b, out, rows):
    acc = zeros(3, 2, out)
    w = width_of(acc)
    for k in range(5):
        acc = simd.fma_step(acc, a, k, 5, rows, simd.load_row(acc, b, k * w))
    store_masked(acc, out, 0, w, rows, w)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_step(dtype: str, source: str) -> None:
    rng = np.random.default_rng(2)
    for rows in (1, 2, 3):
        a = rng.integers(0, 9, (rows, 5)).astype(source)
        b = whole(dtype, 5, 2)
        out = np.full((3, b.shape[1]), np.nan, dtype)
        steps(a, b, out, rows)
        np.testing.assert_array_equal(out[:rows], a.astype(dtype) @ b)
        assert np.isnan(out[rows:]).all()


@njit
def folds(a, numbers, out):
    t = zeros(2, 3, a)
    w = width_of(t)
    t = load(t, a, 0, w)
    numbers[0], numbers[1] = simd.row_sum(t, 0), simd.row_sum(t, 1)
    numbers[2], numbers[3] = simd.row_max(t, 0), simd.row_max(t, 1)
    numbers[4], numbers[5] = simd.total(t), simd.first_element(t)
    store(simd.sum_of_rows(t), out, 0, w)
    store(simd.max_of_rows(t), out, 2 * w, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_and_maxima(dtype: str) -> None:
    a = whole(dtype, 2, 3)
    numbers, out = np.empty(6, dtype), np.empty((4, a.shape[1]), dtype)
    folds(a, numbers, out)
    np.testing.assert_array_equal(numbers, [*a.sum(1), *a.max(1), a.sum(), a[0, 0]])
    np.testing.assert_array_equal(out, np.tile(np.concatenate([a.sum(1), a.max(1)])[:, None], a.shape[1]))
    for i in range(a.shape[1]):
        b = a.copy()
        b[1, i] = np.nan
        folds(b, numbers, out)
        np.testing.assert_array_equal(numbers, [a[0].sum(), np.nan, a[0].max(), np.nan, np.nan, a[0, 0]])
        np.testing.assert_array_equal(out[:2, 0], [a[0].sum(), np.nan])


@njit
def column_sums(a, b, out, column):
    t = zeros(3, 1, a)
    other = zeros(3, 2, a)
    w = width_of(t)
    store(simd.add_row_sums(load(t, a, 0, w), column, load(other, b, 0, width_of(other))), out, 0, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_add_row_sums(dtype: str) -> None:
    a, b = whole(dtype, 3, 1), whole(dtype, 3, 2, seed=1)
    for column in range(lanes(dtype)):
        out = np.empty_like(a)
        column_sums(a, b, out, column)
        expected = a.copy()
        expected[:, column] += b.sum(1)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose(dtype: str) -> None:
    count = lanes(dtype)

    @njit
    def kernel(a, out):
        store(simd.transpose(load(zeros(count, 1, a), a, 0, count)), out, 0, count)

    a = np.arange(count * count, dtype=dtype).reshape(count, count)
    out = np.empty_like(a)
    kernel(a, out)
    np.testing.assert_array_equal(out, a.T)


@njit
def conversion(a, out):
    store(simd.convert(load(zeros(1, 2, a), a, 0, 0), out), out, 0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("to", DTYPES)
def test_convert(dtype: str, to: str) -> None:
    a = values(dtype, 1, 2)
    out = np.empty(a.shape, to)
    conversion(a, out)
    np.testing.assert_array_equal(out, a.astype(to))


@njit
def constants(a):
    t = zeros(3, 2, a)
    return simd.rows_of(t), simd.vecs_of(t), width_of(t), simd.lanes_of(t), simd.lanes_of(a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constants(dtype: str) -> None:
    count = lanes(dtype)
    assert constants(np.zeros(1, dtype)) == (3, 2, 2 * count, count, count)


@njit
def first_aligned(a):
    return simd.aligned(a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_aligned(dtype: str) -> None:
    memory = np.zeros(64, dtype)
    for start in range(32):
        a = memory[start:]
        place = first_aligned(a)
        assert 0 <= place < lanes(dtype)
        assert (a.ctypes.data + place * a.itemsize) % TARGET.vector_bytes == 0


@njit
def reinterpreted(a, like, out):
    t = zeros(1, 1, out)
    memory = simd.reinterpret(a, 2, simd.pointer(like))
    store(splat(t, 3.0), memory, 1, 0)
    store(load(t, memory, 1, 0), out, 0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("other", DTYPES)
def test_reinterpret(dtype: str, other: str) -> None:
    """The same memory, seen as another dtype."""
    a, out = np.zeros(200, dtype), np.zeros(lanes(other), other)
    reinterpreted(a, out, out)
    expected = np.zeros_like(a)
    expected[2:].view(other)[1 : 1 + out.size] = 3
    np.testing.assert_array_equal(a, expected)
    np.testing.assert_array_equal(out, 3)


@njit
def prefetches(a):
    for i in range(-3, 1000000, 999):
        simd.prefetch(zeros(1, 2, a), a, i)


def test_prefetch_is_safe_anywhere() -> None:
    prefetches(np.zeros(3, np.float32))


def test_every_operation_is_tested() -> None:
    """By name in this file; exp and log have a file of their own."""
    text = Path(__file__).read_text(encoding="utf-8")
    names = [name for name, thing in vars(simd).items() if type(thing).__name__ == "_Intrinsic"]
    assert len(names) > 40
    assert [name for name in names if not re.search(rf'simd\.{name}\b|\b{name}\(|"{name}":', text)] == []


# Without feature strings Numba adds the features of the machine below to a name.
TARGETS = {
    "haswell": ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}, (32, 16, True)),
    "x86-64": ({"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}, (16, 16, False)),
    "generic": ({"NUMBA_CPU_NAME": "generic"}, (16, 16, False)),
}
x86_only = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")

LAYERS = """
import numpy as np
from fastbp import layers, reference
from fastbp.kernels.codegen import TARGET

def passes(namespace, name, x, *weights):
    layer = getattr(namespace, name)(*weights)
    out = layer.forward(x, np.arange(len(x)) % x.shape[1]) if "Loss" in name else layer.forward(x)
    results = [out, layer.backward(1 if "Loss" in name else -out)]
    return results + ([layer.dW, layer.db] if weights else [])

rng = np.random.default_rng(0)
for n, d, m in ((1, 7, 3), (3, 70, 18), (13, 65, 31), (40, 33, 100)):
    x, W, b = (rng.standard_normal(shape).astype("float32") for shape in ((n, d), (d, m), m))
    for name, *weights in (("Affine", W, b), ("Relu",), ("Sigmoid",), ("SoftmaxWithLoss",)):
        for ours, oracle in zip(passes(layers, name, x, *weights), passes(reference, name, x, *weights)):
            np.testing.assert_allclose(ours, oracle, rtol=0, atol=2e-5 * max(1, np.abs(oracle).max()))
print(tuple(TARGET))
"""


def python(*arguments: str, cache: Path, **settings: str) -> str:
    """What a process prints that compiles for another processor, into a cache of its own."""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "FASTBP_CACHE_DIR": str(cache)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=os.environ | paths | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


@x86_only
@pytest.mark.command
@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str, tmp_path: Path) -> None:
    settings, expected = TARGETS[name]
    code = "from fastbp.kernels.codegen import TARGET; print(tuple(TARGET))"
    assert python("-c", code, cache=tmp_path, **settings).strip() == str(expected)


@x86_only
@pytest.mark.command
@pytest.mark.parametrize("name", ["haswell", "x86-64"])
def test_layers_on_target(name: str, tmp_path: Path) -> None:
    settings, expected = TARGETS[name]
    assert python("-c", LAYERS, cache=tmp_path, **settings).strip() == str(expected)


@x86_only
@pytest.mark.full
@pytest.mark.command
@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="this is the suite on another target")
@pytest.mark.parametrize("name", ["haswell", "x86-64"])
def test_suite_on_target(name: str, tmp_path: Path) -> None:
    """The tests of all kernels."""
    files = [f"test_{part}.py" for part in ("simd", "exponential", "gemm", "affine", "relu", "sigmoid", "softmax_loss")]
    settings, _ = TARGETS[name]
    here = Path(__file__).parent
    options = ("-q", "-p", "no:cacheprovider", f"--rootdir={here.parent}", "-k", "not target")
    python("-m", "pytest", *options, *(str(here / file) for file in files), cache=tmp_path, **settings)
