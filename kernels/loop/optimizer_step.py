"""An optimizer's step, written once as a function of tiles: whole arrays and the compiled loop take it from there."""

import inspect

from fastbp.kernels.build.flags import inlined, kernel, part
from fastbp.kernels.tiles.elementwise import elementwise
from fastbp.kernels.tiles.pointers import address_as, pointer

VECTORS = 4  # a tile; 1, 2 and 8 are as fast with AVX-512, where masks are free

# Functions of as many arguments as a step has: Numba types what takes any number of them as a tuple, which a call from
# Python takes 0.1 to 0.6 µs longer to read (Xeon, AVX-512, 2.1 GHz), a whole call 0.8.
KERNEL = """
def {name}({arrays}, {numbers}):
    elements(0, W.size, ({pointers},), ({outputs},), ({numbers},))
"""
PART = """
def {name}(lo, hi, left, right, p, step):
    W, dW = p.value, p.gradient
    {states}
    elements(lo, hi, ({arrays},), ({changed},), ({numbers},))
"""


class OptimizerStep:
    """A function of tiles, (W, dW, states..., numbers...) to the new W, or (W, states...), and what is made of it.

    Called from Python it is that function, on tiles that are NumPy arrays.

    - `kernel` takes the arrays (size,) of one precision and the numbers, float64; changes W and the states in place.
    - `part` is the loop's: elements [lo, hi) of a parameter p, with the states at p.states[n], step.rate for the first
      number and step.settings.numbers[n] for those behind it.
    - `state_names` are the function's own names of its states.
    """

    def __init__(self, function, states):
        names = tuple(inspect.signature(function).parameters)
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.tiles = inlined(function)
        self.state_names, self._numbers = names[2 : 2 + states], names[2 + states :]
        self._elements = elementwise(self.tiles, VECTORS)
        self.kernel, self.part = self._kernel(function), self._part(function)

    def __call__(self, *arguments):
        return self.tiles(*arguments)

    def _kernel(self, function):
        changed, numbers = ("W", *self.state_names), ", ".join(self._numbers)
        arrays = ("W", "dW", *self.state_names)
        source = KERNEL.format(
            name=self.__name__,
            arrays=", ".join(arrays),
            numbers=numbers,
            pointers=", ".join(f"pointer({each})" for each in arrays),
            outputs=", ".join(f"pointer({each})" for each in changed),
        )
        signature = ", ".join(["real[::1]"] * len(arrays) + ["float64"] * len(self._numbers))
        return kernel(signature)(self._made(source, function))

    def _part(self, function):
        states = [f"{name} = address_as(p.states[{n}], W)" for n, name in enumerate(self.state_names)]
        source = PART.format(
            name=self.__name__,
            states="; ".join(states),
            arrays=", ".join(("W", "dW", *self.state_names)),
            changed=", ".join(("W", *self.state_names)),
            numbers=", ".join(["step.rate", *(f"step.settings.numbers[{n}]" for n in range(len(self._numbers) - 1))]),
        )
        return part(self._made(source, function))

    def _made(self, source, function):
        """The function of this source, which stands where the function of tiles does."""
        names = {"elements": self._elements, "pointer": pointer, "address_as": address_as}
        names["__name__"] = function.__module__
        exec(source, names)
        made = names[self.__name__]
        made.__doc__ = function.__doc__
        return made


def optimizer_step(states):
    """Makes an `OptimizerStep` of a function of tiles, which has so many states behind W and dW."""
    return lambda function: OptimizerStep(function, states)
