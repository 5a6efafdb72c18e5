"""LLVM code to machine code, and machine code into memory."""

import llvmlite.binding as llvm
from numba.core import config
from numba.core.registry import cpu_target


def target_machine():
    """What code is generated for: Numba's target, so that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES count."""
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    # The options of Numba's own just-in-time compiler: any address may be anywhere.
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu,
        features=features,
        opt=int(config.OPT),
        reloc="static" if triple.startswith(("x86", "i686")) else "default",
        codemodel="jitdefault",
        jit=True,
    )


def object_of(module, symbol, machine):
    """The object file of an LLVM module with one function that others may call."""
    return machine.emit_object(optimized(module, symbol, machine))


def optimized(module, symbol, machine):
    """The module, of which one function may be called by others, as LLVM turns it into machine code."""
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "external" if function.name == symbol else "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=int(config.OPT))
    options.loop_vectorization = bool(config.LOOP_VECTORIZE)
    options.slp_vectorization = bool(config.SLP_VECTORIZE)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module


class Memory:
    """Machine code in this process."""

    def __init__(self):
        self._machine = target_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)

    def load(self, symbol, content):
        """The address of the function in an object file; all that it calls is loaded before."""
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self._engine.finalize_object()
        address = self._engine.get_function_address(symbol)
        llvm.add_symbol(symbol, address)  # for what is loaded later, also by Numba
        return address
