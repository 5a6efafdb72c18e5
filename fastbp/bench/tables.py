"""A report as text for the terminal; `benchmarks/report.py` makes Markdown of the same cells."""

from collections.abc import Iterator
from itertools import groupby

from fastbp.bench import Result, Spread
from fastbp.bench.process import Report
from fastbp.bench.rows import SECTIONS


def text(report: Report) -> Iterator[str]:
    """The lines to print: facts, a table for each section, what missed its figure."""
    yield from _aligned([(f"{name}:", value) for name, value in report.facts.items()])
    for section, results in by_section(report):
        yield ""
        title = SECTIONS[section]
        yield title.title
        yield title.text
        lines = [cells for result in results for cells in _terminal_cells(result)]
        yield from (f"  {line}" for line in _aligned(lines))
    yield ""
    yield from verdicts(report)


def by_section(report: Report) -> Iterator[tuple[str, list[Result]]]:
    for section, results in groupby(report.results, key=lambda result: result.row.section):
        yield section, list(results)


def verdicts(report: Report) -> Iterator[str]:
    """How many figures are met, the misses one by one, and what was left out."""
    asked = sum(len(result.required) for result in report.results)
    missed = [(result, name, by) for result in report.results for name, by in result.missed.items()]
    yield f"{asked - len(missed)} of {asked} required figures met."
    for result, name, by in missed:
        least, got = result.required[name], result.ratios[name]
        yield f"missed by {by:.1%}: {result.row}: {spread(got)} × {name}, required {least:g}"
    for name, count in left_out(report).items():
        yield f"left out, as it can't run here: {name} ({count} {'row' if count == 1 else 'rows'})"


def left_out(report: Report) -> dict[str, int]:
    """In how many rows each missing contender stood."""
    names = [name for line in report.left_out for name in line.rsplit(": ", 1)[1].split(", ")]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _terminal_cells(result: Result) -> Iterator[tuple[str, ...]]:
    """A line for each comparison; what is the same as in the line above stays blank."""
    ours = duration(result.seconds[result.row.contenders[0]])
    first = (result.row.operation, shape(result), result.row.dtype, ours)
    for name, ratio in result.ratios.items():
        yield (*first, f"{spread(ratio)} × {name}", verdict(result, name))
        first = ("", "", "", "")


def shape(result: Result) -> str:
    return "×".join(map(str, result.row.shape))


def verdict(result: Result, name: str) -> str:
    """The required figure and whether it is met; nothing where none is required."""
    least = result.required.get(name)
    if least is None:
        return ""
    by = result.missed.get(name)
    return f"≥ {least:g} met" if by is None else f"≥ {least:g} missed by {by:.1%}"


def spread(ratio: Spread) -> str:
    return _three_digits(ratio, 1)


def duration(seconds: Spread) -> str:
    unit, factor = ("ms", 1e3) if seconds.median >= 1e-3 else ("µs", 1e6)
    return " ".join((_three_digits(seconds, factor), unit))


def rate(rates: Spread) -> str:
    """In units of 10⁹ a second."""
    return f"{rates.median * 1e-9:.3g}"


def _three_digits(spread: Spread, factor: float) -> str:
    median, low, high = (f"{value * factor:#.3g}".rstrip(".") for value in (spread.median, spread.low, spread.high))
    return f"{median} ({low}–{high})"


def _aligned(lines: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
