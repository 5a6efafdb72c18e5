"""What every layer must pass, ours and the oracle alike; a wrong layer must fail at least one of them."""

from typing import Any

import numpy as np
from cases import OPERATIONS, Case, example

from fastbp import reference
from fastbp.boundary.arrays import TOLERANCE

Arrays = dict[str, Any]


def close(got: Any, expected: Any, tolerance: float, what: str) -> None:
    """max|a − b| ≤ tolerance · max(1, max|b|), NaN and infinities in the same places; shows the worst element."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape} instead of {expected.shape}"
    finite = np.isfinite(expected)
    strange = ~np.where(finite, np.isfinite(got), (got == expected) | (np.isnan(got) & np.isnan(expected)))
    assert not strange.any(), _worst(got, expected, strange, what)
    difference = np.abs(np.where(finite, got, 0).astype(np.float64) - np.where(finite, expected, 0))
    bound = tolerance * max(1.0, float(np.max(np.abs(expected), where=finite, initial=0)))
    assert difference.size == 0 or difference.max() <= bound, _worst(got, expected, difference, what)


def _worst(got: np.ndarray, expected: np.ndarray, badness: np.ndarray, what: str) -> str:
    index = np.unravel_index(int(np.argmax(badness)), badness.shape)
    return f"{what}{[int(i) for i in index]} is {got[index]!r}, expected {expected[index]!r}"


def run(layers: Any, case: Case) -> Arrays:
    """Everything that a case computes, by name; also holds the inputs to what they were."""
    arrays = case.arrays()
    before = {name: np.array(value) for name, value in arrays.items()}
    layer = case.layer(layers, arrays)
    results = {"forward": case.forward(layer, arrays)}
    results |= {name: getattr(layer, name) for name in OPERATIONS[case.operation].saved}
    results["dx"] = case.backward(layer, arrays)
    results |= {f"d{name}": getattr(layer, f"d{name}") for name in OPERATIONS[case.operation].trained}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name], err_msg=f"{case}: {name} was changed")
    return results


def agrees_with_oracle(layers: Any, case: Case) -> None:
    """Values, shapes and dtypes equal the oracle's, within the table of tolerances."""
    got, expected = run(layers, case), run(reference, case)
    for name, value in expected.items():
        close(got[name], value, TOLERANCE[np.dtype(case.dtype)], f"{case}: {name}")
        assert np.asarray(got[name]).dtype == np.asarray(value).dtype.newbyteorder("="), f"{case}: dtype of {name}"


def same_results(layers: Any, case: Case) -> None:
    """forward and backward equal the oracle's; what is kept in between is the system's own affair."""
    arrays = case.arrays()
    got, expected = (_passes(case, case.layer(namespace, arrays), arrays) for namespace in (layers, reference))
    for name, value in expected.items():
        close(got[name], value, TOLERANCE[np.dtype(case.dtype)], f"{case}: {name}")


def gradient_is_right(layers: Any, case: Case) -> None:
    """backward equals central differences of Σ forward · dout, for x and for each parameter (float64)."""
    arrays = case.arrays()
    layer = case.layer(layers, arrays)

    def objective() -> float:
        return float(np.sum(case.forward(layer, arrays) * arrays["dout"]))

    objective()
    got = {"x": case.backward(layer, arrays)}
    got |= {name: getattr(layer, f"d{name}") for name in OPERATIONS[case.operation].trained}
    for name, gradient in got.items():
        close(gradient, central_differences(objective, arrays[name]), 1e-7, f"{case}: d{name}")


def central_differences(objective: Any, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Written here, apart from fastbp.gradient, so that neither can hide a fault of the other."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = objective()
        x[index] = kept - step
        below = objective()
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def second_pass_is_independent(layers: Any, case: Case) -> None:
    """A second, other batch through the same layer gives what a new layer gives, and leaves the first results alone."""
    arrays = case.arrays()
    other = arrays | {"x": -arrays["x"][::-1].copy()}
    layer = case.layer(layers, arrays)
    first = _passes(case, layer, arrays)
    kept = {name: np.array(result) for name, result in first.items()}
    second = _passes(case, layer, other)
    expected = _passes(case, case.layer(layers, other), other)
    for name in first:
        np.testing.assert_array_equal(first[name], kept[name], err_msg=f"{case}: a later pass changed the first {name}")
        np.testing.assert_array_equal(second[name], expected[name], err_msg=f"{case}: {name} of a second pass")


def _passes(case: Case, layer: Any, arrays: Arrays) -> Arrays:
    results = {"forward": case.forward(layer, arrays), "backward": case.backward(layer, arrays)}
    return results | {f"d{name}": getattr(layer, f"d{name}") for name in OPERATIONS[case.operation].trained}


def all_checks(layers: Any, operation: str) -> None:
    """Every check on a few small cases: what a layer has to pass to be called right."""
    case = Case(operation, example(operation), "float64")
    agrees_with_oracle(layers, case)
    agrees_with_oracle(layers, Case(operation, example(operation), "float64", "read-only"))
    second_pass_is_independent(layers, case)
    if operation != "softmax_loss_eps":  # there the gradient is that of the exact loss
        gradient_is_right(layers, case)
