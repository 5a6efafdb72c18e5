"""Training reports as Markdown, a group of columns for each instruction set."""

from collections.abc import Iterator, Mapping

import cells
from training_rows import TrainingReport, TrainingResult

TEXT = (
    "Steps of whole training: gathering the batch from the training set, forward, backward, update; float32, the same "
    "initial weights and the same batches for all. `fastbp sparse` skips the inputs' zeros: it is given an epoch a "
    "call, and in each `bytes` compresses its samples of uint8. The compiled step and its memory "
    "are kept from turn to turn, as in a training of many epochs. Each system runs in a process of its own that may "
    "use as many cores as it says threads; they take short turns, each from the initial weights, and sleep in between. "
    "Before anything is timed, the losses of the first 20 steps are compared with the reference's in float64. The "
    "share of the peak counts the operations of the products alone, against multiply-adds in registers on as many "
    "threads, which take their turns with the others; in brackets, ours against those that the same cores give at once "
    "after the turn, as a processor that moves data as well has less of them."
)
BUSY = 0.05  # the share of a core that a resting system may use
Columns = Mapping[str, TrainingReport]


def section(columns: Columns) -> Iterator[str]:
    """The section "Training", without the facts."""
    yield from ("## Training", "", TEXT)
    tasks = list(dict.fromkeys(str(result.task) for report in columns.values() for result in report.results))
    for task in tasks:
        found = {name: [r for r in report.results if str(r.task) == task] for name, report in columns.items()}
        yield from ("", f"### {task}", "")
        yield from _task({name: results[0] for name, results in found.items() if results})
    yield from _whole(columns)
    if remarks := [f"{name}: {note}" for name, report in columns.items() for note in notes(report)]:
        yield ""
        yield from (f"- {remark}" for remark in remarks)


def _task(results: Mapping[str, TrainingResult]) -> Iterator[str]:
    ours = next(iter(next(iter(results.values())).seconds))
    heads = [f"{name}: {what}" for name in results for what in ("samples a second", "of the peak", f"× by {ours}")]
    systems = dict.fromkeys(system for result in results.values() for system in result.samples)
    rows = [(system, *(cell for result in results.values() for cell in _cells(result, system))) for system in systems]
    yield from cells.table(("", *heads), rows)


def _cells(result: TrainingResult, system: str) -> tuple[str, str, str]:
    if system not in result.samples:
        return "", "", ""
    after = f" ({result.shares_after[system].median:.1%})" if system in result.shares_after else ""
    ratio = cells.spread(result.ratios[system]) if system in result.ratios else ""
    return cells.spread(result.samples[system]), f"{result.shares[system].median:.1%}{after}", ratio


def _whole(columns: Columns) -> Iterator[str]:
    """Whole commands and first steps, where they were measured."""
    titles = {
        "commands": ("Whole commands", "MNIST, with the accuracy of all 70,000 samples each epoch"),
        "first_steps": ("Time to the first step", "from nothing to the loss of a first step"),
    }
    for part, (title, head) in titles.items():
        measured = {name: getattr(report, part) for name, report in columns.items()}
        systems = dict.fromkeys(system for each in measured.values() for system in each)
        keys = list(dict.fromkeys(key for each in measured.values() for spreads in each.values() for key in spreads))
        if not systems:
            continue
        yield from ("", f"### {title}", "")
        rows = [
            (system, *(_duration(each, system, key) for each in measured.values() for key in keys))
            for system in systems
        ]
        yield from cells.table((head, *(f"{name}: {key}" for name in measured for key in keys)), rows)


def _duration(measured: Mapping[str, Mapping[str, cells.Spread]], system: str, key: str) -> str:
    return cells.duration(measured[system][key]) if system in measured else ""


def notes(report: TrainingReport) -> Iterator[str]:
    """How far losses were off, who was left out and why, and who wasn't asleep when it should have been."""
    if report.results:
        worst = max(error for result in report.results for error in result.errors.values())
        yield f"no loss differs from the reference's by more than {worst:.0e} of it"
    for name, reason in report.left_out.items():
        yield f"left out: {name}: {reason}"
    for result in report.results:
        for name, share in result.busy.items():
            if share > BUSY:
                yield f"{result.task}: {name} used {share:.0%} of a core while the others ran"
