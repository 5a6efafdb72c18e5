"""A layer that stands outside of the package, with Numba kernels of its own in the compiled loop."""

import copy
from typing import Any

import numpy as np
import pytest
from chains import COMPILES, by_layers, compiled
from checks import close

import fastbp

if not COMPILES:
    pytest.skip("nothing is compiled", allow_module_level=True)

import numba


@numba.njit
def swish_forward(x, out, beta):
    for n in range(x.shape[0]):
        for d in range(x.shape[1]):
            out[n, d] = x[n, d] / (1 + np.exp(-beta * x[n, d]))


@numba.njit
def swish_backward(dout, x, out, dx, beta):
    for n in range(x.shape[0]):
        for d in range(x.shape[1]):
            s = 1 / (1 + np.exp(-beta * x[n, d]))
            dx[n, d] = dout[n, d] * (s + beta * x[n, d] * s * (1 - s))


@numba.njit
def plain_forward(x, out):
    out[:] = x


@numba.njit
def plain_backward(dout, x, out, dx):
    dx[:] = dout


def swish(**kernels: Any) -> type:
    """A new class, which nobody has checked."""
    both = {"forward": swish_forward, "backward": swish_backward, "numbers": ("beta",)} | kernels

    class Swish:
        compiled = fastbp.layer_kernels(**both)

        def __init__(self, beta: float) -> None:
            self.beta = beta

        def forward(self, x: Any) -> Any:
            self.x, self.s = x, 1 / (1 + np.exp(-self.beta * x))
            return x * self.s

        def backward(self, dout: Any) -> Any:
            return dout * (self.s + self.beta * self.x * self.s * (1 - self.s))

    return Swish


def network(layer: Any, dtype: str = "float64") -> Any:
    made = fastbp.TwoLayerNet(6, 5, 3, 0.5, dtype=dtype, rng=np.random.default_rng(1))
    made.layers["Relu1"] = layer
    return made


X, T = np.random.default_rng(2).standard_normal((50, 6)), np.arange(50) % 3
ORDER = np.random.default_rng(3).integers(0, 50, (20, 10))
SAMPLES = np.random.default_rng(4).standard_normal((7, 5))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_a_layer_of_ones_own_runs_in_the_compiled_loop(dtype: str, tolerance: float) -> None:
    cls = swish()
    fastbp.check_layer(cls(1.5), SAMPLES)
    ours = network(cls(1.5), dtype)
    theirs = copy.deepcopy(ours)
    step = compiled(ours, fastbp.SGD(0.1))
    losses = step.run(X.astype(dtype), T, ORDER)
    close(losses, by_layers(theirs, fastbp.SGD(0.1)).run(X.astype(dtype), T, ORDER), tolerance, "losses")
    for name, array in theirs.params.items():
        close(ours.params[name], array, tolerance, name)
    assert "Swish            compiled" in step.report()


def test_a_number_that_changes_counts() -> None:
    cls = swish()
    fastbp.check_layer(cls(1.5), SAMPLES)
    ours = network(cls(1.5))
    step = compiled(ours, fastbp.SGD(0.1))
    step.run(X, T, ORDER)
    ours.layers["Relu1"].beta = 0.5
    theirs = copy.deepcopy(ours)
    close(step.run(X, T, ORDER), by_layers(theirs, fastbp.SGD(0.1)).run(X, T, ORDER), 1e-12, "losses")


def test_an_attribute_that_the_kernels_do_not_get_is_refused() -> None:
    """Its value in another layer, or a later one, would change what the methods do, and not what the kernels do."""
    base = swish()

    class Scaled(base):  # type: ignore[misc,valid-type]
        compiled = base.compiled

        def __init__(self, beta: float, doubles: bool = False) -> None:
            super().__init__(beta)
            self.doubles, self.name, self.samples = doubles, "swish", 7

        def __repr__(self) -> str:
            return f"{self.name} of {self.beta}"

        def forward(self, x: Any) -> Any:
            self.samples = len(x)
            out = super().forward(x)
            return (lambda: 2 * out if self.doubles else out)()  # in a function inside

        def backward(self, dout: Any) -> Any:
            assert self.samples == len(dout)
            return (2 if self.doubles else 1) * super().backward(dout)

    with pytest.raises(TypeError, match=r"methods of Scaled read doubles, which its kernels don't get: add it to"):
        fastbp.check_layer(Scaled(1.5), SAMPLES)
    assert not fastbp.compile(network(Scaled(1.5, doubles=True)), fastbp.SGD(0.1)).compiled


def test_what_was_not_checked_never_runs() -> None:
    step = fastbp.compile(network(swish()(1.5)), fastbp.SGD(0.1))
    assert not step.compiled
    assert step.reason == "the kernels of Swish were not checked: fastbp.check_layer(layer, x)"


def test_a_method_that_changes_after_the_check_counts() -> None:
    cls = swish()
    fastbp.check_layer(cls(1.5), SAMPLES)
    step = fastbp.compile(network(cls(1.5)), fastbp.SGD(0.1))
    assert step.compiled
    cls.forward = lambda self, x, forward=cls.forward: 2 * forward(self, x)
    step.run(X, T, ORDER)
    assert not step.compiled


@pytest.mark.parametrize("wrong", ["forward", "backward"])
def test_kernels_that_do_something_else_are_found(wrong: str) -> None:
    @numba.njit
    def forward(x, out, beta):
        out[:] = x

    @numba.njit
    def backward(dout, x, out, dx, beta):
        dx[:] = dout

    cls = swish(**{wrong: {"forward": forward, "backward": backward}[wrong]})
    with pytest.raises(ValueError, match=rf"{wrong} of Swish in float32 differs at \(\d, \d\): the kernel has"):
        fastbp.check_layer(cls(1.5), SAMPLES)
    assert not fastbp.compile(network(cls(1.5)), fastbp.SGD(0.1)).compiled


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ({"forward": lambda x, out: None, "backward": plain_backward}, "forward must be a function compiled by numba"),
        (
            {"forward": plain_forward, "backward": swish_backward},
            r"backward must take \(dout, x, out, dx\), got swish_backward\(dout, x, out, dx, beta\)",
        ),
        (
            {"forward": swish_forward, "backward": swish_backward, "numbers": ("alpha",)},
            r"forward must take \(x, out, alpha\), got swish_forward\(x, out, beta\)",
        ),
    ],
)
def test_a_wrong_signature_is_refused(kernels: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        fastbp.layer_kernels(**kernels)


def test_layers_without_kernels_and_samples_that_are_none() -> None:
    class Nothing:
        def forward(self, x: Any) -> Any:
            return x

    with pytest.raises(TypeError, match="Nothing has no kernels"):
        fastbp.check_layer(Nothing(), SAMPLES)
    with pytest.raises(ValueError, match=r"x must hold a batch, of shape \(N, ...\), got \(5,\)"):
        fastbp.check_layer(swish()(1.5), SAMPLES[0])


@pytest.mark.parametrize("layer", [fastbp.Relu(), fastbp.Sigmoid(), fastbp.Tanh(), fastbp.LeakyRelu(0.3)])
def test_the_library_s_own_layers_pass(layer: Any) -> None:
    fastbp.check_layer(layer, SAMPLES)
