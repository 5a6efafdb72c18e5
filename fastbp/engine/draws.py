"""The random numbers that layers take in a run: drawn ahead of its steps, and put back where fewer were taken."""

from collections.abc import Callable, Sequence

import numpy as np

from fastbp.engine import streams
from fastbp.engine.addresses import address
from fastbp.engine.operations import Operation
from fastbp.engine.run_functions import RunFunctions


def drawn_by(operations: Sequence[Operation]) -> int:
    """How many random numbers a step of one sample takes."""
    return sum(operation.D for operation in operations if operation.compiled.draws)


class Draws:
    """Arrays of random numbers, whose addresses stand in the rows of the operations that take them."""

    def __init__(self, functions: RunFunctions, operations: int) -> None:
        self._functions = functions  # has the plans
        self._numbers = [np.zeros(0) for _ in range(operations)]
        self._back: list[Callable[[], object]] = []  # what undoes the last drawing

    def draw(self, operations: Sequence[Operation], steps: int, batch: int) -> None:
        """Draws the random numbers of so many steps, in the order in which the layers draw them."""
        drawing = [
            (n, operation, operation.compiled.draws)
            for n, operation in enumerate(operations)
            if operation.compiled.draws
        ]
        self._back = []
        if steps > 1:  # of a single one none are drawn ahead
            self._back = [streams.kept(operation.compiled.stream(operation.layer)) for _, operation, _ in drawing]
        for n, operation, _ in drawing:
            if self._numbers[n].size < steps * batch * operation.D:
                self._numbers[n] = np.empty(steps * batch * operation.D)
            self._functions.plan["draws"][n] = self._functions.skipping["draws"][n] = address(self._numbers[n])
        for step in range(steps):
            for n, operation, draws in drawing:
                size = batch * operation.D
                drawn = draws(operation.layer, (batch, *(operation.inputs or ())))
                self._numbers[n][step * size : (step + 1) * size] = drawn.reshape(-1)

    def draw_no_more_than(self, operations: Sequence[Operation], steps: int, batch: int) -> None:
        """Puts back what was drawn ahead of so many steps: the streams are then as the layers themselves leave them."""
        back, self._back = self._back, []
        for each in back:
            each()
        if back:
            self.draw(operations, steps, batch)
