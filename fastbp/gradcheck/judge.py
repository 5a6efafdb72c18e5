"""The verdict on a parameter's gradient."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.gradcheck.losses import Losses, slopes, taken
from fastbp.gradcheck.verdicts import ParameterCheck, Verdict
from fastbp.gradient import STEP

Array = NDArray[Any]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# In float64 central differences with h = 1e-4 are good to about 1e-9, absolute, on the book's networks. The book's
# eps=1e-7 in the loss, which its gradient leaves out, stays within the relative part; a wrong factor doesn't.
RELATIVE_TOLERANCE = 1e-5
ABSOLUTE_TOLERANCE = 1e-8

SMALLER = (1e-5, 1e-6)
VERDICTS = (Verdict.OK, Verdict.KINK, Verdict.ROUNDING, Verdict.WRONG)  # an element's code is its place here
OK, KINK, ROUNDING, WRONG = range(4)


def judge(losses: Losses, name: str, gradient: Array) -> ParameterCheck:
    """The verdict on `gradient` as that of a parameter. ValueError when it has another shape."""
    shape = losses.params[name].shape
    if gradient.shape != shape:
        raise ValueError(f"a gradient must have its parameter's shape, {shape}, got {gradient.shape}")
    found = _Elements(losses, name, np.asarray(gradient, np.float64).ravel())
    found.look_at_kinks()
    if found.fail():
        found.look_at_rounding()
    if found.fail():
        found.blame()
    return found.result(shape)


class _Elements:
    """The elements of a parameter: `gradient` by backpropagation, `numerical` by differences, and a verdict each."""

    def __init__(self, losses: Losses, name: str, gradient: Floats) -> None:
        self.losses, self.name, self.gradient = losses, name, gradient
        self.numerical = slopes(losses, name, np.arange(gradient.size))
        self.verdicts = np.full(gradient.size, OK, np.uint8)
        self.excused = np.zeros(gradient.size, np.bool_)  # those whose difference says nothing
        self.crosses = np.zeros(gradient.size, np.bool_)  # those that differ, and have a kink within the step

    @property
    def difference(self) -> Floats:
        with np.errstate(invalid="ignore"):  # inf − inf
            return np.abs(self.gradient - self.numerical)

    def apart(self, absolute: float) -> NDArray[np.bool_]:
        """Which elements differ by more than this, plus the relative tolerance."""
        # NaN and infinite gradients are no matter of a step.
        return self.difference > absolute + RELATIVE_TOLERANCE * np.abs(self.gradient)

    def fail(self) -> bool:
        """Whether they differ in the sense of the norm, the excused ones left out."""
        counted = ~self.excused
        error, size = self._error_and_size(counted)
        # An infinite gradient makes both sides infinite.
        limit = RELATIVE_TOLERANCE * size + ABSOLUTE_TOLERANCE * np.sqrt(np.count_nonzero(counted))
        return not (error < np.inf and error <= limit)

    def _error_and_size(self, counted: NDArray[np.bool_]) -> tuple[float, float]:
        each = (self.difference, self.gradient, self.numerical)
        # Not np.linalg.norm, whose dot product wakes the threads of a BLAS: 2 ms while others need the cores.
        with np.errstate(over="ignore", invalid="ignore"):
            error, *sizes = (float(np.sqrt(np.sum(np.square(values[counted])))) for values in each)
        return error, sum(sizes)

    def look_at_kinks(self) -> None:
        """Where the two disagree: is there a kink within the step, and is the gradient right on one side of it?"""
        apart = np.flatnonzero(self.apart(1e-7))
        if apart.size == 0:
            return
        self.crosses[apart] = self.losses.switched(self.name, apart, -STEP, STEP) > 0
        if self.losses.freezes:  # with the activations held to their side there is no kink
            self._measure(apart[self.crosses[apart]], KINK, [(-STEP, STEP)], frozen=True)
            apart = apart[~self.crosses[apart]]
        for step in SMALLER:
            closer = self._measure(apart, OK, [(-step, step)])
            # A kink within the first step, not within this one.
            self.verdicts[apart[closer & self.crosses[apart]]] = KINK
            apart = apart[~closer]
        if self.losses.freezes:
            return
        # Nearer than the smallest step, the slope on either side is right.
        apart = apart[~self._measure(apart, KINK, [(0.0, SMALLER[-1]), (-SMALLER[-1], 0.0)])]
        self._excuse_crossings(apart[self.crosses[apart]])

    def _measure(
        self, where: Indices, verdict: int, steps: list[tuple[float, float]], frozen: bool = False
    ) -> NDArray[np.bool_]:
        """Measures with other steps and keeps the nearest slope. Says which agree now, and gives them the verdict."""
        if where.size == 0:
            return np.zeros(0, np.bool_)
        gradient = self.gradient[where]
        found = np.stack([slopes(self.losses, self.name, where, low, high, frozen) for low, high in steps])
        distance = np.where(np.isnan(found), np.inf, np.abs(found - gradient))
        nearest = found[np.argmin(distance, axis=0), np.arange(where.size)]
        agree = np.asarray(distance.min(axis=0) <= 1e-7 + RELATIVE_TOLERANCE * np.abs(gradient))
        kept = agree | self.crosses[where]  # without a kink, the longest step has the least rounding
        self.numerical[where[kept]] = nearest[kept]
        self.verdicts[where[agree]] = verdict
        return agree

    def _excuse_crossings(self, where: Indices) -> None:
        """Several kinks at one place: a right gradient may be the slope on neither side of it.

        Where W is 0, samples of both signs switch on one each side, and the gradient counts none of them.
        """
        if where.size == 0:
            return
        several = self.losses.switched(self.name, where, -SMALLER[-1], SMALLER[-1]) > 1
        self.verdicts[where[several]] = KINK
        self.excused[where[several]] = True

    def look_at_rounding(self) -> None:
        """Excuses the differences that the rounding of the loss explains."""
        apart = np.flatnonzero((self.apart(ABSOLUTE_TOLERANCE) | np.isnan(self.numerical)) & ~self.excused)
        apart = apart[np.isfinite(self.gradient[apart]) & ~self.crosses[apart]]
        if apart.size == 0:
            return
        lost = np.isnan(self.numerical[apart])
        noise = _noise(self.losses, self.name, apart[~lost])
        lost |= self.difference[apart] <= 10 * noise / STEP
        self.verdicts[apart[lost]] = ROUNDING
        self.excused[apart[lost]] = True

    def blame(self) -> None:
        """Wrong are those that differ; all together where each by itself is within the tolerance."""
        with np.errstate(invalid="ignore"):
            near = self.difference <= 1e-7 + RELATIVE_TOLERANCE * np.abs(self.gradient)
        wrong = ~self.excused & ~(near & np.isfinite(self.gradient))
        self.verdicts[wrong if wrong.any() else ~self.excused] = WRONG

    def result(self, shape: tuple[int, ...]) -> ParameterCheck:
        difference, wrong = self.difference, self.verdicts == WRONG
        error, size = self._error_and_size(np.ones(difference.size, np.bool_))
        seen = np.where(np.isnan(difference), np.inf, difference)
        worst = np.argmax(np.where(wrong, seen, -1.0) if wrong.any() else seen)
        return ParameterCheck(
            mean_difference=float(difference.mean()),
            max_difference=float(difference.max()),
            relative_error=error / size if size else error,
            worst_index=tuple(int(i) for i in np.unravel_index(worst, shape)),
            verdict=VERDICTS[self.verdicts.max()],
            verdicts=np.array(VERDICTS)[self.verdicts].reshape(shape),
        )


def _noise(losses: Losses, name: str, where: Indices) -> float:
    """How far a loss is off by rounding: its standard deviation around a cubic that is laid through it.

    Within the step a smooth loss is a cubic. The points have irregular distances, so that a loss that is rounded to
    multiples of something falls between them as if by chance. Of up to 32 elements the median.
    """
    if where.size == 0:
        return 0.0
    some = where[:: -(-where.size // 32)]
    offsets = np.random.default_rng(0).uniform(-1, 1, 16)
    parameter = losses.params[name]
    values = np.stack([losses.at(name, some, taken(parameter, some, offset * STEP)) for offset in offsets])
    basis = np.linalg.qr(np.vander(offsets, 4))[0]
    values -= values.mean(axis=0)
    rest = values - basis @ (basis.T @ values)
    return float(np.median(np.sqrt(np.sum(rest**2, axis=0) / (offsets.size - 4))))
