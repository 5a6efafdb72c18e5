"""BatchNormalization against the oracle and published numbers, in training and in prediction."""

import copy
import pickle
from typing import Any

import checks
import numpy as np
import pytest
from cases import IMAGES, Case
from guarded import Guarded, empty

from fastbp import BatchNormalization, layers, reference
from fastbp.boundary.arrays import TOLERANCE

OPERATIONS = ("batch_normalization", *IMAGES)


SHAPES = [
    (OPERATIONS[0], (5, 7)),
    (OPERATIONS[0], (33, 3)),
    (OPERATIONS[1], (3, 2, 3, 5)),
    (OPERATIONS[2], (4, 2, 1, 3)),
]


@pytest.mark.parametrize(("operation", "shape"), SHAPES, ids=str)
def test_gradient(operation: str, shape: tuple[int, ...]) -> None:
    checks.gradient_is_right(layers, Case(operation, shape, "float64"))


@pytest.mark.parametrize(("operation", "shape"), SHAPES, ids=str)
def test_second_pass(operation: str, shape: tuple[int, ...]) -> None:
    checks.second_pass_is_independent(layers, Case(operation, shape, "float64"))


def both(gamma: Any, beta: Any, **arguments: Any) -> tuple[Any, Any]:
    return tuple(each.BatchNormalization(gamma, beta, **arguments) for each in (layers, reference))


RNG = np.random.default_rng(35)
FORMS = {
    "batch": ((9, 33), 33),
    "channels": ((4, 3, 5, 7), 3),
    "elements": ((4, 3, 5, 7), 105),
    "one place": ((6, 5, 1, 1), 5),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "features"), FORMS.values(), ids=FORMS)
def test_training_then_prediction(shape: tuple[int, ...], features: int, dtype: str) -> None:
    gamma, beta = RNG.standard_normal((2, features)).astype(dtype)
    ours, oracle = both(gamma, beta, momentum=0.8)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for _ in range(4):
        x = (RNG.standard_normal(shape) * 2 + 3).astype(dtype)
        checks.close(ours.forward(x, True), oracle.forward(x, True), tolerance, "training")
        checks.close(ours.running_mean, oracle.running_mean, tolerance, "running mean")
        checks.close(ours.running_var, oracle.running_var, tolerance, "running variance")
        before = ours.running_mean, ours.std
        predicted = ours.forward(x[:2], False)
        checks.close(predicted, oracle.forward(x[:2], False), tolerance, "prediction")
        assert (ours.running_mean, ours.std) == before or ours.running_mean is before[0]
        assert predicted.dtype == ours.running_mean.dtype == ours.std.dtype == dtype
        assert ours.running_mean.shape == (features,)


def test_statistics_that_are_given() -> None:
    mean, var = RNG.standard_normal(7), RNG.random(7) + 0.5
    kept = mean.copy(), var.copy()
    ours, oracle = both(np.ones(7), np.zeros(7), running_mean=mean, running_var=var)
    x = RNG.standard_normal((5, 7))
    checks.close(ours.forward(x, False), oracle.forward(x, False), 1e-12, "prediction")
    assert ours.running_mean is mean
    ours.forward(x)
    assert ours.running_mean is not mean
    np.testing.assert_array_equal((mean, var), kept)


def test_published_numbers() -> None:
    """Of Stanford's course CS231n, assignment 2, BatchNormalization.ipynb, which prints them with seed 231."""
    draw = np.random.RandomState(231).randn
    x, W1, W2 = draw(200, 50), draw(50, 60), draw(60, 3)
    a = np.maximum(0, x @ W1) @ W2
    np.testing.assert_allclose(a.mean(axis=0), [-2.3814598, -13.18038246, 1.91780462], atol=1e-8)
    plain = BatchNormalization(np.ones(3), np.zeros(3)).forward(a)
    np.testing.assert_allclose(plain.mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(plain.std(axis=0), [0.99999999, 1, 1], atol=1e-8)
    scaled = BatchNormalization(np.array([1.0, 2, 3]), np.array([11.0, 12, 13])).forward(a)
    np.testing.assert_allclose(scaled.mean(axis=0), [11, 12, 13], atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), [0.99999999, 1.99999999, 2.99999999], atol=2e-8)


def test_published_numbers_of_prediction() -> None:
    """The same notebook's, after 50 batches; its running statistics start at 0 with momentum 0.9, as the book's."""
    draw = np.random.RandomState(231).randn
    W1, W2 = draw(50, 60), draw(60, 3)
    layer = BatchNormalization(np.ones(3), np.zeros(3))
    for _ in range(50):
        layer.forward(np.maximum(0, draw(200, 50) @ W1) @ W2)
    predicted = layer.forward(np.maximum(0, draw(200, 50) @ W1) @ W2, False)
    np.testing.assert_allclose(predicted.mean(axis=0), [-0.03927354, -0.04349152, -0.10452688], atol=1e-8)
    np.testing.assert_allclose(predicted.std(axis=0), [1.01531428, 1.01238373, 0.97819988], atol=2e-8)


def test_a_batch_of_one_is_beta() -> None:
    beta = RNG.standard_normal(33)
    layer = BatchNormalization(np.ones(33), beta)
    np.testing.assert_array_equal(layer.forward(RNG.standard_normal((1, 33))), beta[None])
    assert not layer.backward(RNG.standard_normal((1, 33))).any()
    np.testing.assert_allclose(layer.std, 1e-3, rtol=1e-12)


def test_a_single_sample_is_predicted() -> None:
    layer = BatchNormalization(np.ones(7), np.zeros(7))
    x = RNG.standard_normal((5, 7))
    layer.forward(x)
    np.testing.assert_array_equal(layer.forward(x[0], False), layer.forward(x, False)[0])


def test_float32_samples_beside_float64_parameters() -> None:
    gamma, beta = RNG.standard_normal((2, 33))
    x, dout = RNG.standard_normal((2, 20, 33)).astype(np.float32)
    ours, exact = BatchNormalization(gamma, beta), BatchNormalization(gamma, beta)
    np.testing.assert_array_equal(ours.forward(x), exact.forward(x.astype(np.float64)))
    np.testing.assert_array_equal(ours.backward(dout), exact.backward(dout.astype(np.float64)))
    assert ours.dgamma.dtype == np.float64


def test_scalars_go_for_all_features() -> None:
    x, dout = RNG.standard_normal((2, 5, 7))
    ours, expected = BatchNormalization(1.5, 0), BatchNormalization(np.full(7, 1.5), np.zeros(7))
    np.testing.assert_array_equal(ours.forward(x), expected.forward(x))
    np.testing.assert_array_equal(ours.backward(dout), expected.backward(dout))
    np.testing.assert_array_equal(ours.dgamma, expected.dgamma)


def test_gradients_have_the_shape_of_gamma() -> None:
    layer = BatchNormalization(np.ones((3, 1, 1)), np.zeros((1, 3)))
    layer.forward(RNG.standard_normal((2, 3, 4, 5)))
    layer.backward(RNG.standard_normal((2, 3, 4, 5)))
    assert (layer.dgamma.shape, layer.dbeta.shape) == ((3, 1, 1), (1, 3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("shape", "features"), FORMS.values(), ids=FORMS)
def test_nan_and_infinity_stay_in_their_feature(shape: tuple[int, ...], features: int, value: float) -> None:
    x, dout = RNG.standard_normal((2, *shape))
    x.reshape(shape[0], -1)[1, 2] = value
    ours, oracle = both(*RNG.standard_normal((2, features)))
    with np.errstate(invalid="ignore"):
        expected = oracle.forward(x), oracle.backward(dout)
    checks.close(ours.forward(x), expected[0], 1e-12, "out")
    checks.close(ours.backward(dout), expected[1], 1e-12, "dx")
    assert np.isnan(expected[0]).sum() == np.prod(shape) // features
    with np.errstate(invalid="ignore"):
        checks.close(ours.forward(x, False), oracle.forward(x, False), 1e-12, "prediction")


def test_a_constant_feature() -> None:
    x = RNG.standard_normal((8, 3))
    x[:, 1] = 2.0
    ours, oracle = both(np.ones(3), np.zeros(3))
    checks.close(ours.forward(x), oracle.forward(x), 1e-12, "out")
    assert not ours.forward(x)[:, 1].any()


@pytest.mark.parametrize("mean", [1e3, 1e6])
def test_a_mean_far_from_0_leaves_the_variance(mean: float) -> None:
    """Σx² − (Σx)²/N would have no digit left."""
    x = RNG.standard_normal((64, 5)) + mean
    layer = BatchNormalization(np.ones(5), np.zeros(5))
    layer.forward(x)
    np.testing.assert_allclose(layer.std, np.sqrt(x.var(axis=0) + 1e-6), rtol=1e-9)


def test_nothing_is_kept_before_forward_and_by_prediction() -> None:
    layer = BatchNormalization(np.ones(3), np.zeros(3))
    assert [layer.xc, layer.xn, layer.std, layer.running_mean, layer.batch_size, layer.input_shape] == [None] * 6
    layer.forward(RNG.standard_normal((4, 3)), False)
    assert layer.xc is None
    np.testing.assert_array_equal(layer.running_mean, np.zeros(3))
    with pytest.raises(RuntimeError, match="needs a forward pass first"):
        layer.backward(np.zeros((4, 3)))


def test_copies_and_pickles() -> None:
    x, dout = RNG.standard_normal((2, 5, 7))
    layer = BatchNormalization(np.ones(7), np.zeros(7))
    layer.forward(x)
    expected = layer.backward(dout)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin.backward(dout), expected)
        np.testing.assert_array_equal(twin.running_var, layer.running_var)


BAD = [
    ({"gamma": np.ones(2)}, ValueError, r"gamma must have 3 numbers to go with x of shape \(4, 3\), got shape \(2,\)"),
    ({"beta": np.ones(2)}, ValueError, r"beta must have a number for each of 3 features, got shape \(2,\)"),
    ({"gamma": np.ones(2), "x": np.ones((4, 3, 2, 2))}, ValueError, r"3 numbers \(a channel each\) or 12"),
    ({"running_mean": np.ones(2), "running_var": np.ones(3)}, ValueError, "running_mean must have a number for each"),
    ({"running_mean": np.ones(3), "running_var": np.ones(2)}, ValueError, "running_var must have a number for each"),
    ({"momentum": 1.5}, ValueError, "momentum must be from 0 to 1, got 1.5"),
    ({"momentum": None}, TypeError, "momentum must be a real number"),
    ({"x": np.ones((0, 3))}, ValueError, "x is empty"),
    ({"x": 1.0}, ValueError, "got a number"),
    ({"x": np.ones((4, 3), complex)}, TypeError, "x must hold real numbers"),
    ({"gamma": np.ones(3, object)}, TypeError, "gamma must hold real numbers"),
    ({"dout": np.ones((4, 2))}, ValueError, r"dout must have the shape of the output, \(4, 3\), got \(4, 2\)"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_is_refused(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    right = {"gamma": np.ones(3), "beta": np.zeros(3)}
    arrays = {"x": RNG.standard_normal((4, 3)), "dout": np.ones((4, 3))} | wrong

    def passes() -> None:
        layer = BatchNormalization(
            **(right | {name: value for name, value in wrong.items() if name not in ("x", "dout")})
        )
        layer.forward(arrays["x"])
        layer.backward(arrays["dout"])

    with pytest.raises(error, match=message):
        passes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_writes_and_reads_inside_alone(dtype: str) -> None:
    from fastbp.kernels.batch_normalization import (
        batch_normalization_backward,
        batch_normalization_forward,
        batch_normalization_predict,
    )

    tolerance, rng = TOLERANCE[np.dtype(dtype)], np.random.default_rng(8)
    for shape in [(2, 1, 1), (5, 7, 1), (9, 33, 1), (3, 130, 1), (4, 3, 5), (2, 2, 16), (3, 5, 67)]:
        C = shape[1]
        x = Guarded(rng.standard_normal(shape).astype(dtype))
        dout = Guarded(rng.standard_normal(shape).astype(dtype))
        gamma, beta, running_mean, running_var = (Guarded((rng.random(C) + 0.5).astype(dtype)) for _ in range(4))
        out, dx, predicted = (empty(*shape, dtype=dtype) for _ in range(3))
        mean, std, new_mean, new_var, dgamma, dbeta = (empty(C, dtype=dtype) for _ in range(6))
        running, statistics = (running_mean.array, running_var.array), (mean.array, std.array)
        batch_normalization_forward(
            *(x.array, gamma.array, beta.array, 0.9, *running, out.array, *statistics, new_mean.array, new_var.array)
        )
        batch_normalization_backward(
            *(dout.array, x.array, *statistics, gamma.array, dx.array, dgamma.array, dbeta.array)
        )
        batch_normalization_predict(x.array, gamma.array, beta.array, *running, predicted.array)
        oracle = reference.BatchNormalization(*(each.array.astype(float) for each in (gamma, beta)), 0.9)
        oracle.running_mean, oracle.running_var = (each.astype(float) for each in running)
        wide = [np.moveaxis(each.array, 1, 2).reshape(-1, C).astype(float) for each in (x, dout)]  # a column a feature

        def columns(array: np.ndarray) -> np.ndarray:
            return np.moveaxis(array, 1, 2).reshape(-1, array.shape[1])

        checks.close(columns(predicted.array), oracle.forward(wide[0], False), tolerance, f"{shape}: in prediction")
        checks.close(columns(out.array), oracle.forward(wide[0]), tolerance, f"{shape}: out")
        checks.close(columns(dx.array), oracle.backward(wide[1]), tolerance, f"{shape}: dx")
        checks.close(dgamma.array, oracle.dgamma, tolerance, f"{shape}: dgamma")
        checks.close(new_var.array, oracle.running_var, tolerance, f"{shape}: running_var")
        guarded = (x, dout, gamma, beta, running_mean, running_var, out, dx, predicted)
        assert all(each.untouched() for each in (*guarded, mean, std, new_mean, new_var, dgamma, dbeta)), shape


class AsInTheBook(BatchNormalization):
    """A reader's own forward, which keeps some of what the book's does."""

    keeps: tuple[str, ...] = ()

    def forward(self, x: np.ndarray, train_flg: bool = True) -> np.ndarray:
        rows = x if self.gamma.size == x.shape[1] else x.reshape(len(x), -1)
        places, form = (0, *range(2, rows.ndim)), (1, -1, *[1] * (rows.ndim - 2))
        xc = rows - rows.mean(axis=places, keepdims=True)
        std = np.sqrt(np.mean(xc**2, axis=places, keepdims=True) + 1e-6)
        xn = xc / std
        self.std = std.ravel()
        for name in self.keeps:
            setattr(self, name, {"xc": xc, "xn": xn}[name])
        return (self.gamma.reshape(form) * xn + self.beta.reshape(form)).reshape(x.shape)


@pytest.mark.parametrize("keeps", [("xc", "xn"), ("xc",), ("xn",)], ids="+".join)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "features"), FORMS.values(), ids=FORMS)
def test_a_forward_of_ones_own_may_keep_values(
    shape: tuple[int, ...], features: int, dtype: str, keeps: tuple[str, ...]
) -> None:
    gamma, beta = (RNG.standard_normal(features).astype(dtype) for _ in range(2))
    x, dout, earlier = (RNG.standard_normal(shape).astype(dtype) for _ in range(3))
    layer, ours = AsInTheBook(gamma, beta), BatchNormalization(gamma, beta)
    layer.keeps = keeps
    if len(keeps) == 2:  # else the other is that of the earlier pass, as in the book
        BatchNormalization.forward(layer, earlier)
    tolerance = 10 * TOLERANCE[np.dtype(dtype)]
    checks.close(layer.forward(x), ours.forward(x), tolerance, "out")
    for name in keeps:
        assert getattr(layer, name) is vars(layer)[name]
    for name in ("xc", "xn"):
        checks.close(getattr(layer, name).reshape(ours.xc.shape), getattr(ours, name), tolerance, name)
    checks.close(layer.backward(dout), ours.backward(dout), tolerance, "dx")
    for name in ("dgamma", "dbeta"):
        checks.close(getattr(layer, name), getattr(ours, name), tolerance, name)
        assert getattr(layer, name).dtype == dtype
    BatchNormalization.forward(layer, earlier)
    ours.forward(earlier)
    np.testing.assert_array_equal(layer.xn, ours.xn)
    np.testing.assert_array_equal(layer.backward(dout), ours.backward(dout))


def book_backward(xc: Any, xn: Any, std: Any, gamma: Any, dout: Any) -> tuple[Any, Any]:
    """dx and dgamma in the book's lines."""
    dgamma = np.sum(xn * dout, axis=0)
    dxn = gamma * dout
    dxc = dxn / std
    dstd = -np.sum((dxn * xc) / (std * std), axis=0)
    dvar = 0.5 * dstd / std
    dxc += (2.0 / len(xc)) * xc * dvar
    return dxc - np.sum(dxc, axis=0) / len(xc), dgamma


@pytest.mark.parametrize("pickled", [False, True], ids=["as it is", "pickled"])
@pytest.mark.parametrize("name", ["xc", "xn", "std"])
def test_one_that_is_assigned_leaves_the_others(name: str, pickled: bool) -> None:
    gamma, x, dout = RNG.standard_normal(7), *RNG.standard_normal((2, 9, 7))
    layer = BatchNormalization(gamma, np.zeros(7))
    layer.forward(x)
    plain = layer.backward(dout)
    kept = {each: getattr(layer, each).copy() for each in ("xc", "xn", "std")}
    kept[name] = 3 * kept[name]
    setattr(layer, name, kept[name])
    if pickled:
        layer = pickle.loads(pickle.dumps(layer))
    dx, dgamma = book_backward(**kept, gamma=gamma, dout=dout)
    checks.close(layer.backward(dout), dx, 1e-12, "dx")
    checks.close(layer.dgamma, dgamma, 1e-12, "dgamma")
    for each, value in kept.items():
        checks.close(getattr(layer, each), value, 1e-12, each)
    layer.forward(x)
    np.testing.assert_array_equal(layer.backward(dout), plain)


def test_std_may_be_changed_in_place_and_what_is_made_when_read_not() -> None:
    gamma, x, dout = RNG.standard_normal(7), *RNG.standard_normal((2, 9, 7))
    layer = BatchNormalization(gamma, np.zeros(7))
    layer.forward(x)
    xc, xn, std = layer.xc, layer.xn, layer.std.copy()
    for made in (xc, xn):
        with pytest.raises(ValueError, match="read-only"):
            made[:] = 0
    layer.std *= 2
    checks.close(layer.backward(dout), book_backward(xc, xn, 2 * std, gamma, dout)[0], 1e-12, "dx")
    np.testing.assert_array_equal(layer.xn, xn)
    layer.xn = 2 * xn  # what is assigned is its owner's
    layer.xn[:] = 0
    layer.backward(dout)
    assert not layer.dgamma.any()


def test_values_that_do_not_fit_are_refused() -> None:
    layer = BatchNormalization(np.ones(3), np.zeros(3))
    layer.forward(RNG.standard_normal((4, 3)))
    layer.xn = np.ones((5, 3))
    with pytest.raises(ValueError, match="xc and xn must have one shape"):
        layer.backward(np.ones((4, 3)))
    layer.xc = np.ones((5, 3))
    with pytest.raises(ValueError, match=r"dout must go with xc of shape \(5, 3\), got \(4, 3\)"):
        layer.backward(np.ones((4, 3)))
