"""The last line: time, calls on kernels, and what the script's own code did."""

import os
import sys
import time

from fastbp.book import adoption, bindings, comparison
from fastbp.book.hook import BookFinder


def print_once(finder: BookFinder, started: float, process: int) -> None:
    """The line, on stderr, from the process that ran the script; a forked child has nothing to tell."""
    if os.getpid() != process or sys.stderr is None:
        return
    try:
        sys.stdout.flush()  # the script's output stands above
    except (OSError, ValueError, AttributeError):
        pass
    print(f"fastbp: {text(finder, time.perf_counter() - started)}", file=sys.stderr, flush=True)


def text(finder: BookFinder, seconds: float | None = None) -> str:
    """What was replaced and what was not, how often kernels ran, and in which time."""
    replaced = finder.replaced
    parts = []
    if any(replaced.stand_ins.values()):
        edition = f" ({replaced.dialect} edition)" if replaced.dialect else ""
        count = adoption.calls[0]
        parts.append(f"{count:,} call{'s' * (count != 1)} served by kernels{edition}")
    else:
        parts.append("nothing was replaced" if seconds is not None else "nothing was replaced yet")
    if replaced.left:
        left = "; ".join(_left(module, names) for module, names in sorted(replaced.left.items()))
        parts.append(f"left to the script's own code: {left}")
    for name in replaced.foreign:
        if_it_is = f"python -m fastbp.book.known {name} > forms.json, FASTBP_BOOK_FORMS=forms.json"
        left_alone = f"is not the book's and was left alone (if it is, written differently: {if_it_is})"
        parts.append(f"the package {name!r} {left_alone}")
    parts += [f"{name} was replaced, and {users} did not use it" for name, users in bindings.unseen().items()]
    if finder.settings.compare:
        parts.append(_comparison(finder.settings.compare))
    return "; ".join(parts) if seconds is None else f"{seconds:.1f} s, {'; '.join(parts)}"


def _left(module: str, names: dict[str, str]) -> str:
    """What of a module is the owner's: common.layers: Relu (changed), Dropout and Pooling (not in fastbp)."""
    if set(names.values()) == {"--only"}:
        return f"{module} (--only)"
    reasons = {reason: [name for name, why in names.items() if why == reason] for reason in names.values()}
    return f"{module}: " + ", ".join(f"{' and '.join(found)} ({reason})" for reason, found in reasons.items())


def _comparison(batches: int) -> str:
    if not comparison.largest:
        return "nothing was compared"
    difference, where = comparison.largest[0]
    return f"largest difference from the script's own on the first {batches} batches: {difference:.1e} ({where})"
