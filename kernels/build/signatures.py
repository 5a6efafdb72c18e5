"""What each kernel is compiled for, as its own file declares it: read by warm-up and by the tests of what is kept."""

import pkgutil
import re
from importlib import import_module

from numba.core import sigutils

import fastbp.kernels

REALS = ("float32", "float64")
_declared = {}  # by module and name, as a module may be read again: the kernel and its signatures


def declare(kernel, signatures):
    """Notes a kernel with its signatures, of which `kernel` of `flags.py` says what they look like."""
    function = kernel.py_func
    _declared[function.__module__, function.__qualname__] = kernel, signatures


def declared(real):
    """(Kernel, its argument types) for weights of this precision: all of fastbp's own, in the order of their files.

    x may have a lower precision than the weights.
    """
    for found in pkgutil.iter_modules(fastbp.kernels.__path__, "fastbp.kernels."):
        import_module(found.name)
    for (module, _), (kernel, signatures) in sorted(_declared.items(), key=lambda each: each[0][0]):
        if module.startswith("fastbp.kernels."):
            for signature in signatures:
                for given in REALS[: 1 + REALS.index(real)] if "given" in signature else (real,):
                    yield kernel, types_of(signature, given, real)


def types_of(signature, given, real):
    """The types that a signature names."""
    names = {"given": given, "real": real}
    plain = re.sub("given|real", lambda name: names[name[0]], signature)
    return sigutils.normalize_signature(f"({plain},)")[0]
