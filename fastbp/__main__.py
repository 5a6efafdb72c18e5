"""`python -m fastbp` and the command `fastbp`."""

import os
import sys


def main() -> None:
    """Runs the command line; Ctrl-C ends it with status 130, also while the imports below still run."""
    from fastbp.system.interrupts import interrupts_end

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
    # python -m: the working directory is the first for imports. A dis.py there is its owner's, and none of ours.
    if getattr(__spec__, "name", "") == "fastbp.__main__" and not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))
    main()
