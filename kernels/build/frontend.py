"""Numba's front end alone: Python functions to LLVM modules, which nobody optimises or turns into machine code yet.

Numba makes a library of machine code of each function that it compiles, also of those that are only parts of others:
of the 68 s that a training loop took, 40 went into machine code that nobody ran. Here a part stays LLVM code until what
it is part of is complete.
"""

from functools import cache

import llvmlite.binding as llvm
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, _LowerResult
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import (
    AnnotateTypes,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import Context
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    InlineInlinables,
    IRProcessing,
    ReconstructSSA,
    RewriteSemanticConstants,
    TranslateByteCode,
)

from fastbp.kernels.build.compiling import raise_interrupt


class UnfinishedLibrary(JITCodeLibrary):
    """The LLVM code of a part as it was generated. What it is part of collects it, and all that belongs to it."""

    def __init__(self, codegen, name):
        super().__init__(codegen, name)
        self.calls = {}  # by their symbols: the C functions that it calls

    def finalize(self):
        self._raise_if_finalized()
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = "linkonce_odr"  # others that link it may link it twice
        self._finalized = True

    def complete(self):
        """(One LLVM module of it and of all that it consists of, the C functions that these call by their symbols)."""
        libraries, calls = {}, {}
        self._collect(libraries)
        module = self._final_module.clone()
        for library in libraries:
            if library is not self:
                module.link_in(_module_of(library), preserve=True)
            calls.update(getattr(library, "calls", {}))
        return module, calls

    def _collect(self, found):
        self._ensure_finalized()
        found[self] = None
        for library in self._linking_libraries:
            if library not in found:
                if isinstance(library, UnfinishedLibrary):
                    library._collect(found)
                else:
                    found[library] = None

    def add_llvm_module(self, module):
        self._final_module.link_in(module)

    def _get_module_for_linking(self):
        """The module for a library that will be machine code at once: what it calls must have an address by then."""
        module, calls = self.complete()
        for function in calls.values():
            function.address()
        return module

    def get_pointer_to_function(self, name):
        raise NotImplementedError(f"{name} is part of other functions and has no address of its own")


def _module_of(library):
    unfinished = isinstance(library, UnfinishedLibrary)
    return library._final_module if unfinished else library._get_module_for_linking()


@register_pass(mutates_CFG=False, analysis_only=False)
class RegisterPart(LoweringPass):
    """Makes a part known to those that call it, as Numba does with a function that has an address."""

    _name = "register_part"

    def __init__(self):
        LoweringPass.__init__(self)

    def run_pass(self, state):
        lowered = state["cr"]
        name = lowered.fndesc.unique_name  # what callers look it up by
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=name, env=lowered.env)
        state.targetctx.insert_user_function(name, lowered.fndesc, [state.library])
        return True


# Of Numba's passes those that kernels need: no closures, generators, array expressions, overloads to be inlined, or
# references that end with a variable's life, of which another five passes look for some.
PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    RewriteSemanticConstants,
    DeadBranchPrune,
    GenericRewrites,
    InlineInlinables,
    ReconstructSSA,
    DeadBranchPrune,
    NopythonTypeInference,
    PreLowerStripPhis,
    AnnotateTypes,
    NativeLowering,
    RegisterPart,
    NoPythonBackend,
)


class KnownCalls(Context):
    """Numba's typing context, which finds out once which types a call of an operator or a C function takes and gives.

    For the functions of a network and what they call it is asked 17,000 times for 1,200 calls: 6 of 66 s of compiling
    (Ice Lake). To keep what is read of functions before types are known as well took 45 MB more and gained nothing.
    """

    def __init__(self, context):
        self.__dict__ = context.__dict__  # it is the same one
        self._known_calls = {}

    def resolve_function_type(self, function, arguments, keywords):
        if isinstance(function, types.Dispatcher):
            return super().resolve_function_type(function, arguments, keywords)
        key = function, tuple(arguments), tuple(keywords.items() if isinstance(keywords, dict) else keywords)
        if key not in self._known_calls:
            found = super().resolve_function_type(function, arguments, keywords)
            if found is None:
                return None
            self._known_calls[key] = found
        return self._known_calls[key]


known_calls = cache(KnownCalls)  # one of each context


class PartCompiler(CompilerBase):
    """Numba's passes, as far as LLVM code."""

    def define_pipelines(self):
        state = self.state
        state.typingctx = known_calls(state.typingctx)
        state.flags.no_compile = True
        state.library = UnfinishedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = PassManager("part")
        for each in PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class Expanded(CPUDispatcher):
    """A function whose lines become its caller's before types are known. Called from Python it runs as Python."""

    def __init__(self, function, options):
        super().__init__(function, targetoptions={**options, "nopython": True, "inline": "always"})

    def __call__(self, *arguments):
        return self.py_func(*arguments)


class Part(CPUDispatcher):
    """A function that others call and that is compiled into them. Called from Python it runs as Python."""

    def __init__(self, function, options):
        options = {**options, "nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(function, targetoptions=options, pipeline_class=PartCompiler)

    def __call__(self, *arguments):
        return self.py_func(*arguments)

    def get_call_template(self, arguments, keywords):
        """Numba would compile it anew for each constant that it is called with, which LLVM puts in anyway."""
        return super().get_call_template([types.unliteral(each) for each in arguments], keywords)

    def compile(self, signature):
        raise_interrupt()
        return super().compile(signature)

    def add_overload(self, result):
        # What only describes how it was compiled would stay in memory: half of what a training loop took.
        result.fndesc.typemap = result.fndesc.calltypes = None
        self.overloads[tuple(result.signature.args)] = result._replace(type_annotation=None, metadata={})
