"""A user's own kernel as a part of the loop: compiled in this process, kept nowhere.

A forward kernel takes (x, out, *numbers), a backward kernel (dout, x, out, dx, *numbers): rows of the batch as
C-contiguous arrays (rows, numbers a sample) of the network's dtype, and float64 numbers.
"""

from numba import carray, cfunc, types
from numba.extending import register_jitable
from numba.np.unsafe.ndarray import to_fixed_tuple

from fastbp.kernels.tiles import moved


class Foreign:
    """A kernel that stands for a part, `takes_gradients` for a backward one, with so many numbers."""

    def __init__(self, kernel, numbers, *, takes_gradients):
        self.kernel, self._numbers, self._takes_gradients = kernel, numbers, takes_gradients
        self._known = {}

    def of(self, *types_):
        """Its C function for a network of the dtype that these types are of."""
        if types_ not in self._known:
            make = _backward if self._takes_gradients else _forward
            self._known[types_] = _Function(make(self.kernel, self._numbers), types_)
        return self._known[types_]


class _Function:
    """A C function that is compiled when it is asked for its address."""

    def __init__(self, function, types_):
        self._function, self._types, self._compiled = function, types_, None

    def address(self):
        """Where its machine code lies."""
        if self._compiled is None:
            self._compiled = cfunc(types.int64(*self._types))(self._function)
        return self._compiled.address


@register_jitable
def _rows(pointer, lo, hi, columns):
    return carray(moved(pointer, lo * columns), (hi - lo, columns))


def _forward(kernel, count):
    if count == 0:

        def part(lo, hi, left, right, op, step):
            kernel(_rows(op.x, lo, hi, op.D), _rows(op.out, lo, hi, op.M))
            return 0

    else:

        def part(lo, hi, left, right, op, step):
            numbers = to_fixed_tuple(carray(op.numbers, (count,)), count)
            kernel(_rows(op.x, lo, hi, op.D), _rows(op.out, lo, hi, op.M), *numbers)
            return 0

    return part


def _backward(kernel, count):
    if count == 0:

        def part(lo, hi, left, right, op, step):
            x, out = _rows(op.x, lo, hi, op.D), _rows(op.out, lo, hi, op.M)
            kernel(_rows(op.dout, lo, hi, op.M), x, out, _rows(op.dx, lo, hi, op.D))
            return 0

    else:

        def part(lo, hi, left, right, op, step):
            x, out = _rows(op.x, lo, hi, op.D), _rows(op.out, lo, hi, op.M)
            numbers = to_fixed_tuple(carray(op.numbers, (count,)), count)
            kernel(_rows(op.dout, lo, hi, op.M), x, out, _rows(op.dx, lo, hi, op.D), *numbers)
            return 0

    return part
