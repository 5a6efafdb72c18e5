"""The timing code: statistics on known samples, the order of the rounds, the refusal to time what is wrong."""

import itertools
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastbp import bench
from fastbp.bench import Contender, Result, Spread, measure, rows, tables
from fastbp.bench.command import write_json
from fastbp.bench.process import ONE_BLAS_THREAD, Report
from fastbp.bench.rows import Row

ROW = Row("layers", "Relu", (100, 50), "float32", ("ours", "other"), {"other": 2.0})


class Machine:
    """A clock that only its contenders move on, and what they did."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def contender(self, name: str, *durations: float, work: float = 1.0) -> Contender:
        """Takes those times, call by call, again and again."""
        times = itertools.cycle(durations)

        def call() -> None:
            self.calls.append(name)
            self.now += next(times)

        return Contender(name, call, work)

    def clock(self) -> float:
        return self.now


# Statistics ----------------------------------------------------------------------------------------------------------


def test_known_times() -> None:
    machine = Machine()
    pair = [machine.contender("ours", 1.0, work=6.0), machine.contender("other", 3.0, work=9.0)]
    result = measure(ROW, pair, 0, machine.clock)
    assert result.rounds == bench.ROUNDS[0]
    assert result.first_call == 1.0
    assert result.seconds == {"ours": Spread(1, 1, 1), "other": Spread(3, 3, 3)}
    assert result.rates == {"ours": Spread(6, 6, 6), "other": Spread(3, 3, 3)}
    assert result.ratios == {"other": Spread(2, 2, 2)}


def test_percentiles() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0, 6.0]) == Spread(3.5, 2.0, 5.0)


def test_ratios_are_taken_round_by_round() -> None:
    # The machine gets slower tenfold in the middle: each contender's times spread widely, their ratio not at all.
    rounds = iter([[1.0, 2.0], [1.0, 2.0], [10.0, 20.0], [10.0, 20.0]])
    machine = Machine()
    pair = [machine.contender("ours", 1.0), machine.contender("other", 1.0)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "time_rounds", lambda *_: list(rounds))
        result = measure(ROW, pair, 0, machine.clock)
    assert result.seconds["ours"].high == 10
    assert result.ratios["other"] == Spread(2, 2, 2)


def test_seconds_are_kept() -> None:
    machine = Machine()
    calls = [machine.contender("ours", 0.25), machine.contender("other", 0.25)]
    assert len(bench.time_rounds(calls, [1, 1], 20.0, machine.clock)) == 20  # each is called twice in a round
    assert len(bench.time_rounds(calls, [1, 1], 1e9, machine.clock)) == bench.ROUNDS[1]


def test_real_sleep() -> None:
    pair = [Contender("ours", lambda: time.sleep(0.002)), Contender("other", lambda: time.sleep(0.006))]
    result = measure(ROW, pair, 0.1)
    assert 0.002 <= result.seconds["ours"].low <= result.seconds["ours"].median <= result.seconds["ours"].high
    assert 1.5 < result.ratios["other"].median < 4


# Order ---------------------------------------------------------------------------------------------------------------


def test_contenders_take_turns_and_change_order() -> None:
    machine = Machine()
    three = [machine.contender(name, 1.0) for name in "abc"]
    bench.time_rounds(three, [1, 1, 1], 0, machine.clock)
    turns = "".join(machine.calls[::2])  # each turn has one call that isn't timed before the one that is
    assert turns == "".join(machine.calls[1::2])
    assert turns == ("abccba" * bench.ROUNDS[0])[: 3 * bench.ROUNDS[0]]


@pytest.mark.parametrize("duration", [1e-7, 1e-6, 29e-6, 31e-6, 1.0])
def test_turns_are_long_enough(duration: float) -> None:
    machine = Machine()
    calls = bench.calls_in_a_turn(machine.contender("ours", duration), machine.clock)
    assert calls * duration >= bench.SHORTEST
    assert calls == 1 or calls * duration < 10 * bench.SHORTEST


# Results are checked -------------------------------------------------------------------------------------------------


def filled(out: np.ndarray, value: float) -> Contender:
    return Contender("other", lambda: out.fill(value), outputs=(out,), expected=(np.ones(3),))


def test_right_results_pass() -> None:
    bench.check(filled(np.empty(3), 1 + 1e-13), 1e-12)
    bench.check(Contender("other", lambda: (np.ones(2), 3.0), expected=(np.ones(2), np.array(3.0))), 0)
    bench.check(Contender("peak", lambda: None), 0)


@pytest.mark.parametrize("value", [1 + 1e-4, np.nan, np.inf])
def test_wrong_results_are_not_timed(value: float) -> None:
    with pytest.raises(ValueError, match=r"other is wrong by .*: not timed"):
        measure(ROW, [filled(np.empty(3), 1.0), filled(np.empty(3), value)], 0)


def test_results_that_are_not_written_are_wrong() -> None:
    right = Contender("ours", lambda: None, outputs=(np.ones(3),), expected=(np.ones(3),))
    with pytest.raises(ValueError, match="ours is wrong"):
        bench.check(right, 1.0)


def test_wrong_shapes_are_not_timed() -> None:
    with pytest.raises(ValueError, match=r"ours gives shape \(3,\), expected \(1, 3\): not timed"):
        bench.check(Contender("ours", lambda: (np.ones(3),), expected=(np.ones((1, 3)),)), 1.0)


# Tables --------------------------------------------------------------------------------------------------------------


def result(ratio: float, row: Row = ROW) -> Result:
    spreads = {"ours": Spread(2e-6, 1e-6, 3e-6), "other": Spread(4e-6, 3e-6, 5e-6)}
    return Result(row, 9, 0.1, spreads, spreads, {"other": Spread(ratio, ratio / 2, ratio * 2)})


def test_figures_met_and_missed() -> None:
    assert result(2.0).missed == {}
    assert result(1.5).missed == {"other": 0.25}
    report = Report({"machine": "fast"}, [result(2.0), result(1.5)], ["layers: Relu: torch"])
    lines = "\n".join(tables.text(report))
    assert re.search(r"2\.00 \(1\.00–4\.00\) × other +≥ 2 met\n", lines)
    assert re.search(r"1\.50 \(0\.750–3\.00\) × other +≥ 2 missed by 25\.0%\n", lines)
    assert "1 of 2 required figures met." in lines
    assert "missed by 25.0%: Relu 100×50 float32: 1.50 (0.750–3.00) × other, required 2" in lines
    assert "left out, as it can't run here: torch (1 row)" in lines


def test_report_survives_json(tmp_path: Path) -> None:
    report = Report({"processor": "schnell & schön"}, [result(2.0), result(1.5)], ["layers: Relu: torch"])
    write_json(report, tmp_path / "report.json")
    assert Report.from_dict(json.loads((tmp_path / "report.json").read_text("utf-8"))) == report


def test_rows_are_unique_and_required_against_somebody() -> None:
    every = rows.rows(full=True)
    assert len({(row.section, str(row)) for row in every}) == len(every)
    assert {row.section for row in every} == set(rows.SECTIONS) == {row.section for row in rows.rows(False)}
    for row in every:
        assert set(row.required) <= set(row.contenders[1:]), row


def test_grid_has_every_kind_of_shape() -> None:
    grid = set(rows.GRID)
    assert len(grid) == len(rows.GRID) >= 60
    assert {(1, 1, 1), (1024, 1024, 1024)} <= grid
    tall, deep, wide = ([shape for shape in grid if shape[i] >= 8 * max(shape[:i] + shape[i + 1 :])] for i in range(3))
    assert min(len(tall), len(deep), len(wide)) >= 3
    assert sum(n % 2 and d % 2 and m % 2 for n, d, m in grid) >= 10
    assert {(1, 784, 50), (512, 512, 512)} <= set(rows.LAYER_GRID)


def test_readme_is_generated() -> None:
    report = pytest.importorskip("report")
    if not report.RAW.exists():
        pytest.skip("nothing has been measured yet")
    readme = report.README.read_text("utf-8")
    assert report.with_figures(readme, report.load()) == readme, "run: python benchmarks/report.py --readme"
    assert report.markdown(report.load()) == report.RESULTS.read_text("utf-8")


# The real thing ------------------------------------------------------------------------------------------------------


@pytest.mark.command
def test_command(command: Any, tmp_path: Path) -> None:
    output = command("bench", "--seconds", "0.001", "--only", "Relu 100×50|memory: relu_f", "--json", "report.json")
    assert "Layers\n" in output
    assert "Kernels bound by memory\n" in output
    report = Report.from_dict(json.loads((tmp_path / "report.json").read_text("utf-8")))
    assert [str(done.row) for done in report.results] == [
        "Relu 100×50 float32",
        "Relu 100×50 float64",
        "relu_forward 4096×4096 float32",
    ]
    assert all(done.seconds["fastbp"].median > 0 for done in report.results)
    assert output.count(" × oracle") >= 2
    assert all(part in output for part in (report.facts["processor"], report.facts["numpy"], "load"))
    assert str(tmp_path) not in json.dumps(report.facts)


@pytest.mark.command
@pytest.mark.full
def test_every_section_runs(command: Any, tmp_path: Path) -> None:
    command("bench", "--seconds", "0", "--json", "report.json")
    report = Report.from_dict(json.loads((tmp_path / "report.json").read_text("utf-8")))
    assert len(report.results) == len(rows.rows(full=False)) - sum("two threads" in x for x in report.left_out)


@pytest.mark.command
def test_blas_has_one_thread(command: Any) -> None:
    pytest.importorskip("threadpoolctl")
    code = "import numpy, threadpoolctl; print([pool['num_threads'] for pool in threadpoolctl.threadpool_info()])"
    assert json.loads(command(python=("-c", code), **ONE_BLAS_THREAD)) == [1]


@pytest.mark.command
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "nonsense"), "no row matches 'nonsense'"),
        (("--only", "("), "'(' is no regular expression"),
        (("--json", "no/folder/report.json"), "no/folder/report.json"),
        (("--seconds", "-1"), "--seconds"),
    ],
)
def test_mistakes(command: Any, arguments: tuple[str, ...], message: str) -> None:
    assert message in command.mistake("bench", *arguments)


@pytest.mark.command
def test_nothing_to_measure_without_compilation(command: Any) -> None:
    assert "NUMBA_DISABLE_JIT is set" in command.mistake("bench", NUMBA_DISABLE_JIT="1")


@pytest.mark.command
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interrupt(command: Any, tmp_path: Path) -> None:
    with command.start("bench", "--json", "report.json") as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=10)  # it waits for the process that measures, too
    assert (process.returncode, output, error.strip()) == (130, "", "")
    assert list(tmp_path.iterdir()) == []
