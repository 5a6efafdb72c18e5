"""The three products against float64, component by component, with guards around all that they read and write."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from guarded import Guarded, empty
from numba import config, njit

from fastbp.kernels import affine
from fastbp.kernels.matmul.gemm import backward_input_rows, backward_params_rows, forward_rows
from fastbp.kernels.matmul.product import FEW_DOT, scratch_size
from fastbp.kernels.tiles import pointer

Shape = tuple[int, int, int]

DTYPES = (("float32", "float32"), ("float64", "float64"), ("float32", "float64"))  # of x, and of all else

SWEEP = list(itertools.product(range(1, 35), repeat=3))
EDGES = (63, 64, 65, 127, 128, 129, 783, 784, 785)
BEYOND = [shape for shape in itertools.product([*range(1, 35), *EDGES], repeat=3) if max(shape) > 34]
# More rows than pass over a panel at once, more terms than a panel holds, one row, a few, a few columns left over.
BLOCKED = [(100, 784, 50), (785, 785, 33), (2, 2500, 3), (5, 1100, 100), (250, 2500, 2), (500, 700, 65), (1, 300, 700)]
BLOCKED += [(130, 300, 193), (140, 250, 800), (600, 250, 200)]  # x is copied for dW
BLOCKED += [(300, 70, 10), (20, 33, 6)]  # dW as its transpose
BLOCKED += [(1200, 13, 10), (600, 10, 24), (40, 6, 3)]  # db in the pass of dW
BLOCKED += [(1200, 40, 50), (3, 784, 50), (7, 100, 300), (10, 10, 1100), (1, 1100, 9), (64, 256, 512), (33, 1024, 64)]
BLOCKED += [(1, 900, 2100), (1, 2100, 1), (2100, 1, 1), (1, 1, 2100)]  # one row beyond the caches; single terms


def some(shapes: list[Shape], count: int, seed: int = 7) -> list[Shape]:
    """The same random shapes at each call."""
    return [shapes[i] for i in np.random.default_rng(seed).choice(len(shapes), count, replace=False)]


def close(what: str, result: Guarded, expected: np.ndarray, bound: np.ndarray) -> None:
    assert result.untouched(), f"{what}: wrote outside"
    error = np.abs(result.array - expected)
    if not (error <= bound).all():
        excess = np.where(error <= bound, 0, error / np.maximum(bound, 1e-300))
        worst = np.unravel_index(int(np.argmax(excess)), error.shape)
        got = result.array[worst]
        raise AssertionError(f"{what} at {worst}: {got!r}, expected {expected[worst]!r} within {bound[worst]}")


class Problem:
    """Random operands of one shape, their exact products, and the bounds 2·k·ε·Σ|a||b| of the errors."""

    def __init__(self, shape: Shape, x_dtype: str, dtype: str) -> None:
        self.shape, self.dtype, self.eps = shape, dtype, float(np.finfo(dtype).eps)
        n, d, m = shape
        rng = np.random.default_rng(shape)
        self.scratch = empty(scratch_size(np.dtype(dtype)), dtype=dtype)
        self.x = Guarded(rng.standard_normal((n, d)).astype(x_dtype))
        made = (rng.standard_normal(each).astype(dtype) for each in ((d, m), m, (n, m)))
        self.W, self.b, self.dout = (Guarded(values) for values in made)
        self.stopped = Guarded((rng.random((n, d)) < 0.5).view(np.uint8))
        self.exact = {name: getattr(self, name).array.astype(np.float64) for name in ("x", "W", "b", "dout")}

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.x.array.dtype} {self.dtype}"

    def plain(self) -> None:
        """The products alone."""
        (n, d, m), x, W, b, dout = self.shape, *(self.exact[name] for name in ("x", "W", "b", "dout"))
        out = empty(n, m, dtype=self.dtype)
        affine.affine_forward(self.x.array, self.W.array, self.b.array, out.array, self.scratch.array)
        bound = 2 * (d + 1) * self.eps * (abs(x) @ abs(W) + abs(b))
        close(f"forward {self}", out, x @ W + b, bound)
        dW, db = empty(d, m, dtype=self.dtype), empty(m, dtype=self.dtype)
        affine.affine_backward_params(self.dout.array, self.x.array, dW.array, db.array, self.scratch.array)
        close(f"dW {self}", dW, x.T @ dout, 2 * n * self.eps * (abs(x.T) @ abs(dout)))
        close(f"db {self}", db, dout.sum(axis=0), 2 * n * self.eps * abs(dout).sum(axis=0))
        dx = empty(n, d, dtype=self.dtype)
        affine.affine_backward_input(self.dout.array, self.W.array, dx.array, self.scratch.array)
        close(f"dx {self}", dx, dout @ W.T, 2 * m * self.eps * (abs(dout) @ abs(W.T)))
        assert self.scratch.untouched()

    def fused(self) -> None:
        """What is done to a finished tile: ReLU and its mask, the mask of the layer below, W += alpha * dW."""
        (n, d, m), x, W, dout = self.shape, *(self.exact[name] for name in ("x", "W", "dout"))
        out, relu = empty(n, m, dtype=self.dtype), empty(n, m, dtype=self.dtype)
        mask = Guarded(np.zeros((n, m), np.uint8))
        operands = (self.x.array, self.W.array, self.b.array)
        affine.affine_forward(*operands, out.array, self.scratch.array)
        affine.affine_relu_forward(*operands, relu.array, mask.array, self.scratch.array)
        assert relu.untouched(), self
        assert mask.untouched(), self
        np.testing.assert_array_equal(mask.array, out.array <= 0, err_msg=f"mask {self}")
        np.testing.assert_array_equal(relu.array, np.where(out.array <= 0, 0, out.array), err_msg=f"relu {self}")
        dx, masked = empty(n, d, dtype=self.dtype), empty(n, d, dtype=self.dtype)
        affine.affine_backward_input(self.dout.array, self.W.array, dx.array, self.scratch.array)
        down = (self.dout.array, self.stopped.array, self.W.array, masked.array, self.scratch.array)
        affine.affine_relu_backward_input(*down)
        assert masked.untouched(), self
        np.testing.assert_array_equal(masked.array, np.where(self.stopped.array, 0, dx.array), err_msg=f"dx {self}")
        alpha, new, db = float(np.dtype(self.dtype).type(-0.1)), Guarded(self.W.array), empty(m, dtype=self.dtype)
        affine.affine_update_params(self.dout.array, self.x.array, alpha, new.array, db.array, self.scratch.array)
        scale, size = -alpha, abs(x.T) @ abs(dout)
        bound = self.eps * (2 * n * scale * size + 4 * (abs(W) + scale * size))
        close(f"update {self}", new, W - scale * (x.T @ dout), bound)
        assert db.untouched()
        assert self.scratch.untouched()


def problems(shapes: Iterable[Shape], x_dtype: str, dtype: str, small: bool) -> Iterator[Problem]:
    return (Problem(shape, x_dtype, dtype) for shape in (as_python_can(shapes)[:20] if small else shapes))


def as_python_can(shapes: Iterable[Shape]) -> list[Shape]:
    """The shapes that kernels can take in a second each where they run as Python; there also bounds are checked."""
    return [shape for shape in shapes if not config.DISABLE_JIT or np.prod(shape) < 120_000]


@pytest.mark.parametrize(("x_dtype", "dtype"), DTYPES)
def test_products(x_dtype: str, dtype: str, request: pytest.FixtureRequest) -> None:
    shapes = [*BLOCKED, *some(SWEEP, len(SWEEP) // 10), *some(BEYOND, 15)]
    for problem in problems(shapes, x_dtype, dtype, request.config.getoption("--small")):
        problem.plain()


def test_fused(request: pytest.FixtureRequest) -> None:
    shapes = [*BLOCKED, *some(SWEEP, len(SWEEP) // 20, seed=8), *some(BEYOND, 10, seed=8)]
    for problem in problems(shapes, "float32", "float32", request.config.getoption("--small")):
        problem.fused()


@pytest.mark.full
@pytest.mark.parametrize(("x_dtype", "dtype"), DTYPES)
def test_every_small_product(x_dtype: str, dtype: str) -> None:
    for problem in problems([*BLOCKED, *SWEEP, *some(BEYOND, 1000)], x_dtype, dtype, small=False):
        problem.plain()
        problem.fused()


@pytest.mark.parametrize("shape", [s for s in itertools.product((0, 2, 70), repeat=3) if 0 in s], ids=str)
def test_empty(shape: Shape) -> None:
    Problem(shape, "float32", "float32").plain()


@pytest.mark.parametrize("shape", [(20, 33, 50), (9, 100, 66), (13, 70, 3), (5, 7, 300)], ids=str)
def test_nan_and_infinity(shape: Shape) -> None:
    """Where np.dot has them, and nowhere else; ReLU's mask is off at NaN."""
    n, d, m = shape
    rng = np.random.default_rng(3)
    scratch = np.empty(scratch_size(np.dtype("float32")), np.float32)
    x, W, b, dout = (rng.standard_normal(each).astype(np.float32) for each in ((n, d), (d, m), m, (n, m)))
    x[1, 2], x[2, 3], x[3, 4], W[4, 1], W[:, m - 1] = np.nan, np.inf, 0, np.inf, -np.inf
    dout[0, 0], dout[1, m - 1] = np.nan, np.inf
    out, relu, mask = np.empty((n, m), np.float32), np.empty((n, m), np.float32), np.empty((n, m), np.uint8)
    dW, db, dx = np.empty_like(W), np.empty_like(b), np.empty_like(x)
    affine.affine_forward(x, W, b, out, scratch)
    affine.affine_relu_forward(x, W, b, relu, mask, scratch)
    affine.affine_backward_params(dout, x, dW, db, scratch)
    affine.affine_backward_input(dout, W, dx, scratch)
    with np.errstate(invalid="ignore"):
        expected = x @ W + b
        pairs = [(out, expected), (relu, np.where(expected <= 0, 0, expected)), (dW, x.T @ dout)]
        pairs += [(db, dout.sum(axis=0)), (dx, dout @ W.T)]
    for got, wanted in pairs:
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(mask, expected <= 0)


@njit
def in_pieces(cuts, dout, x, W, b, out, mask, stopped, dW, db, dx, scratch):
    (n, d), m, work = x.shape, W.shape[1], pointer(scratch)
    for c in range(len(cuts) - 1):
        lo, hi = min(cuts[c], n), min(cuts[c + 1], n)
        forward_rows(
            lo, hi, 0, m, n, d, m, pointer(x), pointer(W), pointer(b), pointer(out), pointer(mask), False, work
        )
        backward_input_rows(lo, hi, 0, d, n, d, m, pointer(dout), pointer(stopped), True, pointer(W), pointer(dx), work)
        lo, hi = min(cuts[c], d), min(cuts[c + 1], d)
        backward_params_rows(
            lo, hi, 0, m, n, d, m, pointer(dout), pointer(x), 0.0, False, pointer(dW), pointer(db), work
        )


@njit
def in_columns(cuts, dout, x, W, b, out, mask, stopped, dW, db, dx, scratch):
    (n, d), m, work = x.shape, W.shape[1], pointer(scratch)
    for c in range(len(cuts) - 1):
        left, right = min(cuts[c], m), min(cuts[c + 1], m)
        if left < right:
            forward_rows(
                *(0, n, left, right, n, d, m, pointer(x), pointer(W), pointer(b), pointer(out), pointer(mask), False),
                work,
            )
            backward_params_rows(
                *(0, d, left, right, n, d, m, pointer(dout), pointer(x), 0.0, False, pointer(dW), pointer(db)), work
            )
        left, right = min(cuts[c], d), min(cuts[c + 1], d)
        if left < right:
            backward_input_rows(
                *(0, n, left, right, n, d, m, pointer(dout), pointer(stopped), True, pointer(W), pointer(dx)), work
            )


CUTS = ([0, 2000], [0, 1, 2000], [0, 13, 14, 40, 90, 250, 2000], list(range(0, 2001, 7)))
COLUMN_CUTS = ([0, 112, 2000], [0, 16, 48, 224, 2000])  # whole vectors, as threads take them
CUT_SHAPES = [(100, 784, 50), (37, 70, 66), (300, 280, 48), (260, 600, 35), (8, 90, 300), (100, 784, 1), (1, 300, 600)]
CUT_SHAPES += [
    (300, 784, 10),
    (300, 13, 10),
    (300, 13, 24),
    (90, 10, 700),
    (20, 256, 208),
    (140, 500, 200),
    (300, 40, 800),
]
CUT_SHAPES += [(1200, 64, 20), (33, 1024, 64), (10, 10, 1100), (5, 64, 256), (3, 784, 50), (30, 129, 257)]


def test_same_bits_for_any_cut() -> None:
    """Rows may be split over threads anywhere, columns by vectors: each element is summed in one order."""
    for n, d, m in as_python_can(CUT_SHAPES):
        rng = np.random.default_rng((n, d, m))
        scratch = np.empty(scratch_size(np.dtype("float32")), np.float32)
        x, W, b, dout = (rng.standard_normal(each).astype(np.float32) for each in ((n, d), (d, m), m, (n, m)))
        mask, stopped = np.zeros((n, m), np.uint8), (rng.random((n, d)) < 0.3).view(np.uint8)
        results, ways = [], [(in_pieces, cuts) for cuts in CUTS]
        if n > FEW_DOT:
            ways += [(in_columns, cuts) for cuts in COLUMN_CUTS]
        for cut, cuts in ways:
            out, dW, db, dx = (np.full(each, np.nan, np.float32) for each in ((n, m), (d, m), m, (n, d)))
            cut(np.array(cuts), dout, x, W, b, out, mask, stopped, dW, db, dx, scratch)
            results.append((out, dW, db, dx))
        for other, (_, cuts) in zip(results, ways, strict=True):
            for one, same, name in zip(results[0], other, ("out", "dW", "db", "dx"), strict=True):
                np.testing.assert_array_equal(one, same, err_msg=f"{name} of {(n, d, m)} cut at {cuts[:8]}")
