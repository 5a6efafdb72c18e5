"""Measures kernels and layers: python benchmarks/report.py writes RESULTS.md, results.json and charts beside this file.

What training.py measured (training.json) goes into RESULTS.md and the README with it.

`--readme` measures nothing: it writes the charts and the README's figures, and RESULTS.md, from results.json again.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import training_tables
from training_rows import TrainingReport

from fastbp.bench import Result, process, tables
from fastbp.bench.command import write_json
from fastbp.bench.process import Report
from fastbp.bench.rows import BOOK, SECTIONS

HERE = Path(__file__).parent
RESULTS, RAW, README = HERE / "RESULTS.md", HERE / "results.json", HERE.parent / "README.md"
TRAINING = HERE / "training.json"  # by training.py
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", action="store_true", help="measure nothing, write anew from results.json")
    parser.add_argument("--quick", action="store_true", help="the rows of `fastbp bench` only")
    parser.add_argument("--seconds", type=float, help="time for each row")
    options = parser.parse_args()
    if not options.readme:
        report = process.run(not options.quick, options.seconds, progress=_show)
        print(file=sys.stderr)
        write_json(report, RAW)
    import charts
    import training_chart

    report = load()
    RESULTS.write_text(markdown(report), encoding="utf-8")
    charts.roofline(report, HERE / "roofline.png")
    charts.speedup(report, HERE / "speedup.png")
    training_chart.chart(load_training(), HERE / "training.png")
    README.write_text(with_figures(README.read_text(encoding="utf-8"), report), encoding="utf-8")


def load() -> Report:
    """What the last run measured."""
    return Report.from_dict(json.loads(RAW.read_text(encoding="utf-8")))


def load_training() -> TrainingReport:
    """What the last run of training.py measured."""
    return TrainingReport.from_dict(json.loads(TRAINING.read_text(encoding="utf-8")))


def _show(done: int, total: int, name: str) -> None:
    print(f"\r\x1b[K{done}/{total} {name}", end="", file=sys.stderr, flush=True)


# RESULTS.md ----------------------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    return "\n".join(_document(report)) + "\n"


def _document(report: Report) -> Iterator[str]:
    yield "# Results"
    yield ""
    yield (
        "Written by `python benchmarks/report.py`; raw figures in [results.json](results.json). Times and ratios are "
        "medians over interleaved rounds, with the 20 and 80 percentiles in brackets. A ratio is our rate over the "
        "other's, taken round by round: more than 1 is faster. Results are checked before anything is timed, and "
        "compiling isn't timed."
    )
    yield ""
    yield from _table(("", ""), [(name, value) for name, value in report.facts.items()])
    yield from _summary(report)
    yield from ("", "![Rate against shape](roofline.png)", "", "![Speed-up of each layer](speedup.png)")
    for section, results in tables.by_section(report):
        yield from ("", f"## {SECTIONS[section].title}", "", SECTIONS[section].text, "")
        yield from _section(results, SECTIONS[section].unit)
    training = load_training()
    yield from ("", *training_tables.markdown(training), "", "![Samples a second](training.png)", "")
    yield from _table(("", ""), [(name, value) for name, value in training.facts.items()])


def _summary(report: Report) -> Iterator[str]:
    yield from ("", "## Required figures", "")
    rows = []
    for section, results in tables.by_section(report):
        asked, missed = (sum(len(getattr(r, name)) for r in results) for name in ("required", "missed"))
        rows.append((SECTIONS[section].title, str(len(results)), f"{asked - missed} of {asked}" if asked else "none"))
    yield from _table(("section", "rows", "figures met"), rows)
    yield ""
    yield from (f"- {line}" for line in tables.verdicts(report))


def _section(results: list[Result], unit: str) -> Iterator[str]:
    others = list(dict.fromkeys(name for result in results for name in result.row.contenders[1:]))
    others = [name for name in others if any(name in result.ratios for result in results)]
    heads = ("", "shape", "dtype", results[0].row.contenders[0], *((unit,) if unit else ()))
    yield from _table((*heads, *(f"× {name}" for name in others)), [_cells(result, unit, others) for result in results])


def _cells(result: Result, unit: str, others: list[str]) -> tuple[str, ...]:
    row, ours = result.row, result.row.contenders[0]
    rate = (tables.rate(result.rates[ours]),) if unit else ()
    first = (f"`{row.operation}`", tables.shape(result), row.dtype, tables.duration(result.seconds[ours]))
    return (*first, *rate, *(_ratio(result, name) for name in others))


def _ratio(result: Result, name: str) -> str:
    if name not in result.ratios:
        return ""
    verdict = tables.verdict(result, name)
    verdict = f"**{verdict}**" if name in result.missed else verdict
    return f"{tables.spread(result.ratios[name])} {verdict}".rstrip()


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    for cells in (heads, ("---",) * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"


# README.md -----------------------------------------------------------------------------------------------------------


def with_figures(readme: str, report: Report) -> str:
    """The README with what stands between the markers made anew. ValueError when there are no markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{figures(report)}\n{END}{after}"


def figures(report: Report) -> str:
    """The chart and the three figures that matter."""
    found = {(result.row.section, str(result.row)): result for result in report.results}
    book = "×".join(map(str, BOOK))
    forward = found["products", f"affine_forward {book} float32"]
    layer = found["layers", f"Affine {book} float32"]
    relu = found["layers", "Relu 128×1000 float32"]
    share, blas = forward.ratios["peak"].median, forward.ratios["np.dot"].median
    return "\n".join(
        (
            "![Samples a second, by system](benchmarks/training.png)",
            "",
            *_training_lines(load_training()),
            f"- The matrix product of the book's first layer (batch × inputs × outputs {book}, float32) runs at "
            f"{share:.0%} of the processor's multiply-add peak, {blas:.2f} × the speed of `np.dot`.",
            f"- `Affine` forward and backward at that shape: {layer.ratios['oracle'].median:.2f} × NumPy's speed.",
            f"- `Relu` forward and backward on 128×1000: {relu.ratios['oracle'].median:.3g} × NumPy's speed.",
            "",
            f"One thread each, on {report.facts['processor'].split(',')[0]} with {report.facts['instruction set']}; "
            f"NumPy {report.facts['numpy']} with {report.facts['BLAS of numpy'].split()[0]}. Every shape, also those "
            "where we lose: [benchmarks/RESULTS.md](benchmarks/RESULTS.md). On your machine: `fastbp bench`.",
        )
    )


def _training_lines(training: TrainingReport) -> Iterator[str]:
    """A line for each network on one thread: ours, and how many times the fastest of the others."""
    for result in training.results:
        other, ours = result.fastest_other(), result.samples.get("fastbp dense")
        if result.task.threads == 1 and ours is not None and other:
            line = (
                f"- Training {result.task.network}: {ours.median:,.0f} samples a second on one thread, "
                f"{ours.median / result.samples[other].median:.2f} × {other}, the fastest of the others"
            )
            skips = result.samples.get("fastbp sparse")
            if skips is not None and skips.median > ours.median:
                line += f"; {skips.median / result.samples[other].median:.2f} × with the inputs' zeros skipped"
            yield f"{line}."


if __name__ == "__main__":
    main()
