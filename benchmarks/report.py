"""Measures kernels and layers with each instruction set, and writes down what all commands measured.

    python benchmarks/training.py       # training.json
    python benchmarks/images.py         # images.json
    python benchmarks/book.py           # book.json
    python benchmarks/cold_start.py     # cold_start.json
    python benchmarks/report.py         # results.json; from all of them RESULTS.md, the charts, the README's figures

`--readme` measures nothing: it writes from the JSON files again.
"""

import argparse
import sys

import columns
import document
import instruction_sets

from fastbp.bench import process
from fastbp.bench.results import Report

SECONDS = 0.25  # for each row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    instruction_sets.columns_option(parser)
    parser.add_argument("--readme", action="store_true", help="measure nothing, write anew")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--only", default="", metavar="REGEX", help="matching rows, as in 'products: .*float64'")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for each row, but at least 11 rounds")
    options = parser.parse_args()
    if not options.readme:
        columns.write(columns.KERNELS, measure(options))
    write()


def measure(options: argparse.Namespace) -> dict[str, Report]:
    """The column of each instruction set, one after the other."""
    reports = {}
    for each in instruction_sets.offered(options.isa):

        def show(done: int, total: int, row: str, name: str = each.name) -> None:
            if sys.stderr.isatty():
                print(f"\r\x1b[K{name}: {done}/{total} {row}", end="", file=sys.stderr, flush=True)

        reports[each.name] = process.run(
            "kernel_suite",
            options.seconds,
            quick=options.quick,
            only=options.only,
            progress=show,
            environment=each.environment,
        )
    return reports


def write() -> None:
    """RESULTS.md, the charts and the README's figures, from the JSON files."""
    import charts
    import training_chart

    from fastbp.bench.chart import speedups

    found = document.measured()
    document.RESULTS.write_text(document.results(found), encoding="utf-8")
    readme = document.README.read_text(encoding="utf-8")
    document.README.write_text(document.with_figures(readme, found), encoding="utf-8")
    own = next(iter(found.values()))
    charts.roofline(own.kernels, columns.HERE / "roofline.png")
    layers = [result for result in own.kernels.results if result.row.section == "layers"]
    note = f"forward and backward, one thread; {columns.processor_of(own.kernels)}"
    speedups(layers, lambda result: f"{result.row.operation}\n{result.row.size}", note, columns.HERE / "speedup.png")
    training_chart.chart(own.training, columns.HERE / "training.png")


if __name__ == "__main__":
    columns.run(main)
