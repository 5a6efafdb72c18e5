"""C functions of pointers and int64, written in Python: each compiled and kept on disk alone.

    @native
    def relu_forward(lo, hi, x, out, mask): ...

Other kernels call one as any function; `address` is for those who call it by its address. Which types it is compiled
for is part of its symbol. It returns nothing, or the int64 or float64 that `returns` names, so that its callers can be
compiled before it, and elsewhere.
"""

import ctypes
import hashlib
import inspect
import re
from importlib import import_module

from llvmlite import ir
from numba import types
from numba.core import cgutils, config, typing
from numba.extending import lower_builtin, type_callable

from fastbp.kernels.build import as_python, machine
from fastbp.kernels.build.frontend import Part, UnfinishedLibrary
from fastbp.kernels.build.tables import TableType

PREFIX = "fastbp_"
LETTERS = {
    types.int64: "l",
    types.float32: "f",
    types.float64: "d",
    types.boolean: "b",
    types.uint8: "c",
    types.int32: "i",
    types.none: "",
}


C_TYPES = {types.int64: ctypes.c_int64, types.float64: ctypes.c_double}
NATIVES = {}  # by module and name
C_FUNCTIONS = {}  # by symbol


def _find(module, name, number):
    import_module(module)
    return NATIVES[module, name][number]


def _of(native, types_):
    return native.of(*types_)


class Native:
    """A function that becomes a C function, of each list of types that it is asked for with."""

    def __init__(self, function, options, returns=types.void):
        self.name, self.returns = function.__name__, returns
        self.py_func, self.__doc__ = function, function.__doc__
        self._part = Part(function, {**options, "forceinline": True})
        self._known = {}
        same = NATIVES.setdefault((function.__module__, function.__qualname__), [])
        self.place = function.__module__, function.__qualname__, len(same)
        same.append(self)
        _make_callable(self)

    def __reduce__(self):
        return _find, self.place

    @property
    def symbol(self):
        """How its C functions' names begin: of those that a function makes several times each has a number."""
        module, _, number = self.place
        return f"{PREFIX}{module.rpartition('.')[2]}_{self.name}{number or ''}"

    def __call__(self, *arguments):
        """Called from Python it runs as Python."""
        result = self.py_func(*arguments)
        return None if self.returns is types.void else C_TYPES[self.returns](result or 0).value

    def of(self, *types_):
        """The C function of these types."""
        if types_ not in self._known:
            self._known[types_] = CFunction(self, types_)
        return self._known[types_]


class CFunction:
    """A native function of given types; it has machine code once it is asked for its address."""

    def __init__(self, native, types_):
        self.native, self.types = native, types_
        self.symbol = f"{native.symbol}_{''.join(map(_code, types_))}"
        self._address, self._function = 0, None

        C_FUNCTIONS[self.symbol] = self

    def __reduce__(self):
        return _of, (self.native, self.types)

    @property
    def name(self):
        """For people."""
        module, _, _ = self.native.place
        reals = [type_.real for type_ in self.types if isinstance(type_, TableType)]
        pointees = [type_.dtype for type_ in self.types if isinstance(type_, types.CPointer)]
        what = reals[:1] or [each for each in pointees if each not in (types.int64, types.int32)]
        return f"{module.rpartition('.')[2]}.{self.native.name} of {', '.join(map(str, dict.fromkeys(what)))}"

    def address(self):
        """Where its machine code lies in this process; without compilation a number that stands for it."""
        if config.DISABLE_JIT:
            return as_python.number_of(self)
        if not self._address:
            from fastbp.kernels.build import objects  # whose cache asks this module what a kernel calls

            objects.load([self])
            self._address = objects.address_of(self)
        return self._address

    def function(self):
        """It, called from Python with integers (addresses too) and floats, the interpreter's lock released."""
        if config.DISABLE_JIT:
            return as_python.taking_numbers(self)
        if self._function is None:
            result = None if self.native.returns is types.void else C_TYPES[self.native.returns]
            arguments = [C_TYPES.get(type_, ctypes.c_int64) for type_ in self.types]
            self._function = ctypes.CFUNCTYPE(result, *arguments)(self.address())
        return self._function

    def compiled(self):
        """(The C functions that it calls, its object file)."""
        code, calls = self.module()
        content = machine.object_of(code, self.symbol, machine.target_machine())
        used = {function.name for function in code.functions if function.is_declaration}
        del self.native._part.overloads[self.types]  # nobody asks for its LLVM code again
        return [called for symbol, called in calls.items() if symbol in used], content

    def module(self):
        """(The LLVM module of it and of all that it consists of, the C functions that these call by their symbols)."""
        return self._library().complete()

    def _library(self):
        """Its LLVM code: a function with a plain C signature around what Numba makes."""
        self.native._part.compile(self.types)
        part = self.native._part.overloads[self.types]
        context = part.target_context
        library = UnfinishedLibrary(context.codegen(), self.symbol)
        module = library.create_ir_module(self.symbol)
        packer = context.get_arg_packer(self.types)
        result = context.get_value_type(self.native.returns)
        if self.native.returns is types.void:
            result = ir.VoidType()
        entry = ir.Function(module, ir.FunctionType(result, packer.argument_types), self.symbol)
        builder = ir.IRBuilder(entry.append_basic_block())
        inner = context.declare_function(module, part.fndesc)
        arguments = packer.from_arguments(builder, entry.args)
        _, value = context.call_conv.call_function(builder, inner, part.signature.return_type, self.types, arguments)
        if self.native.returns is types.void:
            builder.ret_void()
        elif part.signature.return_type == types.none:
            builder.ret(ir.Constant(result, 0))
        else:
            builder.ret(context.cast(builder, value, part.signature.return_type, self.native.returns))
        library.add_ir_module(module)
        library.add_linking_library(part.library)
        return library


def called_by(library):
    """The C functions that the machine code of one of Numba's libraries calls."""
    names = [function.name for function in library._final_module.functions if function.is_declaration]
    return [C_FUNCTIONS[name] for name in names if name in C_FUNCTIONS]


def _make_callable(native):
    """Lets compiled code call it: by its symbol, or by a declaration of it while nobody needs its address."""

    @type_callable(native)
    def of_types(context):
        def typer(*arguments):
            arguments = tuple(map(types.unliteral, arguments))
            return typing.signature(native.returns, *arguments)

        typer.__signature__ = inspect.signature(native.py_func)  # Numba asks for the names of the arguments
        return typer

    @lower_builtin(native, types.VarArg(types.Any))
    def call(context, builder, signature, arguments):
        called = native.of(*signature.args)
        values = context.get_arg_packer(signature.args).as_arguments(builder, arguments)
        value = builder.call(declared_in(context, builder.module, called), values)
        return context.get_dummy_value() if native.returns is types.void else value


def declared_in(context, module, called):
    """A C function as the code of an LLVM module calls it."""
    library = context.active_code_library
    if isinstance(library, UnfinishedLibrary):
        library.calls[called.symbol] = called
    else:  # it is turned into machine code as soon as it is complete
        called.address()
    result = ir.VoidType()
    if called.native.returns is not types.void:
        result = context.get_value_type(called.native.returns)
    taken = context.get_arg_packer(called.types).argument_types
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, taken), called.symbol)


def _code(type_):
    """A type as part of a symbol."""
    if type_ in LETTERS:
        return LETTERS[type_]
    if isinstance(type_, types.CPointer) and type_.dtype in LETTERS:
        return LETTERS[type_.dtype].upper()
    name = re.sub("[^A-Za-z0-9]", "", str(type_))
    return name if len(name) < 30 else hashlib.sha256(name.encode()).hexdigest()[:8]
