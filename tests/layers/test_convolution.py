"""Convolution against the oracle; dtypes, NaN, long sums, threads, and what lies around the arrays."""

from typing import Any

import checks
import numpy as np
import pytest
from cases import Case
from guarded import Guarded, empty
from hypothesis import given
from hypothesis import strategies as st
from processes import python

from fastbp import Convolution, layers, reference
from fastbp.boundary.arrays import TOLERANCE
from fastbp.system import threads
from fastbp.util import im2col

TILED = (16, 7, 6, 17, 3, 3, 1, 1)  # of one image
FLOAT64 = TOLERANCE[np.dtype(np.float64)]
GEOMETRY = st.tuples(
    st.integers(1, 3), st.integers(1, 5), st.integers(0, 20), st.integers(0, 20),
    st.integers(1, 20), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3),
)  # fmt: skip


@given(GEOMETRY)
def test_any_shape(geometry: tuple[int, ...]) -> None:
    n, c, h, w, fn, fh, fw, stride, pad = geometry
    checks.agrees_with_oracle(layers, Case("convolution", (n, c, h + fh, w + fw, fn, fh, fw, stride, pad), "float64"))


@pytest.mark.parametrize("how", [(3, 3, 1, 0), (3, 3, 1, 1), (2, 3, 2, 0), (3, 2, 2, 1), (1, 1, 1, 0), (2, 2, 3, 2)])
def test_gradient(how: tuple[int, ...]) -> None:
    checks.gradient_is_right(layers, Case("convolution", (2, 2, 5, 4, 3, *how), "float64"))


def test_second_pass() -> None:
    checks.second_pass_is_independent(layers, Case("convolution", (2, 2, 6, 5, 4, 3, 2, 2, 1), "float64"))


def test_published_numbers() -> None:
    """Stanford's CS231n, assignment 2, the check of its convolution."""
    x, W, b = np.linspace(-0.1, 0.5, 96), np.linspace(-0.2, 0.3, 144), np.linspace(-0.1, 0.2, 3)
    expected = [
        *(-0.08759809, -0.10987781, -0.18387192, -0.2109216, 0.21027089, 0.21661097, 0.22847626, 0.23004637),
        *(0.50813986, 0.54309974, 0.64082444, 0.67101435, -0.98053589, -1.03143541, -1.19128892, -1.24695841),
        *(0.69108355, 0.66880383, 0.59480972, 0.56776003, 2.36270298, 2.36904306, 2.38090835, 2.38247847),
    ]
    out = Convolution(W.reshape(3, 3, 4, 4), b, stride=2, pad=1).forward(x.reshape(2, 3, 4, 4))
    np.testing.assert_allclose(out, np.reshape(expected, (2, 3, 2, 2)), atol=5e-9)


@pytest.mark.parametrize("x_dtype", ["float16", "float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("W_dtype", ["float32", "float64"])
def test_mixed_dtypes(x_dtype: str, W_dtype: str) -> None:
    arrays = Case("convolution", (2, 3, 9, 8, 5, 3, 3, 1, 1), W_dtype).arrays()
    x = (arrays["x"] * 3).astype(x_dtype)
    expected = np.result_type(W_dtype, "float64" if x_dtype == "float64" else "float32")
    layer = Convolution(arrays["W"], arrays["b"], pad=1)
    out = layer.forward(x)
    dx = layer.backward(arrays["dout"])
    assert {out.dtype, dx.dtype, layer.dW.dtype, layer.db.dtype} == {expected}
    oracle = reference.Convolution(arrays["W"].astype(float), arrays["b"].astype(float), pad=1)
    checks.close(out, oracle.forward(x.astype(float)), TOLERANCE[expected], "out")
    checks.close(dx, oracle.backward(arrays["dout"].astype(float)), TOLERANCE[expected], "dx")
    checks.close(layer.dW, oracle.dW, TOLERANCE[expected], "dW")
    checks.close(layer.db, oracle.db, TOLERANCE[expected], "db")


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int16, np.uint64])
def test_stride_and_pad_may_be_numpys_integers(integer: Any) -> None:
    arrays = Case("convolution", (2, 3, 9, 8, 5, 3, 3, 1, 1), "float64").arrays()
    results = []
    for stride, pad in ((integer(1), integer(1)), (1, 1)):
        layer = Convolution(arrays["W"], arrays["b"], stride, pad)
        results.append((layer.forward(arrays["x"]), layer.backward(arrays["dout"]), layer.dW, layer.db, layer.col))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_float32_x_stays_beside_float64_W() -> None:
    arrays = Case("convolution", (2, 3, 9, 8, 5, 3, 3, 1, 1), "float64").arrays()
    x, layer = arrays["x"].astype(np.float32), Convolution(arrays["W"], arrays["b"])
    assert layer.forward(x).dtype == np.float64
    assert layer.x is x


@pytest.mark.parametrize("b", [0, 0.5, np.float32(2)])
def test_bias_may_be_a_number(b: float) -> None:
    rng = np.random.default_rng(8)
    x, W = rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3))
    layer, oracle = Convolution(W, b), reference.Convolution(W, b)
    out = layer.forward(x)
    checks.close(out, oracle.forward(x), FLOAT64, "out")
    layer.backward(out)
    checks.close(layer.db, out.sum(axis=(0, 2, 3)), FLOAT64, "db")


def test_results_are_contiguous_and_what_the_book_keeps_is_made_when_read() -> None:
    rng = np.random.default_rng(8)
    layer = Convolution(rng.standard_normal((4, 3, 3, 3)), 0, pad=1)
    assert layer.col is layer.col_W is None
    out = layer.forward(rng.standard_normal((2, 3, 6, 6)))
    assert out.flags.c_contiguous
    assert layer.backward(out).flags.c_contiguous
    assert layer.dW.flags.c_contiguous
    assert not any("col" in name for name in vars(layer))
    checks.close(np.dot(layer.col, layer.col_W), out.transpose(0, 2, 3, 1).reshape(-1, 4), FLOAT64, "col @ col_W")
    with pytest.raises(ValueError, match="read-only"):
        layer.col[:] = 0
    layer.col = np.ones_like(layer.col)
    layer.col[:] = 2  # what is assigned is its owner's
    layer.backward(out)
    checks.close(layer.dW[:, 0, 0, 0], 2 * out.sum(axis=(0, 2, 3)), FLOAT64, "dW")
    layer.col_W[:] = 0  # which lies in W, as in the book
    assert not layer.W.any()


def test_weights_are_read_at_each_call() -> None:
    rng = np.random.default_rng(9)
    x, W, dout = (rng.standard_normal(shape) for shape in ((2, 3, 6, 6), (4, 3, 3, 3), (2, 4, 4, 4)))
    layer, oracle = Convolution(W, np.zeros(4)), reference.Convolution(W, np.zeros(4))
    layer.forward(x)
    W *= 2
    checks.close(layer.forward(x), oracle.forward(x), FLOAT64, "changed in place")
    layer.W = oracle.W = rng.standard_normal((4, 3, 3, 3))
    oracle.forward(x)
    checks.close(layer.backward(dout), oracle.backward(dout), FLOAT64, "rebound before backward")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "W", "b", "dout"])
@pytest.mark.parametrize(
    "shape", [(2, 3, 6, 5, 4, 3, 2, 2, 1), (3, 20, 9, 8, 6, 3, 2, 2, 1), (5, *TILED), (5, *TILED[:-1], 2)]
)
def test_not_finite(name: str, value: float, shape: tuple[int, ...]) -> None:
    case = Case("convolution", shape, "float64")
    arrays = case.arrays()
    arrays[name].flat[3] = value  # of W in a corner of the filter too, which no border sees
    arrays[name].flat[-1] = value
    results = []
    for namespace in (layers, reference):
        layer = case.layer(namespace, arrays)
        with np.errstate(invalid="ignore"):
            results.append([case.forward(layer, arrays), case.backward(layer, arrays), layer.dW, layer.db])
    for got, expected in zip(*results, strict=True):
        checks.close(got, expected, FLOAT64, name)


@pytest.mark.parametrize("shape", [(300, 2, 20, 20, 3, 3, 3, 1, 1), (2, 300, 12, 12, 300, 3, 3, 1, 1)])
def test_long_sums_keep_their_digits(shape: tuple[int, ...]) -> None:
    # Positive terms: one chain of float32 additions would be wrong in the fifth digit.
    arrays = {name: abs(value) for name, value in Case("convolution", shape, "float32").arrays().items()}
    layer = Convolution(arrays["W"], arrays["b"], pad=1)
    oracle = reference.Convolution(arrays["W"].astype(float), arrays["b"].astype(float), pad=1)
    tolerance = TOLERANCE[np.dtype(np.float32)]
    checks.close(layer.forward(arrays["x"]), oracle.forward(arrays["x"].astype(float)), tolerance, "out")
    checks.close(layer.backward(arrays["dout"]), oracle.backward(arrays["dout"].astype(float)), tolerance, "dx")
    checks.close(layer.dW, oracle.dW, tolerance, "dW")
    checks.close(layer.db, oracle.db, tolerance, "db")


BITS = """
import hashlib
import numpy as np
from fastbp import Convolution
from fastbp.system import threads
threads.FLOPS_PER_THREAD = 1e-3
rng = np.random.default_rng(0)
for x_dtype, dtype in (("float32", "float32"), ("float64", "float64"), ("float32", "float64")):
    for _ in range(12):
        n, c, fn, fh, fw, stride = (int(rng.integers(1, most)) for most in (20, 20, 40, 5, 5, 3))
        x, W = rng.standard_normal((n, c, 12, 9)).astype(x_dtype), rng.standard_normal((fn, c, fh, fw)).astype(dtype)
        b, hashes = rng.standard_normal(fn).astype(dtype), []
        for count in (1, 2, 3, 4):
            with threads.threads(count):
                layer = Convolution(W, b, stride, 1)
                out = layer.forward(x)
                results = out, layer.backward(out), layer.dW, layer.db
            hashes.append(hashlib.sha256(b"".join(result.tobytes() for result in results)).hexdigest())
        assert len(set(hashes)) == 1, (x_dtype, dtype, x.shape, W.shape, hashes)
        print(hashes[0])
"""
BITS_IN_TILES = (
    BITS.replace("1, most)", "16, most + 16)").replace("fn, fh, fw, stride =", "fn = ").replace("fh, fw", "3, 3")
    .replace("(20, 20, 40, 5, 5, 3)", "(20, 20, 40)").replace("b, stride, 1)", "b, 1, 1)")
)  # fmt: skip


@pytest.mark.command
@pytest.mark.skipif(threads.threading_layer()[0] is None, reason="no threading layer loads here")
@pytest.mark.parametrize("code", [BITS, BITS_IN_TILES])
def test_same_bits_for_any_number_of_threads(code: str) -> None:
    assert len(python(code, NUMBA_NUM_THREADS="4", FASTBP_NUM_THREADS="4").split()) == 36


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_writes_and_reads_inside_alone(dtype: str) -> None:
    filters = ((2, 1), (2, 33), (9, 9), (17, 1))  # channels, number: dx of few channels is made otherwise
    shapes = [(2, c, h, w, fn, fh, 3, s, p) for h, w, fh in ((5, 7, 2), (12, 33, 5)) for c, fn in filters
              for s in (1, 2, 3) for p in (0, 2)]  # fmt: skip
    shapes += [
        (2, c, h, w, fn, 3, 3, 1, p) for h, w in ((3, 5), (12, 33)) for c, fn in ((16, 33), (19, 12)) for p in (0, 2)
    ]
    for shape in shapes:
        _guarded(Case("convolution", shape, dtype))


# As Python, where a read outside of W is an IndexError; channels are folded one at a time, as of large images.
ONE_CHANNEL_AT_A_TIME = """
import numpy as np
from fastbp import Convolution, reference
from fastbp.kernels.images import shape
shape.FOLDED = 1
rng = np.random.default_rng(3)
x, W, b = (rng.standard_normal(size).astype(np.float32) for size in ((1, 3, 6, 6), (2, 3, 3, 3), 2))
ours, theirs = Convolution(W, b, pad=1), reference.Convolution(W, b, pad=1)
out = theirs.forward(x)
ours.forward(x)
np.testing.assert_allclose(ours.backward(out), theirs.backward(out), rtol=1e-4, atol=1e-5)
"""


@pytest.mark.command
def test_large_images_of_few_channels() -> None:
    """Tiles begin at any channel then, and end behind the last term."""
    python(ONE_CHANNEL_AT_A_TIME, NUMBA_DISABLE_JIT="1")


def _guarded(case: Case) -> None:
    from fastbp.kernels.convolution import convolution_backward, convolution_forward
    from fastbp.kernels.images.shape import scratch_sizes

    arrays: Any = case.arrays()
    given = {name: Guarded(arrays[name].astype(case.dtype)) for name in ("x", "W", "b", "dout")}
    x, W, b, dout = (given[name].array for name in ("x", "W", "b", "dout"))
    stride, pad = arrays["stride"], arrays["pad"]
    sizes = (*x.shape[1:], W.shape[0], *W.shape[2:], stride, pad, *dout.shape[2:])
    scratch, sums = (empty(size, dtype=case.dtype) for size in scratch_sizes(sizes, len(x), np.dtype(case.dtype)))
    out, dx, dW, db = (empty(*each.shape, dtype=case.dtype) for each in (dout, x, W, b))
    convolution_forward(x, W, b, stride, pad, out.array, scratch.array)
    convolution_backward(dout, x, W, stride, pad, dx.array, dW.array, db.array, sums.array, scratch.array)
    oracle = reference.Convolution(W.astype(float), b.astype(float), stride, pad)
    tolerance = TOLERANCE[np.dtype(case.dtype)]
    checks.close(out.array, oracle.forward(x.astype(float)), tolerance, f"{case}: out")
    checks.close(dx.array, oracle.backward(dout.astype(float)), tolerance, f"{case}: dx")
    checks.close(dW.array, oracle.dW, tolerance, f"{case}: dW")
    checks.close(db.array, oracle.db, tolerance, f"{case}: db")
    assert all(each.untouched() for each in (out, dx, dW, db, scratch, sums)), case


class AsInTheBook(Convolution):
    """A reader's own forward, which keeps what the book's does; its columns may be others than those of x."""

    factor = 1.0

    def forward(self, x: np.ndarray) -> np.ndarray:
        filters, _, height, width = self.W.shape
        col, col_W = self.factor * im2col(x, height, width, self.stride, self.pad), self.W.reshape(filters, -1).T
        out = np.dot(col, col_W) + self.b
        self.x, self.col, self.col_W = x, col, col_W
        size = [(side + 2 * self.pad - 3) // self.stride + 1 for side in x.shape[2:]]
        return out.reshape(len(x), *size, filters).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_forward_of_ones_own_may_keep_columns(dtype: str) -> None:
    rng = np.random.default_rng(12)
    x, W, dout = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 2, 7, 6), (4, 2, 3, 3), (3, 4, 4, 3)))
    layer, ours = AsInTheBook(W, np.zeros(4, dtype), 2, 1), Convolution(W, np.zeros(4, dtype), 2, 1)
    Convolution.forward(layer, x[:, ::-1])  # an earlier one of ours: nothing of it may be left
    checks.close(layer.forward(x), ours.forward(x), TOLERANCE[np.dtype(dtype)], "out")
    col = layer.col
    assert col is vars(layer)["col"]
    for factor in (1.0, 3.0):
        layer.factor = factor
        layer.forward(x)
        for mine, book in ((layer.backward(dout), ours.backward(dout)), (layer.db, ours.db)):
            checks.close(mine, book, TOLERANCE[np.dtype(dtype)], "dx and db")
        checks.close(layer.dW, factor * ours.dW, TOLERANCE[np.dtype(dtype)], "dW")
        assert layer.dW.dtype == dtype
    layer.col = col[:-1]
    with pytest.raises(ValueError, match="col must have the shape of the forward pass"):
        layer.backward(dout)
    Convolution.forward(layer, 2 * x)
    checks.close(layer.col, 2 * col, FLOAT64, "col, made anew after a forward of ours")
