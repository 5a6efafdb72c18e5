"""What the project requires of itself: one table of figures, and how each is found in what was measured."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import book
import cells
import cold_start
import images
import numpy as np
from cold_start import ColdStart
from instruction_sets import AVX2, AVX512
from kernel_rows import BOOK, PEAK_SHAPES, PRODUCTS
from ratios import Ratios
from training_rows import TrainingReport

from fastbp.bench.results import Report, Row, Shape

FORWARD, DW, DX = PRODUCTS
SMALL = (BOOK, (96, 784, 48))
LARGE = tuple(shape for shape in PEAK_SHAPES if shape not in SMALL)
ONE, TWO, DIGITS = "784-50-10", "784-512-512-10", "64-32-10"


@dataclass
class Measured:
    """The reports of one instruction set; what wasn't measured is empty."""

    kernels: Report
    training: TrainingReport
    cold: ColdStart
    images: Ratios = field(default_factory=Ratios)
    book: Ratios = field(default_factory=Ratios)


Found = tuple[float, str]  # a figure, and the row that it comes from where it is the worst of many
Find = Callable[[Measured], Found | None]


@dataclass(frozen=True)
class Requirement:
    """A figure asked for: of every instruction set, or of each by its name; `most` where it may not be exceeded."""

    what: str
    asked: float | Mapping[str, float]
    find: Find
    most: bool = False
    unit: str = ""

    def asked_of(self, instructions: str) -> float | None:
        return self.asked.get(instructions) if isinstance(self.asked, Mapping) else self.asked

    def is_met(self, value: float, instructions: str) -> bool:
        asked = self.asked_of(instructions)
        return asked is None or (value <= asked if self.most else value >= asked)


# Kernels -------------------------------------------------------------------------------------------------------------


def ratios(measured: Measured, other: str, *sections: str) -> list[tuple[float, Row]]:
    results = [result for result in measured.kernels.results if result.row.section in sections]
    return [(result.ratios[other].median, result.row) for result in results if other in result.ratios]


def lowest(found: list[tuple[float, Row]]) -> Found | None:
    if not found:
        return None
    ratio, row = min(found, key=lambda each: each[0])
    return ratio, str(row)


def worst(section: str, other: str, operations: Iterable[str] = (), shapes: Iterable[Shape] = ()) -> Find:
    """The lowest ratio of a section's rows, of some operations and shapes or of all."""
    operations, shapes = set(operations), set(shapes)

    def find(measured: Measured) -> Found | None:
        every = ratios(measured, other, section)
        chosen = [each for each in every if not operations or each[1].operation in operations]
        return lowest([each for each in chosen if not shapes or each[1].shape in shapes])

    return find


def share_of_peak(operations: Iterable[str], shapes: Iterable[Shape]) -> Find:
    return worst("products", "peak", operations, shapes)


def np_dot(measured: Measured) -> Found | None:
    return lowest(ratios(measured, "np.dot", "products", "grid"))


def np_dot_median(measured: Measured) -> Found | None:
    found = [ratio for ratio, _ in ratios(measured, "np.dot", "products", "grid")]
    return (float(np.median(found)), f"{len(found)} rows") if found else None


def compressing(measured: Measured) -> Found | None:
    rows = [result for result in measured.kernels.results if result.row.section == "compressing"]
    return (rows[0].rates["fastbp"].median * 1e-9, "") if rows else None


# Training and processes ----------------------------------------------------------------------------------------------


def against_fastest(network: str, threads: int, *ours: str) -> Find:
    """The samples a second of the fastest of ours over those of the fastest other system."""

    def find(measured: Measured) -> Found | None:
        for result in measured.training.results:
            here = [name for name in ours if name in result.samples]
            other = result.fastest_other()
            if (result.task.widths, result.task.threads) == (network, threads) and here and other:
                best = max(here, key=lambda name: result.samples[name].median)
                return result.samples[best].median / result.samples[other].median, f"{best} × {other}"
        return None

    return find


def share(network: str, threads: int) -> Find:
    def find(measured: Measured) -> Found | None:
        for result in measured.training.results:
            if (result.task.widths, result.task.threads) == (network, threads) and "fastbp dense" in result.shares:
                return result.shares["fastbp dense"].median, ""
        return None

    return find


def whole_command(part: str) -> Find:
    """Seconds of NumPy's layers over ours, one thread each."""

    def find(measured: Measured) -> Found | None:
        alone = {name: parts for name, parts in measured.training.commands.items() if name.endswith(" 1 thread")}
        seconds = {name.split(",")[0]: parts[part].median for name, parts in alone.items()}
        return (seconds["NumPy layers"] / seconds["fastbp train"], "") if len(seconds) == 2 else None

    return find


def second_network(measured: Measured) -> Found | None:
    steps = measured.training.first_steps.get("fastbp dense")
    return (1000 * steps["second"].median, "") if steps else None


def cost(name: str) -> Find:
    return lambda measured: next(((c.value.median, "") for c in measured.cold.results if c.name == name), None)


def of_images(row: str) -> Find:
    return lambda measured: (measured.images.ratios[row].median, "") if row in measured.images.ratios else None


def of_book(row: str) -> Find:
    return lambda measured: (measured.book.ratios[row].median, "") if row in measured.book.ratios else None


def convolutions(of: Callable[[list[float]], float]) -> Find:
    """The worst of the convolutions, or another figure of all of them."""

    def find(measured: Measured) -> Found | None:
        rows = [images.convolution_row(shape) for shape in images.SHAPES]
        found = {row: measured.images.ratios[row].median for row in rows if row in measured.images.ratios}
        if not found:
            return None
        value = of(list(found.values()))
        return value, next((row for row, ratio in found.items() if ratio == value), f"{len(found)} rows")

    return find


def largest_difference(measured: Measured) -> Found | None:
    """How far a product in a process that compiles it is from the same in one that loads it, the worst of them."""
    costs = [cost for cost in measured.cold.results if cost.name.startswith(cold_start.FRESH)]
    found = {cost.name.split(": ")[1]: cost.value.median for cost in costs}
    if not found:
        return None
    name = max(found, key=lambda name: abs(1 - found[name]))
    return abs(1 - found[name]), f"{name}, fresh {found[name]:.3f} × loaded"


# The table -----------------------------------------------------------------------------------------------------------


def both(avx512: float, avx2: float) -> Mapping[str, float]:
    return {AVX512: avx512, AVX2: avx2}


def _shapes(shapes: Iterable[Shape]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes)


SKIPPING = ("fastbp sparse", "fastbp sparse, bytes")
REQUIREMENTS = (
    Requirement(f"forward, share of the peak: {_shapes(LARGE)}", both(0.85, 0.88), share_of_peak((FORWARD,), LARGE)),
    Requirement("dW, share of the peak: the same", both(0.85, 0.88), share_of_peak((DW,), LARGE)),
    Requirement(f"forward and dW, share of the peak: {_shapes(SMALL)}", 0.85, share_of_peak((FORWARD, DW), SMALL)),
    Requirement("dx, share of the peak: all of these", 0.80, share_of_peak((DX,), PEAK_SHAPES)),
    Requirement("products of every shape against np.dot, worst", 0.95, np_dot),
    Requirement("products of every shape against np.dot, median", 1.1, np_dot_median),
    Requirement("Affine layers of every shape against NumPy, worst", 1.0, worst("layer grid", "NumPy")),
    Requirement("Affine 100×784×50 against NumPy", 1.15, worst("layers", "NumPy", ("Affine",), (BOOK,))),
    Requirement("Affine 100×50×10 against NumPy", 1.3, worst("layers", "NumPy", ("Affine",), ((100, 50, 10),))),
    Requirement("Relu 100×50 against NumPy", 4, worst("layers", "NumPy", ("Relu",), ((100, 50),))),
    Requirement("Relu 128×1000 against NumPy", 10, worst("layers", "NumPy", ("Relu",), ((128, 1000),))),
    Requirement("Sigmoid 128×1000 against NumPy", 4, worst("layers", "NumPy", ("Sigmoid",))),
    Requirement("SoftmaxWithLoss 100×10 against NumPy", 4, worst("layers", "NumPy", ("SoftmaxWithLoss",))),
    Requirement("softmax and loss, kernels 4096×1000, against NumPy", 5, worst("loss kernels", "NumPy")),
    Requirement("Relu's kernels against a copy", 0.8, worst("memory", "copy", ("relu_forward", "relu_backward"))),
    Requirement("Affine of float32 x and float64 W against all in float64", 1.0, worst("mixed", "float64 x")),
    Requirement("Affine, two threads against one", 1.7, worst("threads", "one thread")),
    Requirement("compressing, one thread", 4, compressing, unit="GB/s"),
    *(
        Requirement(f"{network} {how}, {n} thread{'s' * (n > 1)}, against the fastest peer", asked, find)
        for network, how, ours, figures in (
            (ONE, "dense", ("fastbp dense",), (both(2.1, 1.85), both(2.8, 2.2))),
            (ONE, "with the zeros skipped", SKIPPING, (both(3.0, 2.4), both(3.5, 2.8))),
            (TWO, "dense", ("fastbp dense",), (1.2, 1.3)),
        )
        for n, asked in zip((1, 2), figures, strict=True)
        for find in (against_fastest(network, n, *ours),)
    ),
    Requirement(f"{DIGITS} dense, 1 thread, against the fastest peer", 2.0, against_fastest(DIGITS, 1, "fastbp dense")),
    Requirement(f"{TWO} dense, 1 thread, share of the peak", 0.82, share(TWO, 1)),
    Requirement(f"{TWO} dense, 2 threads, share of the peak", 0.72, share(TWO, 2)),
    Requirement("fastbp train, 17 epochs of MNIST, training, against NumPy's layers", 4.0, whole_command("training")),
    Requirement("the same, whole command", 2.0, whole_command("whole command")),
    Requirement("a second network's first step", 20, second_network, most=True, unit="ms"),
    Requirement(cold_start.FIRST_COMPILED, 12, cost(cold_start.FIRST_COMPILED), most=True, unit="s"),
    Requirement(cold_start.FIRST_LAYERS, 8, cost(cold_start.FIRST_LAYERS), most=True, unit="s"),
    *(
        Requirement(f"{name}: {cold_start.MEMORY}", 300, cost(f"{name}: {cold_start.MEMORY}"), most=True, unit="MB")
        for name in (cold_start.FIRST_COMPILED, cold_start.FIRST_LAYERS)
    ),
    *(
        Requirement(images.network_row(name, threads), asked, of_images(images.network_row(name, threads)))
        for name, asked in (("SimpleConvNet", 2), ("DeepConvNet", 1.5))
        for threads in (1, 2)
    ),
    Requirement(
        images.network_row("SimpleConvNet", 1, "the oracle"),
        5,
        of_images(images.network_row("SimpleConvNet", 1, "the oracle")),
    ),
    Requirement(
        "Convolution against PyTorch, ten shapes, median", 1.3, convolutions(lambda found: float(np.median(found)))
    ),
    Requirement("Convolution against PyTorch, ten shapes, worst", 0.8, convolutions(min)),
    *(
        Requirement(row, asked, of_book(row))
        for row, asked in ((book.RUN, 2), (book.RUN_FLOAT32, 3), (book.CHECKED, 100))
    ),
    Requirement(cold_start.FIRST_IMAGES, 15, cost(cold_start.FIRST_IMAGES), most=True, unit="s"),
    Requirement(cold_start.WARMUP, 40, cost(cold_start.WARMUP), most=True, unit="s"),
    Requirement(cold_start.WARM, 0.5, cost(cold_start.WARM), most=True, unit="s"),
    Requirement(cold_start.BEYOND, 0.15, cost(cold_start.BEYOND), most=True, unit="s"),
    Requirement("products just compiled and loaded, difference", 0.03, largest_difference, most=True),
)


def section(columns: Mapping[str, Measured]) -> Iterator[str]:
    """The section "Required figures": how many are met, and each beside what was measured."""
    yield from ("## Required figures", "")
    for name, measured in columns.items():
        found = [(r, r.find(measured)) for r in REQUIREMENTS if r.asked_of(name) is not None]
        known = [(r, f[0]) for r, f in found if f]
        met = sum(r.is_met(value, name) for r, value in known)
        yield f"{name}: {met} of {len(known)} met, {len(found) - len(known)} not measured."
    yield ""
    rows = [(r.what, asked(r, columns), *(cell(r, name, m) for name, m in columns.items())) for r in REQUIREMENTS]
    yield from cells.table(("", "asked", *columns), rows)
    yield from ("", "Why those in bold are missed, and what was tried: [docs/limits.md](../docs/limits.md).")


def asked(requirement: Requirement, columns: Iterable[str]) -> str:
    sign = "≤" if requirement.most else "≥"
    figures = [requirement.asked_of(name) for name in columns]
    each = " / ".join("none" if figure is None else f"{figure:g}" for figure in dict.fromkeys(figures))
    return f"{sign} {each} {requirement.unit}".rstrip()


def cell(requirement: Requirement, instructions: str, measured: Measured) -> str:
    """What was measured and where; bold where that is not what was asked."""
    found = requirement.find(measured)
    if found is None:
        return "not measured"
    value, where = found
    text = f"{value:.3g}" if requirement.is_met(value, instructions) else f"**{value:.4g}**"  # 3.5 isn't 3.499
    return f"{text} ({where})" if where else text
