"""Tables with names, which Python and C functions share: structs of 8-byte fields.

    @table
    class Parameter:
        value: Real      # a pointer to elements of the network's dtype
        size: Integer

In Python `Parameter.dtype` is the NumPy dtype of a row, with addresses as int64, and `Parameter.row` a structure of
ctypes: to set a field of one takes 50 ns, of an array's row 300. In a kernel a row is a pointer:
`parameter.value` is a typed pointer, `parameters[n]` the n-th row from there. `Parameter.of(types.float32)` is the type
of such a pointer in a network of float32.
"""

import operator
from ctypes import Structure, c_double, c_int64
from functools import lru_cache
from importlib import import_module

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    lower_setattr_generic,
    models,
    register_model,
    type_callable,
)

from fastbp.kernels.build.as_python import to_c
from fastbp.kernels.tiles.operation import operation


class Integer:
    """An int64."""


class Number:
    """A float64."""


class Function:
    """The address of a C function, 0 where there is nothing to do."""


class Real:
    """A pointer to elements of the network's dtype."""


class Bytes:
    """A pointer to uint8."""


class Integers:
    """A pointer to int64."""


class Integers32:
    """A pointer to int32."""


class Numbers:
    """A pointer to float64."""


POINTEES = {Bytes: types.uint8, Integers: types.int64, Integers32: types.int32, Numbers: types.float64}


class Table:
    """A kind of row: the names of its fields, and what each of them is."""

    def __init__(self, cls):
        self.name, self.__doc__, self._module = cls.__name__, cls.__doc__, cls.__module__
        self.fields = dict(cls.__annotations__)
        self.dtype = np.dtype(
            [(name, np.float64 if kind is Number else np.int64) for name, kind in self.fields.items()]
        )
        fields = [(name, c_double if kind is Number else c_int64) for name, kind in self.fields.items()]
        self.row = type(self.name, (Structure,), {"_fields_": fields})

    def __reduce__(self):
        return _find, (self._module, self.name)

    @lru_cache(maxsize=2)  # noqa: B019  tables live as long as the process
    def of(self, real):
        """The type of a pointer to rows, in a network of this dtype."""
        return TableType(self, real)


def _find(module, name):
    return getattr(import_module(module), name)


def table(cls):
    """Makes a table of a class whose annotations say what its fields are."""
    return Table(cls)


class TableType(types.Type):
    """A pointer to a row of a table."""

    def __init__(self, table, real):
        self.table, self.real = table, real
        super().__init__(f"{table.name}({real})")

    def __reduce__(self):
        return Table.of, (self.table, self.real)

    def field(self, name):
        """The type of a field."""
        kind = self.table.fields[name]
        if isinstance(kind, Table):
            return kind.of(self.real)
        if kind is Number:
            return types.float64
        if kind is Real:
            return types.CPointer(self.real)
        return types.CPointer(POINTEES[kind]) if kind in POINTEES else types.int64


@register_model(TableType)
class TableModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.IntType(8).as_pointer())


@infer_getattr
class TableFields(AttributeTemplate):
    key = TableType

    def generic_resolve(self, table, name):
        return table.field(name) if name in table.table.fields else None


def _place(context, builder, table, pointer, name):
    offset = ir.IntType(32)(8 * list(table.table.fields).index(name))
    place = builder.gep(pointer, [offset], inbounds=True)
    return builder.bitcast(place, context.get_value_type(table.field(name)).as_pointer())


@lower_getattr_generic(TableType)
def _get(context, builder, table, pointer, name):
    return builder.load(_place(context, builder, table, pointer, name), align=8)


@lower_setattr_generic(TableType)
def _set(context, builder, signature, arguments, name):
    pointer, value = arguments
    builder.store(value, _place(context, builder, signature.args[0], pointer, name), align=8)


@type_callable(operator.getitem)
def _row_type(context):
    def typer(table, n):
        return table if isinstance(table, TableType) and isinstance(n, types.Integer) else None

    return typer


@lower_builtin(operator.getitem, TableType, types.Integer)
def _row(context, builder, signature, arguments):
    pointer, n = arguments
    n = context.cast(builder, n, signature.args[1], types.int64)
    return builder.gep(pointer, [builder.mul(n, ir.IntType(64)(signature.args[0].table.dtype.itemsize))])


def _is_there(pointer):
    return to_c(pointer) != 0


@operation(interpreted=_is_there)
def is_there(typingctx, pointer):
    """Whether a pointer, or the row of a table, is not null."""

    def codegen(context, builder, signature, arguments):
        return builder.icmp_unsigned("!=", arguments[0], ir.Constant(arguments[0].type, None))

    return types.boolean(pointer), codegen
