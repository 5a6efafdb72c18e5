"""Arithmetic on tiles as Python writes it: `dout * (1 - y) * y`, `select(x <= 0, 0, x)`.

Each operator is the operation of `arithmetic` of the same meaning; numbers are repeated over the tile. Importing this
module is what makes kernels understand them.
"""

import operator

from numba import types
from numba.extending import lower_builtin, type_callable

from fastbp.kernels.tiles import arithmetic, interpreter
from fastbp.kernels.tiles.tile import TileType

BINARY = {
    operator.add: arithmetic.add,
    operator.sub: arithmetic.sub,
    operator.mul: arithmetic.mul,
    operator.truediv: arithmetic.div,
    operator.lt: arithmetic.less,
    operator.le: arithmetic.less_equal,
    operator.gt: arithmetic.greater,
    operator.ge: arithmetic.greater_equal,
    operator.eq: arithmetic.equal,
    operator.ne: arithmetic.not_equal,
    operator.and_: arithmetic.logical_and,
    operator.or_: arithmetic.logical_or,
}
UNARY = {operator.neg: arithmetic.neg, operator.invert: arithmetic.logical_not}


def _understand(symbol, operation, arity):
    @type_callable(symbol)
    def type_of(context):
        def unary(a):
            return _signature(context, a)

        def binary(a, b):
            return _signature(context, a, b)

        return unary if arity == 1 else binary

    def _signature(context, *operands):
        if not any(isinstance(operand, TileType) for operand in operands):
            return None
        signature, _ = operation._defn(context, *operands)
        return signature

    def lower(context, builder, signature, arguments):
        _, codegen = operation._defn(None, *signature.args)
        return codegen(context, builder, signature, arguments)

    for operands in {1: [(TileType,)], 2: [(TileType, TileType), (TileType, types.Number), (types.Number, TileType)]}[
        arity
    ]:
        lower_builtin(symbol, *operands)(lower)


def _understand_in_python(symbol, operation):
    name = symbol.__name__.strip("_")
    setattr(interpreter.Tile, f"__{name}__", operation.interpreted)
    setattr(interpreter.Tile, f"__r{name}__", lambda b, a: operation.interpreted(a, b))


for arity, operations in ((1, UNARY), (2, BINARY)):
    for symbol, operation in operations.items():
        _understand(symbol, operation, arity)
        _understand_in_python(symbol, operation)
