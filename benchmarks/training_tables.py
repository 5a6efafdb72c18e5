"""A training report as text: Markdown for RESULTS.md, and aligned lines for the terminal."""

from collections.abc import Iterator

from training_rows import COMMANDS, REQUIRED, SECOND_NETWORK, SHARES, TrainingReport, TrainingResult

from fastbp.bench import Spread

TEXT = (
    "Steps of whole training: gathering the batch from the training set, forward, backward, update; float32, the same "
    "initial weights and the same batches for all. Each system runs in a process of its own that may use as many cores "
    "as it says threads; they take short turns, each from the initial weights, and sleep in between. Before anything "
    "is timed, the losses of the first 20 steps are compared with the reference's in float64 (the column of errors: "
    "the largest relative difference). The share of the peak counts the operations of the products alone, against "
    "multiply-adds in registers on as many threads, which take their turns with the others; and ours against those "
    "that the same cores give at once after the turn, as a processor that moves data as well has less of them."
)
BUSY = 0.05  # the share of a core that a resting system may use

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def markdown(report: TrainingReport) -> Iterator[str]:
    """The section "Training", without the facts."""
    yield from ("## Training", "", TEXT)
    for title, table in tables(report):
        yield from ("", f"### {title}", "")
        yield from _piped(*table)
    if remarks := [*verdicts(report), *notes(report)]:
        yield ""
        yield from (f"- {line}" for line in remarks)


def text(report: TrainingReport) -> Iterator[str]:
    """The same for a terminal, with the facts."""
    yield from _aligned([(f"{name}:", value) for name, value in report.facts.items()])
    for title, (heads, rows) in tables(report):
        yield from ("", title)
        yield from (f"  {line}" for line in _aligned([heads, *rows]))
    if remarks := [*verdicts(report), *notes(report)]:
        yield ""
        yield from remarks


def verdicts(report: TrainingReport) -> Iterator[str]:
    """A line for each figure that is required: met, or by how much it is missed."""
    for result in report.results:
        key, other = (result.task.widths, result.task.threads), result.fastest_other()
        for name, least in REQUIRED.get(key, {}).items():
            if name in result.samples and other:
                ratio = result.samples[name].median / result.samples[other].median
                yield _verdict(f"{result.task}: {name}, × {other}", ratio, least)
        if key in SHARES and "fastbp dense" in result.shares:
            share = result.shares["fastbp dense"].median
            yield _verdict(f"{result.task}: fastbp dense, share of the peak", share, SHARES[key])
    for name, parts in report.commands.items():
        other = name.replace("fastbp train", "NumPy layers")
        if name.startswith("fastbp") and name.endswith("1 thread") and other in report.commands:
            for part, least in COMMANDS.items():
                ratio = report.commands[other][part].median / parts[part].median
                yield _verdict(f"{name}, {part}: × NumPy layers", ratio, least)
    for name, parts in report.first_steps.items():
        if name == "fastbp dense":
            ratio = SECOND_NETWORK / parts["second"].median
            yield _verdict(f"second network, times faster than {SECOND_NETWORK * 1e3:.0f} ms", ratio, 1.0)


def _verdict(what: str, value: float, least: float) -> str:
    missed = "" if value >= least else f", **missed by {1 - value / least:.0%}**"
    return f"{what} {value:.3g}, required {least:g}{missed}"


def tables(report: TrainingReport) -> Iterator[tuple[str, Table]]:
    """A title and a table for each task; then the whole commands and the first steps, where they were measured."""
    for result in report.results:
        yield str(result.task), task_table(result)
    if report.commands:
        heads = ("MNIST, with the accuracy of all 70,000 samples each epoch", "whole command", "training")
        rows = [(name, *(_seconds(parts[key]) for key in heads[1:])) for name, parts in report.commands.items()]
        yield "Whole commands", (heads, rows)
    if report.first_steps:
        heads = ("from nothing to the loss of a first step", "first network", "second network")
        rows = [
            (name, _seconds(parts["first"]), _seconds(parts["second"])) for name, parts in report.first_steps.items()
        ]
        yield "Time to the first step", (heads, rows)


def task_table(result: TrainingResult) -> Table:
    first = next(iter(result.seconds))
    heads = ("", "samples a second", "µs a step", "share of the peak", "at once after", f"× by {first}", "error")
    rows = [
        (
            name,
            _whole(result.samples[name]),
            _digits(result.seconds[name], 1e6),
            f"{result.shares[name].median:.1%}",
            f"{result.shares_after[name].median:.1%}" if name in result.shares_after else "",
            _digits(result.ratios[name]) if name in result.ratios else "",
            f"{result.errors[name]:.0e}",
        )
        for name in result.seconds
    ]
    return heads, rows


def notes(report: TrainingReport) -> Iterator[str]:
    """Who was left out and why, and who wasn't asleep when it should have been."""
    for name, reason in report.left_out.items():
        yield f"left out: {name}: {reason}"
    for result in report.results:
        for name, share in result.busy.items():
            if share > BUSY:
                yield f"{result.task}: {name} used {share:.0%} of a core while the others ran"


def _whole(spread: Spread) -> str:
    return f"{spread.median:,.0f} ({spread.low:,.0f}–{spread.high:,.0f})"


def _digits(spread: Spread, factor: float = 1.0) -> str:
    median, low, high = (_three(value * factor) for value in (spread.median, spread.low, spread.high))
    return f"{median} ({low}–{high})"


def _seconds(spread: Spread) -> str:
    small = spread.median < 1
    return f"{_digits(spread, 1e3 if small else 1.0)} {'ms' if small else 's'}"


def _three(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def _piped(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    for cells in (heads, ("---",) * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"


def _aligned(lines: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
