"""The book's optimizers over dicts of parameters and gradients; parameters are changed in place."""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import not_negative, share, whole_number
from fastbp.kernels import optimizers as kernels
from fastbp.kernels import plain
from fastbp.originals import original

States = dict[str, NDArray[Any]]


@original
class Optimizer:
    """What the optimizers share. Each knows its kernel, the numbers that go into it, and the names of its state.

    A compiled training loop asks for `scalars()`, the `step_sizes` of the next steps and `state_for(params)`, takes the
    steps on the very arrays, and tells how many they were: `advance(steps)`.
    """

    kind: ClassVar[str]  # the kernel is `{kind}_update`, its part for a range of elements `{kind}_range`
    state_names: ClassVar[tuple[str, ...]] = ()  # attributes, in the kernel's order
    lr: float

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        """The numbers of the next step, or of the `step`-th from now, in the kernel's order.

        ValueError and TypeError for a hyperparameter as in the constructor: users may assign to it between steps.
        """
        raise NotImplementedError

    def step_sizes(self, steps: int) -> NDArray[np.float64]:
        """The first of `scalars` for each of the next steps."""
        return np.full(steps, self.scalars()[0])

    def advance(self, steps: int) -> None:
        """Counts steps that were taken elsewhere on the arrays of `state_for`."""

    def state_for(self, params: Mapping[str, Any]) -> dict[str, tuple[NDArray[Any], ...]]:
        """The arrays of the state that belong to each parameter, in the kernel's order; made of zeros at the first use.

        Nothing is made when this raises: KeyError for a parameter that came later than the state, ValueError when its
        shape or dtype isn't the state's or the state is read-only, TypeError when it holds no floating point numbers.
        """
        if not self.state_names:
            return dict.fromkeys(params, ())
        dtypes = {key: _dtype(key, parameter) for key, parameter in params.items()}
        for name in self.state_names:
            kept = getattr(self, name)
            for key, dtype in dtypes.items() if kept is not None else ():
                _check_state(name, kept, key, np.shape(params[key]), dtype)
        for name in self.state_names:
            if getattr(self, name) is None:
                setattr(self, name, {key: np.zeros(np.shape(params[key]), dtype) for key, dtype in dtypes.items()})
        return {key: tuple(getattr(self, name)[key] for name in self.state_names) for key in params}

    def update(self, params: MutableMapping[str, Any], grads: Mapping[str, Any]) -> None:
        """A step for each parameter, or for none; arrays change in place, a number is replaced.

        KeyError naming a parameter without gradient, ValueError one whose gradient has another shape or that is
        read-only, TypeError one that holds no floating point numbers; as `state_for` where there is a state; ValueError
        and TypeError for a hyperparameter as in the constructor.
        """
        numbers = self.scalars()
        gradients = {key: _gradient(key, parameter, grads) for key, parameter in params.items()}
        for key, state in self.state_for(params).items():
            _step(self.kind, params, key, gradients[key], state, numbers)
        self.advance(1)


@original
class SGD(Optimizer):
    """p ← p − lr · gradient (the book's section 6.1.2). ValueError when lr is negative or not finite."""

    kind = "sgd"

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return (not_negative(self.lr, "lr"),)


@original
class Momentum(Optimizer):
    """v ← momentum · v − lr · gradient, p ← p + v (the book's section 6.1.4; Polyak 1964).

    ValueError when lr is negative or not finite, or momentum not from 0 to 1.
    """

    kind = "momentum"
    state_names = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return not_negative(self.lr, "lr"), share(self.momentum, "momentum")


@original
class Nesterov(Momentum):
    """p ← p + momentum² · v − (1 + momentum) · lr · gradient, then v ← momentum · v − lr · gradient.

    Nesterov's accelerated gradient in the book's `common/optimizer.py`, after Bengio, Boulanger-Lewandowski and
    Pascanu (2012, arXiv 1212.0901): p is the point that looks ahead. Errors as in Momentum.
    """

    kind = "nesterov"


@original
class AdaGrad(Optimizer):
    """h ← h + gradient², p ← p − lr · gradient / (√h + 1e-7) (the book's section 6.1.5; Duchi, Hazan, Singer 2011).

    ValueError when lr is negative or not finite.
    """

    kind = "adagrad"
    state_names = ("h",)

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return (not_negative(self.lr, "lr"),)


@original
class RMSprop(Optimizer):
    """h ← decay_rate · h + (1 − decay_rate) · gradient², p ← p − lr · gradient / (√h + 1e-7).

    The book's section 6.1.5; Tieleman and Hinton 2012. ValueError when lr is negative or not finite, or decay_rate not
    from 0 to 1.
    """

    kind = "rmsprop"
    state_names = ("h",)

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        return not_negative(self.lr, "lr"), share(self.decay_rate, "decay_rate")


@original
class Adam(Optimizer):
    """m ← m + (1 − beta1) · (gradient − m), v ← v + (1 − beta2) · (gradient² − v), p ← p − lr_t · m / (√v + 1e-7).

    lr_t = lr · √(1 − beta2^t) / (1 − beta1^t), t the number of the step, from 1; `iter` is how many are done. The
    book's section 6.1.6; Kingma and Ba 2014, arXiv 1412.6980. ValueError when lr is negative or not finite, or beta1
    or beta2 not from 0 to below 1.
    """

    kind = "adam"
    state_names = ("m", "v")

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: States | None = None
        self.v: States | None = None
        self.scalars()

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        lr = not_negative(self.lr, "lr")
        beta1, beta2 = (share(getattr(self, name), name, below_one=True) for name in ("beta1", "beta2"))
        t = whole_number(self.iter, "iter", 0) + step
        return lr * (1.0 - beta2**t) ** 0.5 / (1.0 - beta1**t), beta1, beta2

    def step_sizes(self, steps: int) -> NDArray[np.float64]:
        _, beta1, beta2 = self.scalars()
        lr, done = float(self.lr), self.iter
        # By Python's own powers, whose bits `scalars` has: 0.3 µs a step.
        return np.array([lr * (1.0 - beta2**t) ** 0.5 / (1.0 - beta1**t) for t in range(done + 1, done + steps + 1)])

    def advance(self, steps: int) -> None:
        self.iter += steps


def _gradient(key: str, parameter: Any, grads: Mapping[str, Any]) -> NDArray[Any]:
    """The gradient of a parameter that can take a step."""
    if key not in grads:
        raise KeyError(f"no gradient for the parameter {key!r}")
    given = grads[key]
    if arrays.ready(parameter) and arrays.ready(given) and parameter.shape == given.shape:
        return given  # the usual case, found out in 0.6 µs instead of 2
    shape = np.shape(parameter)
    gradient = arrays.real_array(given, f"the gradient of {key}")
    if gradient.shape != shape:
        raise ValueError(f"the gradient of {key} must have its shape, {shape}, got {gradient.shape}")
    _dtype(key, parameter)
    if isinstance(parameter, np.ndarray) and not parameter.flags.writeable:
        raise ValueError(f"{key} is read-only, but a step changes it in place")
    return gradient


def _dtype(key: str, parameter: Any) -> np.dtype[Any]:
    """The dtype of a parameter's state: its own; float64 for a list or number of integers, which the step replaces."""
    dtype = parameter.dtype if isinstance(parameter, np.ndarray) else np.asarray(parameter).dtype
    if dtype.kind in "iub" and not isinstance(parameter, np.ndarray):
        return arrays.FLOAT64
    if dtype.kind != "f":
        raise TypeError(f"{key} must hold floating point numbers, got dtype {dtype}")
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _check_state(name: str, states: States, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if key not in states:
        raise KeyError(f"no {name} for the parameter {key!r}: the optimizer's state is that of {sorted(states)}")
    array = states[key]
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} of {key} must be an array, got {type(array).__name__}")
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name} of {key} must have its shape and dtype, {shape} and {dtype}, got {array.shape} and {array.dtype}"
        )
    if not array.flags.writeable:
        raise ValueError(f"{name} of {key} is read-only, but a step changes it in place")


def _step(
    kind: str,
    params: MutableMapping[str, Any],
    key: str,
    gradient: NDArray[Any],
    state: tuple[NDArray[Any], ...],
    numbers: tuple[float, ...],
) -> None:
    """One parameter's step, by the kernel where it can read all the arrays, else the same lines in NumPy."""
    parameter = params[key]
    in_place = isinstance(parameter, np.ndarray)
    flat = arrays.flat_views((parameter, gradient, *state)) if in_place else None
    if flat is not None:
        kernel: Callable[..., None] = getattr(kernels, f"{kind}_update")
        kernel(*flat, *numbers)
        return
    # A view of any subclass, whose operators may mean something else; a number becomes an array of one.
    array = np.asarray(parameter) if in_place else np.array(parameter, _dtype(key, parameter))
    wide = np.asarray(gradient, np.result_type(array.dtype, gradient.dtype))
    getattr(plain, f"{kind}_update")(array, wide, *state, *numbers)
    if not in_place:
        params[key] = array[()] if isinstance(parameter, np.generic) or array.ndim else array.item()
