"""`fastbp run` and `fastbp convert`: scripts and parameters of the book's readers."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer


class Dialect(StrEnum):
    auto = "auto"
    ko = "ko"
    ja = "ja"


class Precision(StrEnum):
    float32 = "float32"
    float64 = "float64"


# What follows SCRIPT is the script's own, options included.
RUN_SETTINGS = {"allow_interspersed_args": False, "ignore_unknown_options": False}


def run(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="What `python SCRIPT` would run.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARGS]...", help="The script's own.")] = None,
    dialect: Annotated[
        Dialect, typer.Option(help="The edition, Korean or Japanese; auto: that of the script's own common.")
    ] = Dialect.auto,
    only: Annotated[str, typer.Option(metavar="MODULE[,MODULE]", help="Replace these alone: layers,optimizer.")] = "",
    compare: Annotated[
        int, typer.Option(min=0, metavar="N", help="Run the script's own common as well, on the first N batches.")
    ] = 0,
    dtype: Annotated[
        Precision | None, typer.Option(help="What kernels compute in; arrays keep their dtypes.", show_default=False)
    ] = None,
) -> Callable[[], int]:
    """Run a script of the book with fastbp in the place of its own common and dataset.mnist.

    Nothing of the script is edited. What its owner changed in common runs as it stands. One line on stderr tells the
    time, the calls on kernels, and what was left to the script's own code.
    """
    from fastbp.book.known import forms
    from fastbp.book.run import check_script, run_script
    from fastbp.book.settings import Settings, modules_of

    try:
        settings = Settings(dialect.value, modules_of(only), compare, dtype.value if dtype else "")
    except ValueError as error:  # "only must name modules of ...": typer has checked the other options
        raise ValueError(f"--{error}") from None
    check_script(script)
    forms("layers")  # whatever FASTBP_BOOK_FORMS names is read before the script begins
    return partial(run_script, str(script), arguments or [], settings)


def convert(
    source: Annotated[Path, typer.Argument(metavar="params.pkl", help="A pickle of parameters, as the book's.")],
    target: Annotated[Path, typer.Argument(metavar="params.npz", help="The file to write, for load_params.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the target.")] = False,
) -> None:
    """Turn a pickle of parameters into an npz file, without running anything that the pickle holds.

    Dicts, strings, numbers and NumPy arrays are read; a pickle with anything else in it is refused.
    """
    from fastbp.networks.pickles import convert_params

    names = convert_params(source, target, force=force)
    print(f"{target}: {', '.join(names)}")
