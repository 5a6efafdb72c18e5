"""The training benchmark: a small real run, losses that don't agree, systems left out, tables from known figures."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import columns
import numpy as np
import peers
import pytest
import training
import training_rounds
import training_tables
from mnist_real import REAL, real_data
from peers import fastbp_dense, fastbp_sparse, scikit_learn
from peers.layered import OPTIMIZERS, Network
from training_process import CHECKED, LeftOut, System
from training_rows import TASKS, Task, TrainingReport, TrainingResult, draw_order

import fastbp
from fastbp import reference
from fastbp.bench.timing import Spread

DIGITS = Task((64, 8, 10), 16, "SGD", "digits")
INSTALLED = ("fastbp_layers", "numpy_layers")  # with fastbp itself


@pytest.fixture
def folder(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the data of DIGITS; processes share the cache of kernels that the tests of the command use."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", environment["FASTBP_CACHE_DIR"])
    training_rounds.write_data(DIGITS, tmp_path)
    return tmp_path


# A real run ----------------------------------------------------------------------------------------------------------


@pytest.mark.command
def test_small_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_rounds, "ROUNDS", (3, 3))
    report = TrainingReport()
    training_rounds.measure_task(DIGITS, report, 0, INSTALLED, turn=0.005)
    (result,) = report.results
    assert (result.rounds, report.left_out) == (3, {})
    assert list(result.samples) == ["fastbp layers", "NumPy layers"]
    assert list(result.ratios) == ["NumPy layers"]
    for name, samples in result.samples.items():
        assert 0 < samples.low <= samples.median <= samples.high
        assert 0 < result.shares[name].median < 1
        assert result.errors[name] <= training_rounds.RTOL
        assert result.steps[name] >= CHECKED
    assert list(result.shares_after) == ["fastbp layers"]
    assert 0 < result.shares_after["fastbp layers"].median < 1
    assert f"fastbp {fastbp.__version__}" in report.facts["systems"]
    columns.write(folder / "training.json", {"AVX9": report})
    assert columns.read(folder / "training.json", TrainingReport) == {"AVX9": report}


@pytest.mark.command
@pytest.mark.parametrize("module", [name for name in (*peers.NAMES, peers.PROBE) if name not in INSTALLED])
def test_every_system_that_is_here(folder: Path, module: str) -> None:
    expected = np.array(losses_of(folder, "numpy_layers"))
    try:
        losses = losses_of(folder, module)
    except LeftOut as reason:
        pytest.skip(str(reason))
    if module != peers.PROBE:
        np.testing.assert_allclose(losses, expected, rtol=training_rounds.RTOL)


def losses_of(folder: Path, module: str) -> Any:
    system = System(module, DIGITS, folder, {})
    try:
        assert system.ask(steps=CHECKED, seed=3)["seconds"] > 0
        return system.ready["losses"]
    finally:
        system.close()


@pytest.mark.parametrize("module", [fastbp_dense, fastbp_sparse])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_each_turn_is_a_training_from_the_beginning(module: Any, optimizer: str) -> None:
    rng = np.random.default_rng(6)
    params = Network({"W1": rng.standard_normal((12, 5)), "b1": np.zeros(5)}, reference).params
    x, t = rng.random((40, 12)), rng.integers(0, 5, 40)
    peer = module.Peer(peers.Job((12, 5), 8, optimizer, 1, params, x, t))
    order = rng.integers(0, 40, (10, 8))
    first = peer.run(order)
    assert first[-1] != first[0]
    assert not np.array_equal(peer.run(order), first)  # it has trained
    for _ in range(2):
        peer.reset()
        np.testing.assert_array_equal(peer.run(order), first)


@pytest.mark.command
def test_process_that_fails_is_named(folder: Path) -> None:
    (folder / "t.npy").unlink()
    with ExitStack() as stack, pytest.raises(ValueError, match=r"numpy_layers: FileNotFoundError: .*t\.npy"):
        training_rounds.start(stack, "numpy_layers", DIGITS, folder)


# Who runs, and whether it computes the same --------------------------------------------------------------------------


def test_missing_package_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert scikit_learn.Peer.missing("SGD") == "sklearn not installed"


def test_missing_engine_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastbp_dense, "fastbp", SimpleNamespace(SGD=fastbp.SGD))
    assert fastbp_dense.Peer.missing("SGD") == "fastbp.compile is missing"
    monkeypatch.setattr(fastbp_dense, "fastbp", SimpleNamespace(SGD=fastbp.SGD, compile=None))
    assert fastbp_dense.Peer.missing("SGD") == ""
    assert fastbp_dense.Peer.missing("Adam") == "fastbp.Adam is missing"


def test_left_out_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LeftOut("sklearn not installed")

    monkeypatch.setattr(training_rounds, "start", refuse)
    report = TrainingReport()
    training_rounds.measure_task(DIGITS, report, 0, ("scikit_learn",))
    assert report.left_out == {"scikit-learn, SGD, digits": "sklearn not installed"}
    notes = list(training_tables.section({"AVX9": report}))
    assert "- AVX9: left out: scikit-learn, SGD, digits: sklearn not installed" in notes


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([1.0, 2.004], r"other's losses differ by 0\.002 from the reference's: not timed"),
        ([1.0, np.nan], "differ by nan"),
        ([1.0], r"returns \(1,\) losses, expected \(2,\)"),
    ],
)
def test_other_losses_are_not_timed(losses: list[float], message: str) -> None:
    system: Any = SimpleNamespace(name="other", ready={"losses": losses})
    with pytest.raises(ValueError, match=message):
        training_rounds.compare(system, np.array([1.0, 2.0]))
    system.ready["losses"] = [1.0, 2.001]
    assert training_rounds.compare(system, np.array([1.0, 2.0])) == 0.0005


def test_network_is_the_books() -> None:
    params = peers.initial_params((64, 8, 10))
    ours = Network(params, reference)
    books = fastbp.TwoLayerNet(64, 8, 10, dtype=np.float32, layers=reference)
    for name, parameter in params.items():
        books.params[name][...] = parameter
    rng = np.random.default_rng(5)
    x, t = rng.random((7, 64)).astype(np.float32), rng.integers(0, 10, 7)
    loss, gradient = ours.loss_and_gradient(x, t)
    assert loss == books.loss(x, t)
    for name, expected in books.gradient(x, t).items():
        np.testing.assert_array_equal(gradient[name], expected)


def test_adam_is_the_books() -> None:
    # The first step moves each parameter by almost the rate, against its gradient.
    params, optimizer = {"W1": np.zeros(2, np.float32)}, OPTIMIZERS["Adam"]()
    optimizer.update(params, {"W1": np.array([3.0, -0.5], np.float32)})
    np.testing.assert_allclose(params["W1"], [-0.001, 0.001], rtol=1e-4)
    assert params["W1"].dtype == np.float32


def test_order_takes_each_sample_once_an_epoch() -> None:
    order = draw_order(10, 5, 4, seed=1)
    assert order.shape == (4, 5)
    for epoch in (order[:2], order[2:]):
        assert sorted(epoch.reshape(-1)) == list(range(10))
    assert not np.array_equal(order[:2], order[2:])
    assert not np.array_equal(order, draw_order(10, 5, 4, seed=2))


# Figures -------------------------------------------------------------------------------------------------------------


def test_flops_of_a_step() -> None:
    # Forward, dW, and dx of the second layer alone.
    assert Task((784, 50, 10), 100, "SGD", "MNIST").flops == 2 * 100 * (2 * 784 * 50 + 3 * 50 * 10)


def result(threads: int = 1) -> TrainingResult:
    turns = {"fastbp dense": [1e-3, 2e-3, 3e-3], "other": [4e-3, 8e-3, 12e-3]}
    steps, errors, busy = dict.fromkeys(turns, 50), dict.fromkeys(turns, 2e-6), {"fastbp dense": 0.0, "other": 0.5}
    task = Task((64, 32, 10), 32, "Adam", "digits", threads)
    after = {"fastbp dense": [0.8e10] * 3}
    return TrainingResult.of(task, turns, [1e10, 1e10, 1e10], after, steps=steps, errors=errors, busy=busy)


def test_statistics_are_taken_round_by_round() -> None:
    known = result()
    assert known.rounds == 3
    assert known.seconds["fastbp dense"] == Spread(2e-3, 1.4e-3, 2.6e-3)
    assert known.samples["fastbp dense"].median == 16000
    assert known.shares["other"].median == pytest.approx(known.task.flops / 8e-3 / 1e10, rel=1e-3)
    assert known.shares_after["fastbp dense"].median == pytest.approx(known.shares["fastbp dense"].median / 0.8, 1e-3)
    assert known.ratios == {"other": Spread(4, 4, 4)}


def report() -> TrainingReport:
    whole = {"whole command": Spread(3.5, 3, 4), "training": Spread(2.5, 2, 3)}
    first = {"first": Spread(1.5, 1, 2), "second": Spread(0.002, 0.001, 0.003)}
    return TrainingReport(
        {"processor": "fast"}, [result(1), result(2)], {"JAX, SGD": "jax not installed"}, {"run": whole}, {"x": first}
    )


def test_tables() -> None:
    both = {"AVX9": report(), "AVX2": report()}
    lines = list(training_tables.section(both))
    assert lines[0] == "## Training"
    assert "### 64-32-10, batch 32, Adam, digits, 2 threads" in lines
    ours = "16,000 (12,800–25,600) | 1.6% (2.0%) | "
    assert lines.count(f"| fastbp dense | {ours} | {ours} |") == 2, lines
    assert any(line.startswith("| other | ") and line.count("4.00 (4.00–4.00)") == 2 for line in lines)
    assert "| run | 3.50 (3.00–4.00) s | 2.50 (2.00–3.00) s | 3.50 (3.00–4.00) s | 2.50 (2.00–3.00) s |" in lines
    assert "| x | 1.50 (1.00–2.00) s | 2.00 (1.00–3.00) ms | 1.50 (1.00–2.00) s | 2.00 (1.00–3.00) ms |" in lines
    assert "- AVX2: left out: JAX, SGD: jax not installed" in lines
    assert "- AVX9: 64-32-10, batch 32, Adam, digits, 1 thread: other used 50% of a core while the others ran" in lines
    assert "- AVX9: no loss differs from the reference's by more than 2e-06 of it" in lines


def test_a_column_that_has_not_this_task_stays_blank() -> None:
    lines = list(training_tables.section({"AVX9": report(), "AVX2": TrainingReport(results=[result(2)])}))
    rows = [line for line in lines if line.startswith("| fastbp dense |")]
    assert sorted(line.count("|") for line in rows) == [5, 8]  # three columns, and three for each of two


def test_columns_are_kept_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "training.json"
    columns.write(file, {"AVX9": report()})
    other = TrainingReport({"processor": "fast (haswell), 2 cores"})
    columns.write(file, {"AVX2": other})  # of the same processor
    assert columns.read(file, TrainingReport) == {"AVX9": report(), "AVX2": other}
    assert len(file.read_text("utf-8").splitlines()) < 60  # a line for each result
    another = TrainingReport({"processor": "faster"})
    columns.write(file, {"AVX2": another})
    assert columns.read(file, TrainingReport) == {"AVX2": another}


def test_chart(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from training_chart import chart

    chart(report(), tmp_path / "training.png")
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


# The command ---------------------------------------------------------------------------------------------------------


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    options = training.parse(["--threads", "1", "--only", "^784", "--peers", "jax_scan,numpy_layers"])
    assert (options.threads, options.peers) == ((1,), ("jax_scan", "numpy_layers"))
    assert training.tasks((1,), "^784") == list(TASKS[:2])
    for mistake in (["--peers", "nobody"], ["--only", "nothing"], ["--threads", "0"], ["--parts", "all"]):
        with pytest.raises(SystemExit):
            training.parse(mistake)
    assert "unknown: nobody" in capsys.readouterr().err


@pytest.mark.command
def test_first_steps(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import training_whole

    monkeypatch.setenv("FASTBP_CACHE_DIR", environment["FASTBP_CACHE_DIR"])
    measured = TrainingReport()
    training_whole.measure_first_steps(measured, names=INSTALLED, runs=1)
    assert list(measured.first_steps) == ["fastbp layers", "NumPy layers"]
    assert all(spread.median > 0 for spreads in measured.first_steps.values() for spread in spreads.values())


@pytest.mark.command
@pytest.mark.full
@real_data
def test_whole_commands(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import training_whole

    monkeypatch.setenv("FASTBP_CACHE_DIR", environment["FASTBP_CACHE_DIR"])
    monkeypatch.setenv("FASTBP_DATA", str(REAL))
    measured = TrainingReport()
    training_whole.measure_commands(measured, 1, runs=1, epochs=1)
    assert list(measured.commands) == ["fastbp train, 1 epochs, 1 thread", "NumPy layers, 1 epochs, 1 thread"]
    for parts in measured.commands.values():
        assert 0 < parts["training"].median < parts["whole command"].median
