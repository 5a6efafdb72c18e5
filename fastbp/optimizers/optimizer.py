"""What optimizers share: a step over dicts of parameters and gradients, parameters changed in place."""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.boundary import arrays
from fastbp.boundary.arguments import not_negative
from fastbp.kernels.tiles.interpreter import Tile
from fastbp.originals import original

States = dict[str, NDArray[Any]]


@original
class Optimizer:
    """What the optimizers share. Each knows its step, the numbers that go into it, and its state.

    The state is an attribute for each of `state_names`: a dict of arrays by the names of the parameters, in their
    shapes and dtypes, None before the first step. `lr` is a number, or a function of the number of the step that gives
    one, and may be assigned to between steps.

    A compiled training loop asks for `scalars()`, the `step_sizes` at the `rates` of the next steps and
    `state_for(params)`, takes the steps on the very arrays, and tells how many they were: `advance(steps)`.
    """

    _step: ClassVar[Any]  # a `kernels.loop.optimizer_step.OptimizerStep`, whose numbers are `scalars`
    part: ClassVar[Any] = None  # of the compiled loop, the same for the elements [lo, hi) of a parameter
    adds: ClassVar[bool] = False  # whether that is W -= rate · dW
    state_names: ClassVar[tuple[str, ...]] = ()  # attributes, in the kernel's order
    lr: float | Callable[[int], float]

    def __init_subclass__(cls, *, step: Any = None, **arguments: Any) -> None:
        """Takes the step of an optimizer of the package; a class of your own has that of the class it extends."""
        super().__init_subclass__(**arguments)
        if step is not None:
            cls._step, cls.part, cls.state_names = step, step.part, step.state_names

    @property
    def steps_done(self) -> int:
        """How many steps have been taken in the optimizer's life."""
        return int(vars(self).get("_steps", 0))

    def rate(self, step: int = 1) -> float:
        """The learning rate of the next step, or of the `step`-th from now: `lr`, or what it says of that step.

        As a function it is called with the number of the step, 0 for the first of the optimizer's life, and may be
        asked more than once. That number is all that it may depend on, and it may change nothing: the compiled loop
        asks for the rates of a whole run before its first step. ValueError when the rate is negative or not finite,
        TypeError when it is no number.
        """
        if not callable(self.lr):
            return not_negative(self.lr, "lr")
        number = self.steps_done + step - 1
        return not_negative(self.lr(number), f"lr({number})")

    def scalars(self, step: int = 1) -> tuple[float, ...]:
        """The numbers of the next step, or of the `step`-th from now, in the kernel's order.

        ValueError and TypeError for a hyperparameter as in the constructor: users may assign to it between steps.
        """
        raise NotImplementedError

    def rates(self, steps: int) -> NDArray[np.float64]:
        """`rate` of each of the next steps, (steps,) float64. Errors as in `rate`."""
        if not callable(self.lr):
            return np.full(steps, self.rate())
        return np.array([self.rate(step) for step in range(1, steps + 1)], np.float64)

    def step_sizes(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """The first of `scalars` for each of the next steps, (steps,), at these learning rates."""
        return rates

    def advance(self, steps: int) -> None:
        """Counts steps, also those that were taken elsewhere on the arrays of `state_for`."""
        vars(self)["_steps"] = self.steps_done + steps

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
            _take_step(self._step, params, key, gradients[key], state, numbers)
        self.advance(1)


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


def _take_step(
    step: Any,
    params: MutableMapping[str, Any],
    key: str,
    gradient: NDArray[Any],
    state: tuple[NDArray[Any], ...],
    numbers: tuple[float, ...],
) -> None:
    """One parameter's step, by the kernel where it can read all the arrays, else by the same lines as Python."""
    parameter = params[key]
    in_place = isinstance(parameter, np.ndarray)
    flat = arrays.flat_views((parameter, gradient, *state)) if in_place else None
    if flat is not None:
        step.kernel(*flat, *numbers)
        return
    # A view of any subclass, whose operators may mean something else; a number becomes an array of one.
    array = np.asarray(parameter) if in_place else np.array(parameter, _dtype(key, parameter))
    _step_as_python(step, (array, gradient, *state), numbers)
    if not in_place:
        params[key] = array[()] if isinstance(parameter, np.generic) or array.ndim else array.item()


def _step_as_python(step: Any, changed: tuple[NDArray[Any], ...], numbers: tuple[float, ...]) -> None:
    """A step by the kernel's own function of tiles, which called from Python is NumPy: each array is one wide tile."""
    W, _, *state = changed
    # By dtypes: NumPy 1 lets arrays of one element count for less.
    dtype = np.result_type(*(array.dtype for array in changed), np.float32)
    tiles = [Tile(array.astype(dtype).reshape(1, -1)) for array in changed]
    result = step(*tiles, *numbers)
    for array, tile in zip((W, *state), result if state else (result,), strict=True):
        with np.errstate(all="ignore"):
            array[...] = tile.values.reshape(array.shape)
