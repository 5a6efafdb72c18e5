"""The command between a terminal, signals and pipes. Each process is a real one, and so is each signal."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from terminal import on_terminal

from fastbp.kernels.build.folder import cache_folder

pytestmark = [
    pytest.mark.command,
    pytest.mark.skipif(os.name != "posix", reason="terminals and signals of POSIX"),
]

# The real main; the line tells when it begins: Ctrl-C before that is Python's own affair.
MAIN = ("-c", "from fastbp.__main__ import main; print('started', flush=True); main()")
ENDLESS = ("train", "--epochs", "1000000")


def interrupted(started: Any, moment: float, times: int = 1) -> str:
    """What a process leaves on stderr that gets SIGINT `moment` seconds after its start and ends with 130."""
    with started as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(moment)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        _, error = process.communicate(timeout=60)
    # A second SIGINT may find Python shutting down, where it has its own way with signals; a shell shows 130 for both.
    assert process.returncode in ({130} if times == 1 else {130, -signal.SIGINT}), error
    return str(error)


# Ctrl-C --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("moment", "times"), [(0.05, 1), (0.3, 1), (0.6, 1), (1.0, 1), (2.0, 1), (0.2, 2), (1.2, 2)])
def test_interrupt(command: Any, tmp_path: Path, moment: float, times: int) -> None:
    pytest.importorskip("matplotlib")
    started = command.start(*ENDLESS, "--save", "net.npz", "--plot", "curves.png", python=MAIN)
    said = interrupted(started, moment, times).strip()
    if said:  # it was training: what there is was written, and that is said
        assert re.fullmatch(
            r"interrupted after \d+ of \d+ steps: (no file was written|net.npz .*written as of now)"
            "(; there are no learning curves before the end of an epoch)?",
            said,
        )
    assert ("curves" in said) == bool(said)
    names = [name for name in ("curves.png", "net.npz") if name in said]
    assert times > 1 or sorted(file.name for file in tmp_path.iterdir()) == names


def test_what_there_is_when_a_training_is_interrupted(command: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with command.start(*ENDLESS, "--save", "net.npz", "--plot", "curves.png") as process:
        while not process.stdout.readline().startswith("epoch   3 "):
            pass
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"interrupted after \d+ of 15000000 steps: net.npz and curves.png written as of now\n", error)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curves.png", "net.npz"]
    assert command("evaluate", "--load", "net.npz").splitlines()[-1].startswith("test accuracy 0.")


@pytest.mark.parametrize("moment", [0.7, 1.2])
def test_interrupt_while_kernels_compile(command: Any, tmp_path: Path, moment: float) -> None:
    command.environment = command.environment | {"FASTBP_CACHE_DIR": str(tmp_path / "cache")}
    assert interrupted(command.start(*ENDLESS, python=MAIN), moment).strip() == ""


@pytest.mark.parametrize("moment", [0.2, 1.5])
def test_interrupt_of_gradcheck(command: Any, moment: float) -> None:
    assert interrupted(command.start("gradcheck", "--hidden", "5000", python=MAIN), moment) == ""


WRITE = """
import sys, time
from fastbp.system.files import atomic_write
from fastbp.system.interrupts import interrupts_end
interrupts_end()
try:
    with atomic_write("net.npz") as stream:
        stream.write(b"half of it")
        print("started", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("before", [None, "what was there before"])
def test_interrupt_while_a_file_is_written(command: Any, tmp_path: Path, before: str | None) -> None:
    file = tmp_path / "net.npz"
    if before:
        file.write_text(before)
    assert interrupted(command.start(python=("-c", WRITE)), 0.1) == ""
    assert [found.read_text() for found in tmp_path.iterdir()] == ([before] if before else [])


def test_ignored_interrupts_stay_ignored(command: Any, tmp_path: Path) -> None:
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, *MAIN, "train", "--save", "net.npz"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(shell, **command.place(), **pipes) as process:
        assert process.stdout.readline() == "started\n"
        for _ in range(10):
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "")
    assert output.splitlines()[-1].startswith("test accuracy")
    assert (tmp_path / "net.npz").is_file()


# A terminal ----------------------------------------------------------------------------------------------------------


def test_bar_on_a_terminal(command: Any) -> None:
    status, shown = on_terminal(command, "train", "--epochs", 150)
    assert status == 0
    assert "compiling the kernels" in shown
    assert re.search(r"━.*loss \d\.\d{4} [\d,]+ samples/s", shown)
    assert "2250/2250" in shown
    lines = [re.sub(r".*\r|\x1b\[[?\d]*[A-Za-z]", "", line) for line in shown.split("\r\n")]
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == [str(i) for i in range(1, 151)]
    assert lines[-2].startswith("test accuracy 0.9")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is there again


def test_what_is_compiled_is_shown_and_not_counted(command: Any, tmp_path: Path) -> None:
    here, there = cache_folder("kernels"), tmp_path / "cache" / "kernels"
    first, later = "*_training_*", ("*_affine_parts_affine_forward_l*", "*_gemm_forward_*")
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("*.tmp", first, *later))  # seconds of compiling
    command.environment = command.environment | {"FASTBP_CACHE_DIR": str(there.parent)}
    status, shown = on_terminal(command, "train", "--epochs", 2)
    assert status == 0
    assert "fastbp warmup" in shown
    assert re.search(r"step .*0/30.*compiling", shown)
    found = re.search(r"30 steps · (.*) s · .* samples/s", shown)
    assert found
    assert float(found[1]) < 0.5


def test_a_spinner_while_samples_are_scored(command: Any) -> None:
    command("train", "--epochs", 1, "--save", "net.npz")
    status, shown = on_terminal(command, "evaluate", "--load", "net.npz")
    assert status == 0
    assert "scoring 360 and 1437 samples" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_no_bar_on_a_terminal_when_quiet(command: Any) -> None:
    status, shown = on_terminal(command, "train", "--epochs", 5, "--quiet")
    assert status == 0
    assert re.fullmatch(r"test accuracy [^\r\n\x1b]*\r\n", shown)


@pytest.mark.parametrize("until", ["compiling", "epoch +3 "])
def test_interrupt_on_a_terminal(command: Any, until: str) -> None:
    status, shown = on_terminal(command, *ENDLESS, until=until, act=lambda process: process.send_signal(signal.SIGINT))
    assert status == 130
    assert "Traceback" not in shown
    lines = re.sub(r"\x1b\[\?25[hl]", "", shown)  # without those that hide and show the cursor
    assert lines.endswith(("\n", "\r\x1b[1A\x1b[2K"))  # the prompt has a line of its own
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_interrupt_while_the_bar_begins(command: Any) -> None:
    """The cursor is hidden then, and the bar not there yet to show it again."""
    hidden = r"\x1b\[2K\x1b\[\?25l"
    status, shown = on_terminal(command, *ENDLESS, until=hidden, act=lambda process: process.send_signal(signal.SIGINT))
    assert status == 130
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


# Pipes ---------------------------------------------------------------------------------------------------------------


def test_reader_that_goes_away(command: Any) -> None:
    """`fastbp train | head -1`."""
    with command.start(*ENDLESS) as process:
        assert process.stdout.readline().startswith("epoch   1 ")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


@pytest.mark.parametrize("arguments", [("info",), ("train", "--epochs", "1", "--save", "net.npz")])
def test_no_stdout_at_all(command: Any, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "fastbp", *arguments]
    done = subprocess.run(shell, **command.place(), stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "net.npz").exists() == ("--save" in arguments)
