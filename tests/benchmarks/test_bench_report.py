"""The project's own report: columns of instruction sets, what is required, cold starts, RESULTS.md and the README."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import instruction_sets
import kernel_rows
import pytest
from instruction_sets import AVX2, AVX512
from mnist_real import REAL, real_data

pytest.importorskip("psutil")
import book
import cold_start
import document
import images
import required
from ratios import Ratios
from required import REQUIREMENTS, Measured, Requirement
from training_rows import TrainingReport

from fastbp.bench import process
from fastbp.bench.results import Report, Result, Row
from fastbp.bench.timing import Spread

# What is measured ----------------------------------------------------------------------------------------------------


def test_rows_are_unique() -> None:
    every = kernel_rows.rows(quick=False)
    assert len({(row.section, str(row)) for row in every}) == len(every)
    assert {row.section for row in every} == set(kernel_rows.SECTIONS)
    assert {row.section for row in kernel_rows.rows(quick=True)} == set(kernel_rows.SECTIONS)


def test_grid_has_every_kind_of_shape() -> None:
    grid = set(kernel_rows.GRID)
    assert len(grid) == len(kernel_rows.GRID)
    assert len(grid | set(kernel_rows.KEY_SHAPES)) >= 70
    assert {(1, 1, 1), (1024, 1024, 1024)} <= grid
    tall, deep, wide = ([shape for shape in grid if shape[i] >= 8 * max(shape[:i] + shape[i + 1 :])] for i in range(3))
    assert min(len(tall), len(deep), len(wide)) >= 3
    assert sum(n % 2 and d % 2 and m % 2 for n, d, m in grid) >= 10
    assert len(kernel_rows.LAYER_GRID) * len(kernel_rows.DTYPES) == 46


# Instruction sets ----------------------------------------------------------------------------------------------------

STATUS = Path("/proc/self/arch_status")
tells = pytest.mark.skipif(not STATUS.exists(), reason="no /proc/PID/arch_status")


def columns_here() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in instruction_sets.RESTRICTIONS:
            patch.delenv(name, raising=False)
        return {each.name: each.environment for each in instruction_sets.offered()}


def measured_in(environment: dict[str, str], code: str) -> Any:
    """What a process prints that knows the benchmarks' modules, or the last line of its error."""
    start = f"import sys; sys.path[:] = {sys.path!r}; import instruction_sets, numpy as np\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


MULTIPLIES = "a = np.ones((512, 512), np.float32)\nfor _ in range(20): a @ a\n"


@tells
@pytest.mark.command
def test_a_library_that_disobeys_is_found_out() -> None:
    if AVX2 not in (here := columns_here()) or AVX512 not in here:
        pytest.skip("this processor has one column")
    ask = f"{MULTIPLIES}import json; print(json.dumps(instruction_sets.used_avx512()))"
    assert measured_in({}, ask) is True
    assert measured_in(here[AVX2], ask) is False
    # Only one of the variables is missing: the products are OpenBLAS's.
    disobedient = dict(here[AVX2]) | {"OPENBLAS_CORETYPE": "SkylakeX"}
    assert measured_in(disobedient, ask) is True
    refused = measured_in(disobedient, f"{MULTIPLIES}instruction_sets.checked()")
    assert "the column of AVX2 is refused: the process that measures used AVX-512 registers" in refused


@pytest.mark.command
def test_columns_of_kernels(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTBP_CACHE_DIR", environment["FASTBP_CACHE_DIR"])
    for name, restrictions in columns_here().items():
        only = "layers: Relu 100×50|compressing"
        report = process.run("kernel_suite", 0, quick=True, only=only, environment=restrictions)
        assert report.facts["instruction set"] == name
        layers, (compressing,) = report.results[:-1], report.results[-1:]
        assert [str(result.row) for result in layers] == ["Relu 100×50 float32", "Relu 100×50 float64"]
        assert compressing.rates["fastbp"].median > 1e7
        if STATUS.exists() and name != AVX512:
            assert report.facts["AVX-512 registers"] == "not used"


def test_a_column_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in instruction_sets.RESTRICTIONS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=r"no column neon: this machine, with .*, has full"):
        instruction_sets.offered(("neon",))


# What is required ----------------------------------------------------------------------------------------------------


def product(operation: str, shape: tuple[int, ...], peak: float, dot: float, section: str = "products") -> Result:
    row = Row(section, operation, shape, "float32", ("fastbp", "peak", "np.dot"))
    one = Spread(1e-4, 1e-4, 1e-4)
    ratios = {"peak": Spread(peak, peak, peak), "np.dot": Spread(dot, dot, dot)}
    return Result(row, 11, 0.1, {"fastbp": one}, {"fastbp": Spread(2e11, 2e11, 2e11)}, ratios)


def measured() -> Measured:
    forward, large, small = "affine_forward", (512, 512, 512), (100, 784, 50)
    products = [product(forward, large, 0.86, 1.2), product(forward, small, 0.8, 1.0)]
    products.append(product(forward, (1, 1, 1), 0.1, 0.9, "grid"))
    cold = cold_start.ColdStart({"processor": "fast (fastest), 2 cores"})
    cold.add(cold_start.FIRST_COMPILED, "s", [11.0])
    for name, ratio in (("a", 1.01), ("b", 0.96)):
        cold.add(f"{cold_start.FRESH}: {name}", "", [ratio])
    return Measured(Report({"processor": "fast (fastest), 2 cores"}, products), TrainingReport(), cold)


def found(what: str) -> tuple[Requirement, Any]:
    (requirement,) = [each for each in REQUIREMENTS if each.what == what]
    return requirement, requirement.find(measured())


def test_what_is_asked_of_an_instruction_set_alone() -> None:
    requirement, value = found("forward, share of the peak: 100×784×512, 250×333×250, 300×784×400, 512×512×512")
    assert value == (0.86, "affine_forward 512×512×512 float32")
    assert requirement.is_met(0.86, AVX512)
    assert not requirement.is_met(0.86, AVX2)
    assert required.asked(requirement, (AVX512, AVX2)) == "≥ 0.85 / 0.88"
    assert required.cell(requirement, AVX512, measured()) == "0.86 (affine_forward 512×512×512 float32)"
    assert required.cell(requirement, AVX2, measured()) == "**0.86** (affine_forward 512×512×512 float32)"


def test_the_worst_is_named() -> None:
    assert found("products of every shape against np.dot, worst")[1] == (0.9, "affine_forward 1×1×1 float32")
    assert found("products of every shape against np.dot, median")[1] == (1.0, "3 rows")
    requirement, (difference, where) = found("products just compiled and loaded, difference")
    assert difference == pytest.approx(0.04)
    assert where == "b, fresh 0.960 × loaded"
    assert not requirement.is_met(difference, AVX2)
    assert requirement.is_met(0.03, AVX2)
    assert found("compressing, one thread")[1] is None


def test_section() -> None:
    lines = list(required.section({AVX512: measured(), AVX2: measured()}))
    assert f"AVX-512: 2 of 6 met, {len(REQUIREMENTS) - 6} not measured." in lines
    assert f"| {cold_start.FIRST_COMPILED} | ≤ 12 s | 11 | 11 |" in lines
    assert len(lines) == 9 + len(REQUIREMENTS)  # and the page that says why some are missed


def test_every_requirement_has_a_row_to_be_found_in() -> None:
    rows = kernel_rows.rows(quick=False)
    one = Spread(1.5, 1.5, 1.5)
    spreads = [dict.fromkeys(row.contenders, one) for row in rows]
    results = [Result(row, 11, 0.1, each, each, each) for row, each in zip(rows, spreads, strict=True)]
    all_kernels = Measured(Report({}, results), TrainingReport(), cold_start.ColdStart())
    blank = [each.what for each in REQUIREMENTS if each.find(all_kernels) is None]
    assert len(blank) == len(REQUIREMENTS) - 18  # training and cold starts


# Cold starts ---------------------------------------------------------------------------------------------------------


def test_memory_of_all_processes_together() -> None:
    code = (
        "import subprocess, sys, time\n"
        "held = bytearray(100_000_000)\n"
        "more = 'import time; held = bytearray(60_000_000); time.sleep(0.5)'\n"
        "subprocess.run([sys.executable, '-c', more])"
    )
    seconds, memory = cold_start.watched(("-c", code), {})
    assert 0.5 < seconds < 10
    assert 160 < memory < 220


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(ValueError, match="ended with status 3"):
        cold_start.watched(("-c", "raise SystemExit(3)"), {})


@pytest.mark.command
@pytest.mark.full  # a minute and a half: each kernel of the layers is compiled
def test_cold_start(tmp_path: Path, environment: dict[str, str]) -> None:
    file = tmp_path / "cold_start.json"
    script = Path(cold_start.__file__)
    done = subprocess.run(
        [sys.executable, str(script), "--isa", "full", "--runs", "1", "--parts", "warm", "--json", str(file)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (report,) = document.columns.read(file, cold_start.ColdStart).values()
    costs = {cost.name: cost.value.median for cost in report.results}
    assert list(costs) == [cold_start.WARM, cold_start.BEYOND]
    assert 0.05 < costs[cold_start.BEYOND] + 0.05 < costs[cold_start.WARM] < 30
    assert cold_start.WARM in done.stdout


@pytest.mark.command
@real_data
def test_the_books_scripts(tmp_path: Path, environment: dict[str, str]) -> None:
    """A few steps of its training, by plain Python and by `fastbp run`."""
    file, script = tmp_path / "book.json", Path(book.__file__)
    done = subprocess.run(
        [sys.executable, str(script), *"--isa full --rounds 1 --steps 3 --parts training --json".split(), str(file)],
        env=environment | {"FASTBP_DATA": str(REAL)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for report in document.columns.read(file, Ratios).values():
        assert list(report.ratios) == [book.RUN, book.RUN_FLOAT32]
        assert all(0.01 < spread.median < 100 for spread in report.ratios.values())


# Documents -----------------------------------------------------------------------------------------------------------


def test_readme_and_results_are_generated() -> None:
    here = document.measured()
    readme = document.README.read_text("utf-8")
    assert document.with_figures(readme, here) == readme, "run: python benchmarks/report.py --readme"
    assert document.results(here) == document.RESULTS.read_text("utf-8")


def test_results_have_a_group_of_columns_for_each_instruction_set() -> None:
    lines = document.results({AVX512: measured(), AVX2: measured()}).splitlines()
    assert lines[0] == "# Results on fast (fastest)"
    assert "|  | AVX-512 | AVX2 |" in lines
    row = "| `affine_forward` | 512×512×512 | float32 | 200 | 0.86 | 1.2 | 200 | 0.86 | 1.2 |"
    assert row in lines
    assert any(line.startswith(f"| {cold_start.FIRST_COMPILED} | 11.0 (11.0–11.0) s |") for line in lines)


def test_a_readme_without_markers() -> None:
    with pytest.raises(ValueError, match="no markers"):
        document.with_figures("# fastbp", document.measured())


def test_numbers() -> None:
    assert [document.cells.three(value) for value in (1234567, 12.345, 0.01)] == ["1,234,567", "12.3", "0.0100"]
    assert document.cells.duration(Spread(2e-6, 1e-6, 3e-6)) == "2.00 (1.00–3.00) µs"


def test_images_are_written_read_and_required(tmp_path: Path) -> None:
    ratios = {images.network_row("SimpleConvNet", 1): 2.5} | {
        images.convolution_row(shape): 1.0 + n / 10 for n, shape in enumerate(images.SHAPES)
    }
    report = Ratios.of({"processor": "fast"}, {name: [ratio] for name, ratio in ratios.items()})
    document.columns.write(tmp_path / "images.json", {AVX512: report})
    assert document.columns.read(tmp_path / "images.json", Ratios) == {AVX512: report}
    lines = list(required.section({AVX512: Measured(Report(), TrainingReport(), cold_start.ColdStart(), report)}))
    assert "| SimpleConvNet, 1 thread, against PyTorch | ≥ 2 | 2.5 |" in lines
    assert "| Convolution against PyTorch, ten shapes, median | ≥ 1.3 | 1.45 (10 rows) |" in lines
    first = images.convolution_row(images.SHAPES[0])
    assert f"| Convolution against PyTorch, ten shapes, worst | ≥ 0.8 | 1 ({first}) |" in lines


def test_the_books_scripts_are_required() -> None:
    found = Measured(Report(), TrainingReport(), cold_start.ColdStart())
    found.book = Ratios.of({}, {book.RUN: [2.5, 2.0, 2.25], book.CHECKED: [99]})
    lines = list(required.section({AVX512: found}))
    assert f"| {book.RUN} | ≥ 2 | 2.25 |" in lines
    assert f"| {book.RUN_FLOAT32} | ≥ 3 | not measured |" in lines
    assert f"| {book.CHECKED} | ≥ 100 | **99** |" in lines
