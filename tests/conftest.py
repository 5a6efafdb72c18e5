"""Options and Hypothesis settings of the whole suite, and what tests of the command share."""

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import prepared
import pytest
from hypothesis import settings
from options import add_options
from processes import start

import fastbp
from fastbp.kernels.build.folder import cache_folder

settings.register_profile("fastbp", deadline=None, derandomize=True, database=None)
settings.load_profile("fastbp")


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {mark for option, mark in (("--small", "command"), ("--full", "full")) if _leaves_out(config, option)}
    out = [item for item in items if any(item.get_closest_marker(mark) for mark in left_out)]
    config.hook.pytest_deselected(items=out)
    left = [item for item in items if item not in set(out)]
    # First the files with most processes, which take longest: what is left for the end is short.
    processes = Counter(item.path for item in left if item.get_closest_marker("command"))
    items[:] = sorted(left, key=lambda item: -processes[item.path])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before several processes share the whole suite, all kernels are compiled, so that no two compile the same one."""
    config = session.config
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.getoption("--small")
    if whole and config.getoption("numprocesses", None) and not os.environ.get("NUMBA_DISABLE_JIT"):
        config.get_terminal_writer().line("compiling the kernels that are not kept yet, all of them at first")
        with start("from fastbp.command.cli import run; run(['warmup'])", how=subprocess.Popen) as process:
            process.communicate()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of -n auto: more than four would wait for the one that has the slowest file."""
    return min(4, os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n alone, a process takes whole files: what the tests of a file share is compiled once.

    In the order above, not those with most tests first.
    """
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def _leaves_out(config: pytest.Config, option: str) -> bool:
    """--small leaves the commands out; without --full the long sweeps stay out."""
    given = bool(config.getoption(option))
    return given if option == "--small" else not given


@pytest.fixture(autouse=True)
def seeded() -> None:
    """NumPy's global state, from which networks and trainers draw, begins alike in whatever order tests run."""
    np.random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def default_interrupts() -> Iterator[None]:
    """In the background of a shell SIGINT is ignored, here and in every process that the tests start; not so here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Of a command: the fastbp and the compiled kernels that this process has."""
    removed = {"FASTBP_DATA", "FASTBP_MNIST_URL", "FORCE_COLOR", "NO_COLOR", "PYTHONUNBUFFERED"}
    paths = (str(Path(fastbp.__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    return {name: value for name, value in os.environ.items() if name not in removed} | {
        "FASTBP_CACHE_DIR": str(cache_folder("kernels").parent),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "80",
        "TERM": "xterm",
    }


class Command:
    """Runs `fastbp ARGUMENTS` in an empty folder, in a process of its own, a prepared one, to its end."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def __call__(
        self, *arguments: object, status: int = 0, python: tuple[str, ...] = ("-m", "fastbp"), **env: str
    ) -> str:
        """What it prints; the status must be the expected one, and nothing may stand on stderr."""
        done = self.run(*arguments, python=python, **env)
        assert (done.returncode, done.stderr) == (status, "")
        return str(done.stdout)

    def mistake(self, *arguments: object, **options: Any) -> str:
        """The one line on stderr, beside status 2, with which a user's mistake must end."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, ""), done.stderr
        assert done.stderr.startswith("fastbp: error: ")
        return str(done.stderr)

    def run(self, *arguments: object, python: tuple[str, ...] = ("-m", "fastbp"), **env: str) -> Any:
        return prepared.run([sys.executable, *python, *map(str, arguments)], **self.place(**env))

    @contextmanager
    def start(self, *arguments: object, python: tuple[str, ...] = ("-m", "fastbp"), **options: Any) -> Iterator[Any]:
        """A process of Python's own that still runs, and is killed at the end of the block should it run even then."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(
            [sys.executable, *python, *map(str, arguments)], **self.place(), **(pipes | options)
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def place(self, **env: str) -> dict[str, Any]:
        where = {"cwd": self.folder, "env": self.environment | env}
        return where | {"stdin": subprocess.DEVNULL, "encoding": "utf-8"}


@pytest.fixture
def command(tmp_path: Path, environment: dict[str, str]) -> Command:
    return Command(tmp_path, environment)


@pytest.fixture
def scipy_sparse() -> Any:
    return pytest.importorskip("scipy.sparse")


@pytest.fixture
def in_the_open() -> Iterator[Path]:
    """A folder that every user can reach, as the folders of tmp_path are for nobody else."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
