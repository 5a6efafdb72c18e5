"""What every layer has to pass, taken from its row of `cases.OPERATIONS`: a layer's own file has what is special."""

import copy
from types import SimpleNamespace
from typing import Any

import checks
import numpy as np
import pytest
from cases import DTYPES, OPERATIONS, Case, example, table
from chains import COMPILES, TOLERANCE, Chain, by_layers, compiled
from nets import same_bits

import fastbp
from fastbp import layers
from fastbp.layers.compiled import Compiled

# In the compiled loop: rows whose layer says what that calls for it, and which isn't a loss.
IN_THE_LOOP = [
    name
    for name in OPERATIONS
    if isinstance(getattr(type(Case(name, example(name), "float64").made(layers)), "compiled", None), Compiled)
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_agrees_with_oracle(operation: str, dtype: str, pytestconfig: pytest.Config) -> None:
    """In each of its cases, up to 300: a test for each would take longer to collect than to run."""
    wrong = []
    for case in table(operation, pytestconfig.getoption("--small")):
        if case.dtype == dtype:
            try:
                checks.agrees_with_oracle(layers, case)
            except AssertionError as error:
                wrong.append(f"{case}: {error}")
    assert not wrong, "\n".join(wrong)


# What nobody may pass, and what it says: by the argument that it is for.
BAD = {
    "no numbers": ("x", lambda x: x.astype(object), TypeError, "x must hold real numbers"),
    "complex": ("x", lambda x: x + 0j, TypeError, "x must hold real numbers"),
    "text": ("x", lambda x: x.astype(str), TypeError, "x must hold real numbers"),
    "nothing": ("x", lambda x: x[:0], ValueError, "x is empty"),
    "masked": ("x", lambda x: np.ma.masked_less(x, 0), TypeError, "masked array"),
    "fewer": ("dout", lambda dout: dout[:-1], ValueError, "dout must have the shape of the output"),
    "a number": ("dout", lambda dout: 1.0, ValueError, r"dout must have the shape of the output, .* got \(\)"),
    "complex gradients": ("dout", lambda dout: dout * 1j, TypeError, "dout must hold real numbers"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_bad_input_is_refused_and_changes_nothing(operation: str, bad: str) -> None:
    name, made, error, message = BAD[bad]
    case = Case(operation, example(operation), "float64")
    arrays = case.arrays()
    if name == "dout" and not isinstance(arrays["dout"], np.ndarray):
        pytest.skip("a loss's dout is a number")
    layer = case.layer(layers, arrays)
    case.forward(layer, arrays)
    wrong = arrays | {name: made(arrays[name])}
    with pytest.raises(error, match=message):
        (case.forward if name == "x" else case.backward)(layer, wrong)
    fresh = case.layer(layers, arrays)
    case.forward(fresh, arrays)
    same_bits({"dx": case.backward(layer, arrays)}, {"dx": case.backward(fresh, arrays)})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_backward_needs_forward(operation: str) -> None:
    case = Case(operation, example(operation), "float64")
    with pytest.raises(RuntimeError, match=r"backward needs a forward pass first"):
        case.backward(case.made(layers), case.arrays())


# The suite bites: mistakes that any layer can have, made in each -----------------------------------------------------


def forward_off(self: Any, *arguments: Any) -> Any:
    return super(type(self), self).forward(*arguments) * (1 + 1e-6)


def backward_off(self: Any, dout: Any) -> Any:
    return super(type(self), self).backward(dout) * (1 + 1e-6)


def dout_ignored(self: Any, dout: Any) -> Any:
    return super(type(self), self).backward(dout * 0 + 1)


def input_changed(self: Any, x: Any, *labels: Any) -> Any:
    out = super(type(self), self).forward(x, *labels)
    x *= 2
    return out


def buffer_reused(self: Any, x: Any, *labels: Any) -> Any:
    out = super(type(self), self).forward(x, *labels)
    before, self._buffer = getattr(self, "_buffer", None), out
    if not isinstance(out, np.ndarray) or before is None:
        return out
    before[...] = out
    return before


def batch_forgotten(self: Any, dout: Any) -> Any:
    """The gradient of the first sample, for all."""
    dx = super(type(self), self).backward(dout)
    dx[...] = dx[:1]
    return dx


MISTAKES = {
    "forward": (forward_off, input_changed, buffer_reused),
    "backward": (backward_off, dout_ignored, batch_forgotten),
}


@pytest.mark.skipif(not COMPILES, reason="found by compiled kernels, in a hundredth of the time")
@pytest.mark.parametrize("mistake", [each for group in MISTAKES.values() for each in group], ids=lambda m: m.__name__)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_mistakes_are_found(operation: str, mistake: Any) -> None:
    if mistake is buffer_reused and "loss" in operation:
        pytest.skip("a loss returns a number")
    method = next(name for name, group in MISTAKES.items() if mistake in group)
    cls = type(Case(operation, example(operation), "float64").made(layers))
    wrong = type(cls.__name__, (cls,), {method: mistake})
    with pytest.raises((AssertionError, ValueError)):
        checks.all_checks(SimpleNamespace(**{cls.__name__: wrong}), operation)


@pytest.mark.skipif(not COMPILES, reason="found by compiled kernels, in a hundredth of the time")
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if OPERATIONS[name].trained])
def test_wrong_gradients_of_parameters_are_found(operation: str) -> None:
    cls = type(Case(operation, example(operation), "float64").made(layers))
    for name in OPERATIONS[operation].trained:

        def backward(self: Any, dout: Any, name: str = name) -> Any:
            dx = super(type(self), self).backward(dout)
            setattr(self, f"d{name}", getattr(self, f"d{name}") * (1 + 1e-6))
            return dx

        wrong = type(cls.__name__, (cls,), {"backward": backward})
        with pytest.raises(AssertionError):
            checks.all_checks(SimpleNamespace(**{cls.__name__: wrong}), operation)


# The compiled loop ---------------------------------------------------------------------------------------------------


def network(operation: str, dtype: str) -> tuple[Any, Any]:
    """A network with the layer between two of Affine, or behind ReLU where its samples are no rows; and samples."""
    case = Case(operation, example(operation), dtype)
    arrays = case.arrays()
    layer = case.layer(layers, arrays)
    x, rng = arrays["x"], np.random.default_rng(3)
    params = {name: arrays[name] for name in OPERATIONS[operation].trained}
    out = np.asarray(case.forward(layer, arrays))

    def affine(number: int, inputs: int, outputs: int) -> Any:
        params[f"W{number}"] = (rng.standard_normal((inputs, outputs)) / inputs**0.5).astype(dtype)
        params[f"b{number}"] = rng.standard_normal(outputs).astype(dtype)
        return layers.Affine(params[f"W{number}"], params[f"b{number}"])

    first = affine(1, x.shape[1], x.shape[1]) if x.ndim == 2 else layers.Relu()
    parts = [first, layer, affine(2, out[0].size, 3)]
    return Chain(parts, params, layers.SoftmaxWithLoss()), np.concatenate([x, -x, 2 * x])


@pytest.mark.skipif(not COMPILES, reason="nothing is compiled")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", IN_THE_LOOP)
def test_the_compiled_loop_does_what_its_methods_do(operation: str, dtype: str) -> None:
    ours, x = network(operation, dtype)
    theirs = copy.deepcopy(ours)
    for layer, twin in zip(ours.layers, theirs.layers, strict=True):  # deepcopy parts parameters from their layers
        assert all(getattr(twin, key) is not getattr(layer, key) for key in ("W", "b") if hasattr(layer, key))
    t = np.arange(len(x)) % 3
    order = np.random.default_rng(5).integers(0, len(x), (6, 5))
    losses = compiled(ours, fastbp.SGD(0.1)).run(x, t, order)
    expected = by_layers(theirs, fastbp.SGD(0.1)).run(x, t, order)
    checks.close(losses, expected, TOLERANCE[dtype], "losses")
    for name, array in theirs.params.items():
        checks.close(ours.params[name], array, TOLERANCE[dtype], name)
    scores = fastbp.predict(ours, x)
    checks.close(scores, ours.predict(x), TOLERANCE[dtype], "scores")
