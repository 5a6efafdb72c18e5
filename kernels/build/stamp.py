"""A hash of the kernels that are run: of their sources, or of their code where a package came without sources."""

import hashlib
import os
import pkgutil
from types import CodeType

import fastbp.kernels


def kernels_hash():
    """SHA-256 of every module of fastbp.kernels, as hex digits; None where a module's code can't be found out.

    The same wherever the package lies, and for the same sources with and without `.pyc` files beside them.
    """
    digest = hashlib.sha256()
    try:
        for name, loader in _modules():
            digest.update(f"{name}\0{_content(loader, name)}\0".encode("utf-8", "surrogatepass"))
    except Exception:  # whatever a loader raises, of an archive that was replaced for instance
        return None
    return digest.hexdigest()


def _modules():
    """(name, loader) of the package and of all modules in it and its subpackages, none of which is imported for it."""
    package = fastbp.kernels
    return [(package.__name__, package.__spec__.loader), *_modules_in(package.__path__, f"{package.__name__}.")]


def _modules_in(path, prefix):
    for finder, name, is_package in sorted(pkgutil.iter_modules(path, prefix), key=lambda module: module.name):
        # A zip's finder is its loader; asked for a spec, it compiles the module.
        loader = finder if hasattr(finder, "get_code") else finder.find_spec(name).loader
        yield name, loader
        if is_package:
            inside = [os.path.join(each, name.removeprefix(prefix)) for each in path]
            yield from _modules_in(inside, f"{name}.")


def _content(loader, name):
    """The source's text, or what the code does."""
    source = loader.get_source(name)
    return source if source is not None else _meaning(_code(loader, name))


def _code(loader, name):
    code = loader.get_code(name)
    if code is None:  # an extension module
        raise ImportError(f"no code of {name} is to be seen", name=name)
    return code


def _meaning(constant):
    """A text that is the same for the same code or constant, in every process and whichever file it was compiled from.

    `marshal` gives other bytes for another count of references, and each code object holds its file's path.
    """
    if isinstance(constant, CodeType):
        parts = [getattr(constant, name) for name in _CODE_PARTS]
        return f"code({', '.join(map(_meaning, parts))})"
    if isinstance(constant, tuple):
        return f"({', '.join(map(_meaning, constant))})"
    if isinstance(constant, frozenset):
        return f"frozenset({', '.join(sorted(map(_meaning, constant)))})"
    return repr(constant)


_CODE_PARTS = (
    *("co_name", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags"),
    *("co_code", "co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_exceptiontable"),
)
