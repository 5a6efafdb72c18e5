"""`python -m fastbp` and the command `fastbp`."""

import os
import sys

from fastbp.system.interrupts import interrupts_end


def main() -> None:
    """Runs the command line; Ctrl-C ends it with status 130, also while the imports below still run."""
    interrupts_end()
    from fastbp.command.cli import run

    try:
        status = run()
        if callable(status):
            status = status()
    except BrokenPipeError:  # the reader of our output has gone (`fastbp train | head`): end quietly
        status = 1
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # told already; nor should the exit, which flushes once more, complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


if __name__ == "__main__":
    main()
