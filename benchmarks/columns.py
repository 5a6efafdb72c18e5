"""What the commands measure, a report for each instruction set, kept as JSON from one run to the next."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from fastbp.bench.results import as_json
from fastbp.system.files import atomic_write

HERE = Path(__file__).parent
KERNELS, TRAINING, COLD_START = HERE / "results.json", HERE / "training.json", HERE / "cold_start.json"
IMAGES, BOOK = HERE / "images.json", HERE / "book.json"


class Kind(Protocol):
    """A kind of report, which is read from JSON."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self: ...


R = TypeVar("R", bound=Kind)


def read(file: Path, kind: type[R]) -> dict[str, R]:
    """The reports by instruction set; none where nothing was measured yet."""
    if not file.exists():
        return {}
    return {name: kind.from_dict(data) for name, data in json.loads(file.read_text(encoding="utf-8")).items()}


def write(file: Path, reports: dict[str, Any]) -> None:
    """These columns; one that was measured before stays where it comes from the same processor."""
    kept = read(file, type(next(iter(reports.values()))))
    processor = processor_of(next(iter(reports.values())))
    together = {name: report for name, report in kept.items() if processor_of(report) == processor} | reports
    columns = ",\n".join(f'"{name}": {as_json(report).rstrip()}' for name, report in together.items())
    with atomic_write(file) as stream:
        stream.write(f"{{\n{columns}\n}}\n".encode())


def processor_of(report: Any) -> str:
    """Its name alone: what kernels are compiled for stands behind it, in brackets."""
    return str(report.facts.get("processor", "")).split(" (")[0]


def run(main: Callable[[], None]) -> None:
    """A command: a mistake is one line on stderr and status 2, Ctrl-C status 130."""
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(_failed(f"error: {error}", 2))
    except KeyboardInterrupt:
        sys.exit(_failed("", 130))


def _failed(message: str, status: int) -> int:
    print(f"\n{message}".rstrip(), file=sys.stderr)
    return status
