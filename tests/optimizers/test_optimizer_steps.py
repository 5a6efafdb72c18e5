"""All optimizers: what their steps compute, and what they keep."""

import copy
import inspect
import pickle
from typing import Any

import checks
import numpy as np
import pytest
from book_steps import OTHERS, STEPS, steps
from cases import DTYPES, byte_swapped, strided, unaligned
from hypothesis import given
from hypothesis import strategies as st
from numba import config

import fastbp
from fastbp.boundary.arrays import TOLERANCE
from fastbp.optimizers.by_name import OPTIMIZERS

RNG = np.random.default_rng(52)
SHAPES: list[tuple[int, ...]] = [(), (1,), (7, 13), (3, 4, 5), (1031,)]


class Product(np.ndarray):
    """Another meaning of an operator, as in np.matrix."""

    def __mul__(self, other: Any) -> Any:
        return self @ other


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "unaligned": unaligned,
    "byte-swapped": byte_swapped,
    "subclass": lambda array: array.copy().view(Product),
    "float16": lambda array: array.astype(np.float16),
    "longdouble": lambda array: array.astype(np.longdouble),
}


def optimizer(name: str, **arguments: float) -> Any:
    return getattr(fastbp, name)(**arguments)


def same(name: str, got: Any, expected: Any, tolerance: float) -> None:
    """The optimizer's state of the parameter p."""
    assert got.state_names == tuple(expected)
    for key, value in expected.items():
        checks.close(getattr(got, key)["p"], value, tolerance, f"{name}: {key}")


def test_names_and_arguments_are_the_books() -> None:
    assert {cls.__name__ for cls in OPTIMIZERS.values()} == set(STEPS)
    for name, (step, state) in STEPS.items():
        cls = getattr(fastbp, name)
        assert OPTIMIZERS[name.lower()] is cls
        ours, book = (list(inspect.signature(function).parameters.values()) for function in (cls, step))
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in book[4:]]
        new = cls()
        assert vars(new) == {p.name: p.default for p in ours} | dict.fromkeys(state) | (
            {"iter": 0} if name == "Adam" else {}
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "arguments"), [(name, some) for name in STEPS for some in [{}, *OTHERS[name]]], ids=str
)
def test_steps(name: str, arguments: dict[str, float], shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(97)
    start, gradients = rng.standard_normal(shape).astype(dtype), rng.standard_normal((6, *shape)).astype(dtype)
    gradients += gradients.dtype.type(0.1) * np.sign(gradients)  # near 0 the oracle loses digits too
    expected, state = steps(name, start, gradients, **arguments)
    array = np.array(start)
    ours, params = optimizer(name, **arguments), {"p": array}
    for gradient in gradients:
        kept = np.array(gradient)
        ours.update(params, {"p": gradient})
        np.testing.assert_array_equal(gradient, kept)
    assert params["p"] is array
    checks.close(array, expected, 5 * TOLERANCE[np.dtype(dtype)], name)
    same(name, ours, state, 5 * TOLERANCE[np.dtype(dtype)])
    for key in ours.state_names:
        assert getattr(ours, key)["p"].dtype == array.dtype == dtype


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("name", STEPS)
def test_any_array(name: str, layout: Any) -> None:
    """What no kernel reads changes in place all the same, with the bits of the others where the dtype is theirs."""
    start, gradients = RNG.standard_normal((5, 7)), RNG.standard_normal((3, 5, 7))
    array, plain = layout(start), {"p": start.copy()}
    params, ours, twin = {"p": array}, optimizer(name), optimizer(name)
    for gradient in gradients:
        ours.update(params, {"p": gradient})
        twin.update(plain, {"p": gradient})
    assert params["p"] is array
    if array.dtype == np.float64:
        np.testing.assert_array_equal(array, plain["p"])
    else:
        checks.close(array.astype(np.float64), plain["p"], 0.02 if array.dtype.itemsize == 2 else 1e-12, name)
    for key in ours.state_names:
        assert getattr(ours, key)["p"].dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", [int, float, np.float32, np.float64, np.int64, list])
def test_numbers_are_replaced(name: str, kind: Any) -> None:
    number: Any = [2.0, 3.0] if kind is list else kind(2)
    gradients = [[1.0, -0.5]] * 3 if kind is list else [1.0, np.float64(0.5), 2]
    params, ours = {"p": number}, optimizer(name)
    for gradient in gradients:
        ours.update(params, {"p": gradient})
    expected, state = steps(name, number, gradients)
    checks.close(params["p"], expected, 1e-6, name)
    same(name, ours, state, 1e-6)
    assert type(params["p"]) is {int: float, np.int64: np.float64, list: np.ndarray}.get(kind, kind)


@pytest.mark.parametrize("gradient", [np.full(300, 200, np.uint8), np.full(300, 200, np.float16), [200] * 300])
@pytest.mark.parametrize("name", STEPS)
def test_narrow_gradients_do_not_overflow(name: str, gradient: Any) -> None:
    params = {"p": np.zeros(300, np.float32)}
    optimizer(name).update(params, {"p": gradient})
    checks.close(params["p"], steps(name, np.zeros(300), [gradient])[0], 1e-5, name)


@pytest.mark.parametrize("name", STEPS)
def test_nan_and_infinity_stay_where_they_are(name: str) -> None:
    array, gradient = np.zeros(50), np.ones(50)
    gradient[[3, 40]] = np.nan, np.inf
    optimizer(name).update({"p": array}, {"p": gradient})
    assert np.isnan(array[3])
    assert not np.isfinite(array[40]) or array[40] == 0
    assert np.isfinite(np.delete(array, [3, 40])).all()


@pytest.mark.parametrize("name", STEPS)
def test_hyperparameters_may_change_between_steps(name: str) -> None:
    changed = OTHERS[name][0]
    gradients = RNG.standard_normal((4, 9))
    params, ours = {"p": np.zeros(9)}, optimizer(name)
    step, names = STEPS[name]
    expected: Any = np.zeros(9)
    state = {key: np.zeros(9) for key in names}
    for t, gradient in enumerate(gradients, 1):
        if t == 3:
            vars(ours).update(changed)
        ours.update(params, {"p": gradient})
        expected = step(expected, gradient, t, state, **(changed if t >= 3 else {}))
    checks.close(params["p"], expected, 1e-12, name)
    same(name, ours, state, 1e-12)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda kept: pickle.loads(pickle.dumps(kept))])
@pytest.mark.parametrize("name", STEPS)
def test_a_copy_goes_on_by_itself(name: str, copied: Any) -> None:
    gradients = RNG.standard_normal((6, 40)).astype(np.float32)
    params, ours = {"p": np.ones(40, np.float32)}, optimizer(name)
    for gradient in gradients[:3]:
        ours.update(params, {"p": gradient})
    (other_params, other), kept = copied((params, ours)), copied(ours)
    for gradient in gradients[3:]:
        other.update(other_params, {"p": gradient})
    for key in ours.state_names:
        np.testing.assert_array_equal(getattr(ours, key)["p"], getattr(kept, key)["p"])
    for gradient in gradients[3:]:
        ours.update(params, {"p": gradient})
    np.testing.assert_array_equal(params["p"], other_params["p"])
    assert vars(ours).keys() == vars(other).keys()


@pytest.mark.parametrize("name", STEPS)
def test_steps_taken_elsewhere(name: str) -> None:
    """As a compiled loop takes them: on the state's arrays, with the scalars of each step, counted at the end."""
    gradients = RNG.standard_normal((5, 33))
    ours, loop = optimizer(name), optimizer(name)
    params, array = {"p": np.zeros(33)}, np.zeros(33)
    for gradient in gradients:
        ours.update(params, {"p": gradient})
    state = loop.state_for({"p": array})["p"]
    for k, gradient in enumerate(gradients[:4], 1):
        loop._step.kernel(array, gradient, *state, *loop.scalars(k))
    loop.advance(4)
    loop.update({"p": array}, {"p": gradients[4]})
    np.testing.assert_array_equal(array, params["p"])
    assert state == loop.state_for({"p": array})["p"] == tuple(getattr(loop, key)["p"] for key in loop.state_names)
    assert ours.scalars() == loop.scalars()


@given(st.integers(1, 10**9))
def test_adams_rate_tends_to_lr(iterations: int) -> None:
    adam = fastbp.Adam(0.5)
    adam.iter = iterations
    lr_t, beta1, beta2 = adam.scalars()
    t = iterations + 1
    assert lr_t == pytest.approx(0.5 * np.sqrt(1 - beta2**t) / (1 - beta1**t), rel=1e-15)
    assert lr_t == 0.5 if t > 40_000 else lr_t <= 0.5


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="too long for kernels that run as Python")
@pytest.mark.parametrize("name", STEPS)
def test_every_optimizer_trains(name: str) -> None:
    (x, t), (x_test, t_test) = fastbp.datasets.load_digits()
    network = fastbp.TwoLayerNet(64, 20, 10, 0.1, dtype="float32", rng=np.random.default_rng(53))
    lr = {"SGD": 0.3, "Momentum": 0.05, "Nesterov": 0.05}.get(name, 0.01)
    rng = np.random.default_rng(54)
    loop = fastbp.Trainer(network, x, t, x_test, t_test, 5, 50, name.upper(), {"lr": lr}, verbose=False, rng=rng)
    loop.train()
    assert type(loop.optimizer) is getattr(fastbp, name)
    assert loop.test_acc_list[-1] > 0.85
