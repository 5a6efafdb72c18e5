"""Tables as Markdown, and numbers as they are read."""

from collections.abc import Iterable, Iterator, Mapping

from fastbp.bench.timing import Spread


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = tuple(heads)
    for cells in (heads, ("---",) * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"


def facts(columns: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """What is known of each column's machine, versions and libraries, side by side."""
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [(name, *(column.get(name, "") for column in columns.values())) for name in names]
    yield from table(("", *columns), rows)


def three(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def spread(spread: Spread, factor: float = 1.0) -> str:
    median, low, high = (three(value * factor) for value in (spread.median, spread.low, spread.high))
    return f"{median} ({low}–{high})"


def duration(spread_of_seconds: Spread) -> str:
    seconds = spread_of_seconds.median
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{spread(spread_of_seconds, factor)} {unit}"
