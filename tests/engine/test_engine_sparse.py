"""Samples that are mostly zeros: the results of the dense path, also where a zero can't be skipped."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest
from chains import OPTIMIZERS, TOLERANCE, Unchanged, batches, by_layers, chain, compiled, optimizer
from chains import zeros_mostly as mostly_zeros
from checks import close
from nets import same_bits
from numba import config

import fastbp
from fastbp.engine import compressed, launch
from fastbp.engine.data import LOOKED_AT
from fastbp.kernels.build import objects
from fastbp.kernels.loop.sparse import BLOCK_BYTES, SUMS_BYTES, padded_columns
from fastbp.kernels.packing import PACKS
from fastbp.kernels.tiles.target import lanes

DTYPES = ["float64", "float32"]
FORMS = ["in place", "compressed"]  # samples in the network's dtype are read where they lie, others are compressed
T = np.random.default_rng(96).integers(0, 3, 40)
ORDER = batches(40, 6, 9)


def pair(kinds: str = "ARA", widths: tuple[int, ...] = (50, 20, 3), dtype: str = "float64", **how: Any) -> Any:
    return tuple(chain(kinds, widths, dtype, **how) for _ in range(2))


def samples(form: str, features: int, dtype: str, **how: Any) -> np.ndarray:
    """For a network of this dtype: in it, or the same numbers in another one."""
    x = mostly_zeros(40, features, "float32", **how)
    return x.astype(dtype if form == "in place" else next(other for other in DTYPES if other != dtype))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_sparse_equals_dense(name: str, decay: float, dtype: str, form: str) -> None:
    x = samples(form, 50, dtype)
    sparse, dense = pair(dtype=dtype, decay=decay)
    order = ORDER if dtype == "float64" else ORDER[:2]  # more steps of the adaptive ones magnify rounding
    losses = compiled(sparse, optimizer(name)).run(x, T, order, sparse=True)
    close(losses, compiled(dense, optimizer(name)).run(x, T, order, sparse=False), 10 * TOLERANCE[dtype], "losses")
    for key, array in dense.params.items():
        close(sparse.params[key], array, (1e-10 if dtype == "float64" else 1e-4), key)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kinds", ["A", "AR", "ASA"])
def test_widths(kinds: str, dtype: str, form: str) -> None:
    """Narrower than a vector, of whole vectors and not, more than a step; even and odd numbers of non-zeros."""
    vector = lanes(dtype)
    x = samples(form, 13, dtype)
    assert {int(n) % 2 for n in np.count_nonzero(x, axis=1)} == {0, 1}
    for M in (1, 2, vector - 1, vector, vector + 1, 3 * vector + 2, 4 * vector, 6 * vector + 1, 9 * vector + 5):
        shape = (13, M) if kinds != "ASA" else (13, M, 3)
        sparse, dense = pair(kinds, shape, dtype)
        t = T % shape[-1]
        losses = compiled(sparse, optimizer()).run(x, t, ORDER[:2], sparse=True)
        close(losses, by_layers(dense, optimizer()).run(x, t, ORDER[:2]), 10 * TOLERANCE[dtype], f"losses, {M} wide")
        for key, array in dense.params.items():
            close(sparse.params[key], array, 10 * TOLERANCE[dtype], f"{key}, {M} wide")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("M", [70, 9])
def test_several_blocks_of_weights(M: int, name: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows of W than stay in a cache; on two threads each begins among the blocks."""
    widths, element = (3000, M, 3), 8
    assert BLOCK_BYTES // (element * padded_columns(M, lanes("float64"))) < widths[0]
    assert SUMS_BYTES // (element * lanes("float64")) < widths[0]
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1e-3)
    x = samples(form, widths[0], "float64")
    for threads in (1, 2):
        sparse, dense = pair("ARA", widths)
        with fastbp.threads(threads):
            losses = compiled(sparse, optimizer(name)).run(x, T, ORDER[:2], sparse=True)
        close(losses, compiled(dense, optimizer(name)).run(x, T, ORDER[:2], sparse=False), 1e-11, "losses")
        for key, array in dense.params.items():
            close(sparse.params[key], array, 1e-10, key)


def test_what_is_prepared() -> None:
    step = compiled(pair()[0], optimizer())
    few, many = mostly_zeros(2000, 50, share=0.24), mostly_zeros(2000, 50, share=0.26)
    t = np.resize(T, 2000)
    assert step.prepare(few, t).skips_zeros
    assert not step.prepare(many, t).skips_zeros
    assert not step.prepare(few, t, sparse=False).skips_zeros
    assert step.prepare(many, t, sparse=True).skips_zeros
    for x, scale, compresses in ((few, 1.0, not PACKS), (few, 0.5, True), (few.astype("float32"), 1.0, True)):
        assert step.prepare(x, t, scale=scale).is_sparse == compresses
    assert len(few) > 4 * LOOKED_AT
    assert step.prepare(few, t).share_used == pytest.approx(0.24, abs=0.01)


@pytest.mark.parametrize("source", DTYPES)
def test_samples_without_a_non_zero(source: str) -> None:
    sparse, dense = pair()
    x, order = np.zeros((40, 50), source), ORDER
    step = compiled(sparse, optimizer())
    prepared = step.prepare(x, T, sparse=True)
    close(step.run(prepared, order), by_layers(dense, optimizer()).run(x, T, order), 1e-12, "losses")
    before = list(map(id, step._compiled._workspace._rows))
    step.run(prepared, order)
    assert list(map(id, step._compiled._workspace._rows)) == before  # nothing is allocated again


@pytest.mark.parametrize("source", ["uint8", "float32", "float64", "bool", "int64"])
def test_scaled_samples_of_any_dtype(source: str) -> None:
    x = (200 * mostly_zeros(40, 50)).astype(source)
    sparse, dense = pair()
    kept = x.copy()
    losses = compiled(sparse, optimizer()).run(x, T, ORDER, scale=0.25, sparse=True)
    expected = by_layers(dense, optimizer()).run(x.astype("float64") * 0.25, T, ORDER)
    close(losses, expected, 1e-12, "losses")
    np.testing.assert_array_equal(x, kept)


def test_a_relu_in_front_reads_all_zeros() -> None:
    x = mostly_zeros(40, 50)
    network, expected = pair("RARA")
    step = compiled(network, optimizer())
    assert not step.prepare(x, T).skips_zeros
    with pytest.raises(ValueError, match="sparse=True needs an Affine layer at the front"):
        step.run(x, T, ORDER, sparse=True)
    prepared = compiled(chain("ARA", (50, 20, 3)), optimizer()).prepare(x, T, sparse=True)  # of a network that can
    close(step.run(prepared, ORDER), by_layers(expected, optimizer()).run(x, T, ORDER), 1e-12, "losses")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, 2, 15, 16, 63, 65, 111, 113, 128, 130, 300])
def test_batches_of_any_size(batch: int, dtype: str) -> None:
    """Pairs and single samples, chunks of the forward pass, and more than make one sum of the gradient."""
    rng = np.random.default_rng(batch)
    x, t = mostly_zeros(330, 70, dtype), rng.integers(0, 3, 330)
    order = np.array([rng.permutation(330)[:batch] for _ in range(3)])
    for name in ("SGD", "Adam") if dtype == "float64" else ("SGD",):
        sparse, dense = pair("ARA", (70, 20, 3), dtype)
        losses = compiled(sparse, optimizer(name)).run(x, t, order, sparse=True)
        close(losses, compiled(dense, optimizer(name)).run(x, t, order, sparse=False), 10 * TOLERANCE[dtype], "losses")
        for key, array in dense.params.items():
            close(sparse.params[key], array, (1e-10 if dtype == "float64" else 1e-4), key)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="Python runs one thread at a time")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("widths", [(70, 20, 3), (300, 130, 3)])
def test_the_same_bits_for_any_number_of_threads(
    widths: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1e-3)
    rng = np.random.default_rng(5)
    x, t = mostly_zeros(330, widths[0], dtype, share=0.2), rng.integers(0, 3, 330)
    order = np.array([rng.permutation(330)[:101] for _ in range(4)])
    found = []
    for threads in (1, 2, 3):
        network = chain("ARA", widths, dtype)
        with fastbp.threads(threads):
            losses = compiled(network, optimizer()).run(x, t, order, sparse=True)
        found.append((losses.tobytes(), {key: array.tobytes() for key, array in network.params.items()}))
    assert found[0] == found[1] == found[2]


# 0 · inf is NaN -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_non_finite_weight_in_the_first_layer(name: str, value: float, dtype: str, form: str) -> None:
    x = samples(form, 50, dtype)
    x[:, 7] = 0  # no sample looks at it, but 0 · inf does
    sparse, dense = pair(dtype=dtype)
    for network in (sparse, dense):
        network.params["W1"][7, 3] = value
    losses = compiled(sparse, optimizer(name)).run(x, T, ORDER, sparse=True)
    expected = compiled(dense, optimizer(name)).run(x, T, ORDER, sparse=False)
    np.testing.assert_array_equal(losses, expected)
    for key, array in dense.params.items():
        np.testing.assert_array_equal(sparse.params[key], array)
    if np.isnan(value):
        assert np.isnan(losses).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "decay"), [("SGD", 0.0), ("SGD", 0.1), ("Momentum", 0.0)])
def test_a_weight_that_becomes_infinite_on_the_way(name: str, decay: float, dtype: str, form: str) -> None:
    """By a learning rate that is far too large, in one run of which the first step is sparse and the rest isn't."""
    x = 1e4 * samples(form, 50, dtype)
    sparse, dense = pair(dtype=dtype, decay=decay)
    made = [optimizer(name) for _ in range(2)]
    for each in made:
        each.lr = float(np.finfo(dtype).max)
    losses = compiled(sparse, made[0]).run(x, T, ORDER, sparse=True)
    one_step = compiled(dense, made[1])
    first = one_step.run(x, T, ORDER[:1], sparse=True)
    assert np.isfinite(first).all()
    assert not np.isfinite(dense.params["W1"]).all()
    expected = one_step.run(x, T, ORDER[1:], sparse=False)
    np.testing.assert_array_equal(losses, [*first, *expected])
    for key, array in dense.params.items():
        np.testing.assert_array_equal(sparse.params[key], array)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["b1", "W2", "b2"])
def test_what_is_not_finite_elsewhere(name: str, form: str) -> None:
    """A gradient that is NaN makes NaN of every row of the first dW, also of those whose inputs are 0."""
    x = samples(form, 50, "float64")
    sparse, dense = pair()
    for network in (sparse, dense):
        network.params[name][...] = np.nan
    compiled(sparse, optimizer()).run(x, T, ORDER[:1], sparse=True)
    compiled(dense, optimizer()).run(x, T, ORDER[:1], sparse=False)
    assert np.isnan(dense.params["W1"]).all()
    np.testing.assert_array_equal(sparse.params["W1"], dense.params["W1"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(value: float, form: str) -> None:
    """They are no zeros, and the loss says so."""
    x = samples(form, 50, "float64")
    x[ORDER[0, 0], 3] = value
    sparse, dense = pair()
    losses = compiled(sparse, optimizer()).run(x, T, ORDER, sparse=True)
    np.testing.assert_array_equal(losses, compiled(dense, optimizer()).run(x, T, ORDER, sparse=False))
    assert np.isnan(losses).all()


# Matrices of SciPy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "int64"])
@pytest.mark.parametrize("form", ["csr_matrix", "csr_array", "csc_matrix", "coo_array"])
def test_matrices_of_scipy(scipy_sparse: Any, form: str, dtype: str) -> None:
    x = (9 * mostly_zeros(40, 50)).astype(dtype)
    matrix = getattr(scipy_sparse, form)(x)
    ours, expected = pair()
    losses = compiled(ours, optimizer()).run(matrix, T, ORDER, scale=0.5)
    other = compiled(expected, optimizer()).run(x, T, ORDER, scale=0.5, sparse=True)
    assert losses.tolist() == other.tolist()
    same_bits(ours.params, expected.params)
    dense = compiled(pair()[0], optimizer()).run(matrix, T, ORDER, scale=0.5, sparse=False)
    close(dense, losses, 1e-12, "losses of the dense path")


def test_unsorted_columns_duplicates_and_empty_rows(scipy_sparse: Any) -> None:
    """Duplicates count as their sum; the matrix itself stays as it is."""
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, -16.0])
    columns, starts = np.array([9, 0, 9, 49, 0, 0]), np.array([0, 0, 3, 4, 4, 6])
    matrix = scipy_sparse.csr_array((values, columns, starts), shape=(5, 50))
    kept = [array.copy() for array in (matrix.data, matrix.indices, matrix.indptr)]
    order, t = np.array([[0, 1, 2, 3, 4], [1, 1, 0, 2, 4]]), np.array([0, 1, 2, 0, 1])
    for kinds in ("ARA", "RARA"):
        for sparse in (None, False):
            ours, expected = pair(kinds)
            losses = compiled(ours, optimizer()).run(matrix, t, order, sparse=sparse)
            close(losses, by_layers(expected, optimizer()).run(matrix.toarray(), t, order), 1e-12, "losses")
            close(ours.params["W1"], expected.params["W1"], 1e-12, "W1")
    for array, before in zip((matrix.data, matrix.indices, matrix.indptr), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_unsorted_columns_on_several_threads(scipy_sparse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread looks for its rows of W among the columns, as if they were sorted."""
    monkeypatch.setattr(launch, "FLOPS_PER_THREAD", 1e-3)
    x = mostly_zeros(40, 50, share=0.3)
    matrix, ordered = scipy_sparse.csr_matrix(x), scipy_sparse.csr_matrix(x)
    assert matrix.has_sorted_indices  # which SciPy keeps, whatever becomes of the indices
    for i in range(40):
        row = slice(matrix.indptr[i], matrix.indptr[i + 1])
        matrix.indices[row], matrix.data[row] = matrix.indices[row][::-1].copy(), matrix.data[row][::-1].copy()
    for _ in range(20):  # a thread that comes late leaves all to the others
        ours, expected = pair()
        with fastbp.threads(2):
            losses = compiled(ours, optimizer()).run(matrix, T, ORDER)
        assert losses.tolist() == compiled(expected, optimizer()).run(ordered, T, ORDER).tolist()
        same_bits(ours.params, expected.params)


# (attribute, place, value): arrays that a damaged file may bring.
DAMAGED = {
    "rows beyond the end": ("indptr", -1, 10**6),
    "rows short of the end": ("indptr", -1, 3),
    "rows that go back": ("indptr", 5, 10**6),
    "a negative row": ("indptr", 3, -5),
    "rows that begin late": ("indptr", 0, 2),
    "a column too far": ("indices", 2, 50),
    "a negative column": ("indices", 2, -1),
    "a column that is one modulo 2**32": ("indices", 2, 2**32),
}


@pytest.mark.parametrize(("attribute", "place", "value"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_matrices_are_refused(scipy_sparse: Any, attribute: str, place: int, value: int) -> None:
    matrix = scipy_sparse.csr_matrix(mostly_zeros(40, 50))
    array = getattr(matrix, attribute).astype("int64")
    array[place] = value
    setattr(matrix, attribute, array)
    network, steps = pair()[0], optimizer("Adam")
    with Unchanged(network, steps), pytest.raises(ValueError, match="x is no valid CSR matrix"):
        compiled(network, steps).run(matrix, T, ORDER)


def test_other_mistakes_with_matrices(scipy_sparse: Any) -> None:
    network, steps = pair()[0], optimizer("Adam")
    step, x = compiled(network, steps), mostly_zeros(40, 50)
    with Unchanged(network, steps):
        with pytest.raises(ValueError, match=r"x must have shape \(samples, 50\), got \(40, 49\)"):
            step.run(scipy_sparse.csr_matrix(x[:, :49]), T, ORDER)
        with pytest.raises(TypeError, match="real numbers"):
            step.run(scipy_sparse.csr_matrix(x + 1j * x), T, ORDER)
        with pytest.raises(ValueError, match=r"t must have shape \(40,\)"):
            step.run(scipy_sparse.csr_matrix(x), T[:39], ORDER)


def test_the_layers_take_matrices_of_scipy_too(scipy_sparse: Any) -> None:
    x = mostly_zeros(40, 50)
    ours, expected = pair()
    losses = by_layers(ours, optimizer()).run(scipy_sparse.csr_matrix(x), T, ORDER)
    assert losses.tolist() == by_layers(expected, optimizer()).run(x, T, ORDER).tolist()

    class Own(fastbp.SGD):
        """Foreign to the compiled loop."""

    step = fastbp.compile(copy.deepcopy(ours), Own())
    for use in (step.prepare, lambda x, t, sparse: step.run(x, t, ORDER, sparse=sparse)):
        with pytest.raises(ValueError, match=r"sparse=True needs the compiled loop: .*Own is no optimizer"):
            use(x, T, sparse=True)


def test_a_matrix_for_a_chain_without_affine_at_the_front(scipy_sparse: Any) -> None:
    x = mostly_zeros(40, 50)
    ours, expected = (chain("SA", (50, 3)) for _ in range(2))
    losses = compiled(ours, optimizer()).run(scipy_sparse.csr_matrix(x), T % 3, ORDER)
    close(losses, by_layers(expected, optimizer()).run(x, T % 3, ORDER), 1e-12, "losses")


def test_a_matrix_that_is_changed_in_place_later(scipy_sparse: Any) -> None:
    x = scipy_sparse.csr_matrix(mostly_zeros(40, 50))
    sparse, dense = pair()
    step = compiled(sparse, optimizer())
    prepared, before = step.prepare(x, T), x.toarray()
    x.data[::2] = 0
    x.eliminate_zeros()
    x.indices[:] = 10**6
    close(step.run(prepared, ORDER), by_layers(dense, optimizer()).run(before, T, ORDER), 1e-12, "losses")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("max_norm", [None, 0.1], ids=["zeros skipped", "clipped, with zeros"])
def test_scaled_bytes_have_the_values_of_a_dense_batch(scipy_sparse: Any, max_norm: float | None, dtype: str) -> None:
    """Rounded once each: the scale, and the product."""
    x = (mostly_zeros(40, 256, share=0.4) != 0) * np.arange(256).astype("uint8")
    as_real = x.astype(dtype) * np.dtype(dtype).type(1 / 255)
    ours, expected = pair("ARA", (256, 20, 3), dtype)
    of_bytes, of_reals = (fastbp.compile(each, fastbp.SGD(0.1), max_norm=max_norm) for each in (ours, expected))
    losses = of_bytes.run(x, T, ORDER, scale=1 / 255, sparse=True)
    assert losses.tolist() == of_reals.run(scipy_sparse.csr_array(as_real), T, ORDER).tolist()
    same_bits(ours.params, expected.params)
    prepared = of_bytes.prepare(x, T, scale=1 / 255, sparse=True)
    dense = of_reals.prepare(as_real, T, sparse=False)
    close(fastbp.predict(ours, prepared), fastbp.predict(ours, dense), TOLERANCE[dtype], "scores")


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="65,536 columns take a minute as Python")
@pytest.mark.parametrize("source", ["uint8", "float32"])
@pytest.mark.parametrize("features", [2**16, 2**16 + 1])
def test_more_columns_than_two_bytes_count(features: int, source: str) -> None:
    x = np.zeros((40, features), source)
    x[np.arange(40), np.random.default_rng(97).integers(0, features, 40)] = 3
    x[::3, -1] = 2
    ours, expected = pair("ARA", (features, 4, 3), "float32")
    losses = compiled(ours, optimizer()).run(x, T, ORDER, scale=0.5, sparse=True)
    close(losses, by_layers(expected, optimizer()).run(x, T, ORDER, scale=0.5), 1e-5, "losses")
    close(ours.params["W1"], expected.params["W1"], 1e-5, "W1")


def test_read_only_bytes_compile_nothing() -> None:
    x = (200 * mostly_zeros(40, 50)).astype("uint8")
    compressed.compress(x, np.dtype("float32"), 1.0)
    before = set(objects._addresses)
    x.flags.writeable = False
    compressed.compress(x, np.dtype("float32"), 1.0)
    assert set(objects._addresses) == before


@pytest.mark.parametrize("failing", [1, 2, 3, 4, 5, 6])
def test_memory_that_runs_out_or_a_ctrl_c_meanwhile(monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """Wherever the making of buffers ends, the next run has all of them."""
    network, expected = pair()
    step, x, calls = compiled(network, optimizer()), samples("compressed", 50, "float64"), itertools.count(1)
    step(x[:10], T[:10])
    compiled(expected, optimizer())(x[:10], T[:10])

    def buffer(*shape: Any, **how: Any) -> int:
        if next(calls) == failing:
            raise KeyboardInterrupt
        return make(*shape, **how)

    make = step._compiled._workspace._buffer
    monkeypatch.setattr(step._compiled._workspace, "_buffer", buffer)
    with pytest.raises(KeyboardInterrupt):
        step.run(x, T, ORDER, sparse=True)
    losses = compiled(expected, optimizer()).run(x, T, ORDER, sparse=True)
    assert step.run(x, T, ORDER, sparse=True).tolist() == losses.tolist()
    same_bits(network.params, expected.params)
