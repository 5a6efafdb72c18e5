"""`fastbp bench` and its timing: known samples, the order of the rounds, what is wrong isn't timed, the command."""

import itertools
import json
import os
import re
import signal
import time
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fastbp.bench import results, suite, tables, timing
from fastbp.bench.process import BLAS_THREADS
from fastbp.bench.results import Report, Result, Row, as_json, measure
from fastbp.bench.timing import Contender, Spread
from fastbp.bench.training import images

ROW = Row("layers", "Relu", (100, 50), "float32", ("fastbp", "NumPy", "PyTorch"))


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
    assert result.rounds == timing.ROUNDS[0]
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
        patch.setattr(results, "time_rounds", lambda *_: list(rounds))
        result = measure(ROW, pair, 0, machine.clock)
    assert result.seconds["ours"].high == 10
    assert result.ratios["other"] == Spread(2, 2, 2)


def test_seconds_are_kept() -> None:
    machine = Machine()
    calls = [machine.contender("ours", 0.25), machine.contender("other", 0.25)]
    assert len(timing.time_rounds(calls, [1, 1], 20.0, machine.clock)) == 20  # each is called twice in a round
    assert len(timing.time_rounds(calls, [1, 1], 1e9, machine.clock)) == timing.ROUNDS[1]


def test_real_sleep() -> None:
    pair = [Contender("ours", lambda: time.sleep(0.002)), Contender("other", lambda: time.sleep(0.006))]
    result = measure(ROW, pair, 0.1)
    assert 0.002 <= result.seconds["ours"].low <= result.seconds["ours"].median <= result.seconds["ours"].high
    assert 1.1 < result.ratios["other"].median < 4  # of 3 on an idle machine, as each sleep ends later on a busy one


# Order ---------------------------------------------------------------------------------------------------------------


def test_contenders_take_turns_and_change_order() -> None:
    machine = Machine()
    three = [machine.contender(name, 1.0) for name in "abc"]
    timing.time_rounds(three, [1, 1, 1], 0, machine.clock)
    turns = "".join(machine.calls[::2])  # each turn has one call that isn't timed before the one that is
    assert turns == "".join(machine.calls[1::2])
    assert turns == ("abccba" * timing.ROUNDS[0])[: 3 * timing.ROUNDS[0]]


def test_who_follows_is_timed_right_after() -> None:
    machine = Machine()
    ours, peak, other = (machine.contender(name, 1.0) for name in "apb")
    timing.time_rounds([ours, replace(peak, follows=True), other], [1, 1, 1], 0, machine.clock)
    assert "".join(machine.calls[::2]) == ("apb" + "bap") * 5 + "apb"


@pytest.mark.parametrize("duration", [1e-7, 1e-6, 29e-6, 31e-6, 1.0])
def test_turns_are_long_enough(duration: float) -> None:
    machine = Machine()
    calls = timing.calls_in_a_turn(machine.contender("ours", duration), machine.clock)
    assert calls * duration >= timing.SHORTEST
    assert calls == 1 or calls * duration < 10 * timing.SHORTEST


# Results are checked -------------------------------------------------------------------------------------------------


def filled(out: np.ndarray, value: float) -> Contender:
    return Contender("other", lambda: out.fill(value), outputs=(out,), expected=(np.ones(3),))


def test_right_results_pass() -> None:
    timing.check(filled(np.empty(3), 1 + 1e-13), 1e-12)
    timing.check(Contender("other", lambda: (np.ones(2), 3.0), expected=(np.ones(2), np.array(3.0))), 0)
    timing.check(Contender("peak", lambda: None), 0)


@pytest.mark.parametrize("value", [1 + 1e-4, np.nan, np.inf])
def test_wrong_results_are_not_timed(value: float) -> None:
    with pytest.raises(ValueError, match=r"other is wrong by .*: not timed"):
        measure(ROW, [filled(np.empty(3), 1.0), filled(np.empty(3), value)], 0)


def test_results_that_are_not_written_are_wrong() -> None:
    right = Contender("ours", lambda: None, outputs=(np.ones(3),), expected=(np.ones(3),))
    with pytest.raises(ValueError, match="ours is wrong"):
        timing.check(right, 1.0)


def test_wrong_shapes_are_not_timed() -> None:
    with pytest.raises(ValueError, match=r"ours gives shape \(3,\), expected \(1, 3\): not timed"):
        timing.check(Contender("ours", lambda: (np.ones(3),), expected=(np.ones((1, 3)),)), 1.0)


# Tables --------------------------------------------------------------------------------------------------------------


def result(ratio: float, row: Row = ROW) -> Result:
    speeds = {"fastbp": Spread(2e-6, 1e-6, 3e-6), "NumPy": Spread(4e-6, 3e-6, 5e-6)}
    rates = {"fastbp": Spread(754321, 7e5, 8e5), "NumPy": Spread(2e5, 1e5, 3e5)}
    return Result(row, 9, 0.1, speeds, rates, {"NumPy": Spread(ratio, ratio / 2, ratio * 2)})


def report() -> Report:
    training = Row("training", "Training", (784, 50, 10), "float64", ("fastbp", "NumPy", "PyTorch"))
    facts = {"processor": "schnell & schön", "instruction set": "AVX9", "threads": "one thread each", "numpy": "9.0"}
    return Report(facts, [result(2.0), result(3.766, training)], ["layers: Relu: PyTorch"])


def test_tables() -> None:
    console = Console(width=80, file=StringIO())
    for part in tables.shown(report()):
        console.print(part)
    text = console.file.getvalue()
    assert re.search(r"Relu 50 +float32 +2\.00 µs +4\.00 µs +2\.00 ×", text)
    assert re.search(r"Training +float64 +754,000 +200,000 +3\.77 ×", text)
    assert all(
        part in text for part in ("schnell & schön, AVX9", "one thread each", "times faster", "pip install torch")
    )
    drawn = [sum(c in "█▉▊▋▌▍▎▏" for c in line) for line in text.splitlines() if "█" in line]
    assert len(drawn) == 2
    assert drawn[0] / drawn[1] == pytest.approx(2 / 3.766, abs=0.05)
    assert max(map(len, text.splitlines())) <= 100


def test_report_survives_json() -> None:
    assert Report.from_dict(json.loads(as_json(report()))) == report()
    assert as_json(report()).count("\n") < 20  # a line for each result


def test_chart(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from fastbp.bench.chart import speedups

    speedups(report().results, tables.label, "a machine", tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


# What is measured ----------------------------------------------------------------------------------------------------


def test_rows() -> None:
    every, quick = suite.rows(quick=False), suite.rows(quick=True)
    assert len(set(map(str, every))) == len(every) == 2 * len(quick)
    assert {row.section for row in quick} == set(tables.TITLES)
    assert all(row.contenders[:2] == ("fastbp", "NumPy") for row in every)


@pytest.mark.parametrize("row", suite.rows(quick=False), ids=str)
def test_contenders_compute_the_same(row: Row) -> None:
    found = suite.contenders(row)
    assert [contender.name for contender in found] == [
        name for name in row.contenders if name != "PyTorch" or find_spec("torch")
    ]
    for contender in found * 2:  # a second time from the same weights
        assert contender.expected
        timing.check(contender, results.TOLERANCE[np.dtype(row.dtype)])


def test_images_are_as_sparse_as_mnist() -> None:
    x, t = images(500, np.uint8)
    assert x.shape == (500, 784)
    assert np.count_nonzero(x) / x.size == pytest.approx(0.19, abs=0.01)
    assert x.max() == 255
    assert set(t) == set(range(10))
    np.testing.assert_array_equal(images(500, np.float32)[0], x.astype(np.float32) / np.float32(255))


# The command ---------------------------------------------------------------------------------------------------------


@pytest.mark.command
def test_command(command: Any, tmp_path: Path) -> None:
    output = command("bench", "--quick", "--only", "Relu|Sigmoid", "--json", "report.json", "--save", "speed.png")
    lines = output.splitlines()
    assert lines[0].startswith("2 rows, about 5 s. ")
    assert re.search(r"Relu 50 +float32 +[\d.]+ µs +[\d.]+ µs +[\d.]+ ×", output)
    assert "How many times as fast as NumPy" in output
    assert lines[-1] == "chart written to speed.png"
    found = Report.from_dict(json.loads((tmp_path / "report.json").read_text("utf-8")))
    assert [str(done.row) for done in found.results] == ["Relu 100×50 float32", "Sigmoid 100×50 float32"]
    assert all(0 < done.seconds[name].median < 1 for done in found.results for name in ("fastbp", "NumPy"))
    assert all(part in output for part in (found.facts["processor"], found.facts["numpy"]))
    assert str(tmp_path) not in json.dumps(found.facts)
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.command
@pytest.mark.full
def test_everything_runs(command: Any, tmp_path: Path) -> None:
    output = command("bench", "--quick", "--json", "report.json")
    found = Report.from_dict(json.loads((tmp_path / "report.json").read_text("utf-8")))
    assert len(found.results) == len(suite.rows(quick=True))
    assert re.search(r"Training, zeros skipped +float32 +[\d,]+ +[\d,]+ +[\d.]+ ×", output)


@pytest.mark.command
def test_blas_has_the_threads_asked_for(command: Any) -> None:
    pytest.importorskip("threadpoolctl")
    code = "import numpy, threadpoolctl; print([pool['num_threads'] for pool in threadpoolctl.threadpool_info()])"
    assert json.loads(command(python=("-c", code), **dict.fromkeys(BLAS_THREADS, "1"))) == [1]


@pytest.mark.command
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "nonsense"), "no row matches 'nonsense'"),
        (("--only", "("), "'(' is no regular expression"),
        (("--json", "no/folder/report.json"), "no/folder/report.json"),
        (("--save", "no/folder/speed.png"), "no/folder/speed.png"),
        (("--save", "speed.png", "--json", "speed.png"), "--json and --save both name speed.png"),
        (("--save", "speed.txt"), "can't draw speed.txt"),
        (("--threads", "0"), "--threads"),
    ],
)
def test_mistakes(command: Any, arguments: tuple[str, ...], message: str) -> None:
    assert message in command.mistake("bench", *arguments)


@pytest.mark.parametrize(
    ("only", "count"), [("Relu 50", 1), ("784 → 50", 1), ("^layers: Affine 100×784×50", 1), ("", 2)]
)
def test_rows_are_found_by_the_names_that_are_shown(only: str, count: int) -> None:
    from fastbp.bench.process import selected

    found = selected("fastbp.bench.suite", True, only)
    assert len(found) == count if only else len(found) > count


@pytest.mark.command
def test_nothing_to_measure_without_compilation(command: Any) -> None:
    assert "NUMBA_DISABLE_JIT is set" in command.mistake("bench", NUMBA_DISABLE_JIT="1")


@pytest.mark.command
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interrupt(command: Any, tmp_path: Path) -> None:
    with command.start("bench", "--json", "report.json") as started:
        assert started.stdout.readline().startswith("14 rows, about ")
        time.sleep(2)
        started.send_signal(signal.SIGINT)
        output, error = started.communicate(timeout=60)  # it waits for the process that measures, too
    assert (started.returncode, output, error.strip()) == (130, "", "")
    assert list(tmp_path.iterdir()) == []
