"""`python -m fastbp` and the command `fastbp`."""

import os
import sys


def main() -> None:
    """Runs the command line; Ctrl-C ends it at once with status 130, also while the imports below still run."""
    try:
        from fastbp.cli import run

        status = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader of our output has gone (`fastbp train | head`): end quietly, and keep the exit from flushing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
