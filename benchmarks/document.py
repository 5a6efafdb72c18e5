"""RESULTS.md and the README's figures, from what was measured."""

from collections.abc import Iterable, Iterator, Mapping

import cells
import columns
import required
import training_tables
from cold_start import ColdStart
from kernel_rows import BOOK, SECTIONS
from ratios import Ratios
from required import Measured
from training_rows import TrainingReport, TrainingResult

from fastbp.bench.results import Report, Result

RESULTS, README = columns.HERE / "RESULTS.md", columns.HERE.parent / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
Columns = Mapping[str, Measured]


def measured() -> dict[str, Measured]:
    """What the commands have measured, by instruction set, the machine's own first."""
    kernels = columns.read(columns.KERNELS, Report)
    training = columns.read(columns.TRAINING, TrainingReport)
    cold = columns.read(columns.COLD_START, ColdStart)
    images, book = columns.read(columns.IMAGES, Ratios), columns.read(columns.BOOK, Ratios)
    return {
        name: Measured(
            kernels.get(name, Report()),
            training.get(name, TrainingReport()),
            cold.get(name, ColdStart()),
            images.get(name, Ratios()),
            book.get(name, Ratios()),
        )
        for name in dict.fromkeys((*kernels, *training, *cold, *images, *book))
    }


def machine(found: Columns) -> str:
    """The processor's name and, in brackets, what kernels are compiled for in the machine's own column."""
    return next(iter(found.values())).kernels.facts["processor"].split(",")[0]


# RESULTS.md ----------------------------------------------------------------------------------------------------------


def results(found: Columns) -> str:
    return "\n".join(_document(found)) + "\n"


def _document(found: Columns) -> Iterator[str]:
    yield f"# Results on {machine(found)}"
    yield ""
    yield (
        "Written by `python benchmarks/report.py`, with what the other commands beside it measured. Figures are "
        "medians over interleaved rounds; raw ones, with the 20 and 80 percentiles, are in the JSON files beside this "
        "one. A ratio (×) is our rate over the other's, taken round by round: more than 1 is faster. Results are "
        "checked before anything is timed, and compiling isn't timed. A column holds for one instruction set: where "
        "the processor has AVX-512, the column of AVX2 was measured with all libraries told to do without, and "
        "refused if one had used AVX-512 registers all the same."
    )
    yield ""
    yield from cells.facts({name: each.kernels.facts for name, each in found.items()})
    yield ""
    yield from required.section(found)
    yield from ("", "![Rate against shape](roofline.png)", "", "![Speed-up of each layer](speedup.png)")
    yield from _kernels({name: each.kernels for name, each in found.items()})
    yield ""
    training = {name: each.training for name, each in found.items() if each.training.facts}
    yield from training_tables.section(training)
    yield from ("", "![Samples a second](training.png)", "")
    yield from cells.facts({name: report.facts for name, report in training.items()})
    yield from _cold({name: each.cold for name, each in found.items()})


def _kernels(found: Mapping[str, Report]) -> Iterator[str]:
    for section, about in SECTIONS.items():
        rows: dict[str, dict[str, Result]] = {}
        for name, report in found.items():
            for result in report.results:
                if result.row.section == section:
                    rows.setdefault(str(result.row), {})[name] = result
        if rows:
            yield from ("", f"## {about.title}", "", about.text, "")
            yield from _section(list(rows.values()), list(found), about.unit)
    missing = [f"- {name}: left out, as it can't run here: {line}" for name, r in found.items() for line in r.left_out]
    if missing:
        yield from ("", *missing)


def _section(rows: list[dict[str, Result]], names: list[str], unit: str) -> Iterator[str]:
    """A row for each row; for each instruction set our time or rate, and the ratios."""
    results = [result for row in rows for result in row.values()]
    others = [name for name in dict.fromkeys(o for r in results for o in r.ratios)]
    ours = results[0].ours
    heads = [f"{name}: {what}" for name in names for what in (f"{ours}, {unit or 'time'}", *(f"× {o}" for o in others))]
    yield from cells.table(("", "shape", "dtype", *heads), [_row(row, names, others, unit) for row in rows])


def _row(row: dict[str, Result], names: list[str], others: list[str], unit: str) -> Iterator[str]:
    first = next(iter(row.values())).row
    yield from (f"`{first.operation}`", first.size, first.dtype)
    for name in names:
        result = row.get(name)
        if result is None:
            yield from ("",) * (1 + len(others))
            continue
        rate, seconds = result.rates[result.ours].median * 1e-9, result.seconds[result.ours]
        yield cells.three(rate) if unit else cells.duration(seconds)
        yield from (f"{result.ratios[o].median:.3g}" if o in result.ratios else "" for o in others)


def _cold(found: Mapping[str, ColdStart]) -> Iterator[str]:
    costs = dict.fromkeys(cost.name for report in found.values() for cost in report.results)
    if not costs:
        return
    yield from ("", "## A first use", "", "Whole processes, on all cores, from their start to their end.", "")
    rows = []
    for name in costs:
        measured = [next((cost for cost in report.results if cost.name == name), None) for report in found.values()]
        rows.append((name, *(f"{cells.spread(cost.value)} {cost.unit}".rstrip() if cost else "" for cost in measured)))
    yield from cells.table(("", *found), rows)


# README.md -----------------------------------------------------------------------------------------------------------


def with_figures(readme: str, found: Columns) -> str:
    """The README with what stands between the markers made anew. ValueError when there are no markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{figures(found)}\n{END}{after}"


def figures(found: Columns) -> str:
    """The chart and the figures that matter; of each instruction set, side by side."""
    facts = next(iter(found.values())).kernels.facts
    names = " / ".join(found)
    lines = [
        "![Samples a second, by system](benchmarks/training.png)",
        "",
        *_training_lines(found),
        *_kernel_lines(found),
        "",
        f"One thread each, on {machine(found)}; {names}. "
        f"NumPy {facts['numpy']} with {facts['BLAS of numpy'].split()[0]}. Every shape, also those where we lose: "
        "[benchmarks/RESULTS.md](benchmarks/RESULTS.md). On your machine: `fastbp bench`.",
    ]
    return "\n".join(lines)


def _kernel_lines(found: Columns) -> Iterator[str]:
    book = "×".join(map(str, BOOK))
    kernels = [each.kernels for each in found.values() if each.kernels.results]
    reports = [{(result.row.section, str(result.row)): result for result in report.results} for report in kernels]

    def each(section: str, row: str, other: str, form: str) -> str:
        return " / ".join(format(report[section, row].ratios[other].median, form) for report in reports)

    forward = ("products", f"affine_forward {book} float32")
    yield (
        f"- The matrix product of the book's first layer (batch × inputs × outputs {book}, float32) runs at "
        f"{each(*forward, 'peak', '.0%')} of the processor's multiply-add peak, {each(*forward, 'np.dot', '.2f')} × "
        "the speed of `np.dot`."
    )
    affine, relu = (each("layers", f"{row} float32", "NumPy", ".3g") for row in (f"Affine {book}", "Relu 128×1000"))
    yield f"- `Affine` forward and backward at that shape: {affine} × NumPy's speed."
    yield f"- `Relu` forward and backward on 128×1000: {relu} × NumPy's speed."


def _training_lines(found: Columns) -> Iterator[str]:
    """A line for each network on one thread: ours, and how many times the fastest of the others."""
    reports = [each.training for each in found.values() if each.training.results]
    networks = dict.fromkeys(result.task.network for report in reports for result in report.results)
    for network in networks:
        results = [r for report in reports for r in report.results if (r.task.network, r.task.threads) == (network, 1)]
        results = [r for r in results if "fastbp dense" in r.samples and r.fastest_other()]
        if not results:
            continue
        line = f"- Training {network}: {_each(r.samples['fastbp dense'].median for r in results)} samples a second on "
        line += f"one thread, {_ratios(results, ('fastbp dense',))} × the fastest other system"
        skipping = [name for name in required.SKIPPING if all(name in r.samples for r in results)]
        if skipping and all(_best(r, skipping) > r.samples["fastbp dense"].median for r in results):
            line += f"; {_ratios(results, skipping)} × with the inputs' zeros skipped"
        yield f"{line} ({', '.join(dict.fromkeys(r.fastest_other() for r in results))})."


def _each(values: Iterator[float]) -> str:
    return " / ".join(f"{value:,.0f}" for value in values)


def _best(result: TrainingResult, ours: Iterable[str]) -> float:
    return max(result.samples[name].median for name in ours)


def _ratios(results: list[TrainingResult], ours: Iterable[str]) -> str:
    return " / ".join(f"{_best(r, ours) / r.samples[r.fastest_other()].median:.2f}" for r in results)
