"""An operation of the tile language: LLVM code where a kernel is compiled, NumPy where Python calls it."""

from functools import partial

from numba.core.extending import _Intrinsic

from fastbp.kernels.tiles import interpreter, interpreter_memory


class Operation(_Intrinsic):
    """An intrinsic of Numba, with a twin that Python calls."""

    def __init__(self, name, defn, prefer_literal=False, interpreted=None, doc=None):
        super().__init__(name, defn, prefer_literal=prefer_literal)
        self.__name__, self.__doc__ = name, doc or defn.__doc__
        self.interpreted = interpreted
        self._register()

    def __call__(self, *arguments):
        return self.interpreted(*arguments)


def operation(emits=None, *, name=None, doc=None, interpreted=None, prefer_literal=False):
    """Makes an operation of what emits its code, in the form of Numba's `intrinsic`.

    `interpreted` is its twin; where none is given, that of its name in `interpreter` or `interpreter_memory`. With
    `prefer_literal` parameters that are constants for whoever compiles are literals.
    """
    if emits is None:
        return partial(operation, name=name, doc=doc, interpreted=interpreted, prefer_literal=prefer_literal)
    name = name or emits.__name__
    if interpreted is None:
        interpreted = getattr(interpreter, name, None) or getattr(interpreter_memory, name)
    return Operation(name, emits, prefer_literal, interpreted, doc)
