"""What the command says of a user's mistakes, and of warnings: a line each."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Warnings without the line of code that they arise in; not those of a user's script, which runs after this."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"fastbp: warning: {message}", file=sys.stderr)

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def of_a_mistake(error: Exception) -> str | None:
    """What to say of an error that is the user's own; None for any other."""
    if hasattr(error, "format_message"):  # a usage error; its class stands elsewhere in older releases of typer
        message = str(error.format_message()).replace("Value error, ", "").rstrip(".")
        context = getattr(error, "ctx", None)
        return f"{message} (`{context.command_path} --help` tells more)" if context else message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    if isinstance(error, OSError | ValueError | FloatingPointError):
        return str(error)
    return None
