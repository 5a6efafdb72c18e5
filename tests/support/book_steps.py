"""The optimizers' steps on one parameter in plain NumPy, from the papers: what ours are compared with.

Each takes the parameter, the gradient, the number of the step (from 1) and the state by name, which it replaces;
returns the new parameter.
"""

from typing import Any

import numpy as np

State = dict[str, Any]
TINY = 1e-7


def sgd(p: Any, g: Any, t: int, state: State, lr: float = 0.01) -> Any:
    return p - lr * g


def momentum(p: Any, g: Any, t: int, state: State, lr: float = 0.01, momentum: float = 0.9) -> Any:
    state["v"] = momentum * state["v"] - lr * g
    return p + state["v"]


def nesterov(p: Any, g: Any, t: int, state: State, lr: float = 0.01, momentum: float = 0.9) -> Any:
    """p is the point that looks ahead of another, x, by momentum · v; the gradient is taken there."""
    x = p - momentum * state["v"]
    state["v"] = momentum * state["v"] - lr * g
    return x + state["v"] + momentum * state["v"]


def adagrad(p: Any, g: Any, t: int, state: State, lr: float = 0.01) -> Any:
    state["h"] = state["h"] + g**2
    return p - lr * g / (np.sqrt(state["h"]) + TINY)


def rmsprop(p: Any, g: Any, t: int, state: State, lr: float = 0.01, decay_rate: float = 0.99) -> Any:
    state["h"] = decay_rate * state["h"] + (1 - decay_rate) * g**2
    return p - lr * g / (np.sqrt(state["h"]) + TINY)


def adam(p: Any, g: Any, t: int, state: State, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> Any:
    """With the means corrected for their start at 0, as in the paper; the book's constant is in other units."""
    state["m"] = beta1 * state["m"] + (1 - beta1) * g
    state["v"] = beta2 * state["v"] + (1 - beta2) * g**2
    mean, square = state["m"] / (1 - beta1**t), state["v"] / (1 - beta2**t)
    return p - lr * mean / (np.sqrt(square) + TINY / np.sqrt(1 - beta2**t))


STEPS = {
    "SGD": (sgd, ()),
    "Momentum": (momentum, ("v",)),
    "Nesterov": (nesterov, ("v",)),
    "AdaGrad": (adagrad, ("h",)),
    "RMSprop": (rmsprop, ("h",)),
    "Adam": (adam, ("m", "v")),
}

# Other hyperparameters than the defaults.
OTHERS: dict[str, list[dict[str, float]]] = {
    "SGD": [{"lr": 0.3}],
    "Momentum": [{"lr": 0.3, "momentum": 0.5}, {"momentum": 1.0}, {"momentum": 0.0}],
    "Nesterov": [{"lr": 0.3, "momentum": 0.5}, {"momentum": 1.0}, {"momentum": 0.0}],
    "AdaGrad": [{"lr": 0.3}],
    "RMSprop": [{"lr": 0.3, "decay_rate": 0.5}, {"decay_rate": 0.0}],
    "Adam": [{"lr": 0.3, "beta1": 0.5, "beta2": 0.8}, {"beta1": 0.0, "beta2": 0.0}],
}


def steps(name: str, parameter: Any, gradients: Any, **arguments: float) -> tuple[Any, State]:
    """The parameter and the state after a step for each gradient, in float64."""
    step, names = STEPS[name]
    parameter = np.asarray(parameter, np.float64)
    state: State = {name: np.zeros_like(parameter) for name in names}
    for t, gradient in enumerate(gradients, 1):
        parameter = step(parameter, np.asarray(gradient, np.float64), t, state, **arguments)
    return parameter, state
