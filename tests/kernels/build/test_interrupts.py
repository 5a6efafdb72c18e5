"""Ctrl-C while kernels compile from Python: raised soon, and never lost; no process is left behind."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numba import config
from processes import start

from fastbp.kernels.build import cache
from fastbp.kernels.build.cache import watching
from fastbp.kernels.build.flags import inlined, kernel

pytestmark = [
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled"),
    pytest.mark.skipif(os.name != "posix", reason="signals"),
]


@inlined
def part(x):
    return x[0] + 1


def with_part(x):
    """x (N,)."""
    x[0] = part(x)


def without_part(x):
    """x (N,)."""
    x[0] = x[0] + 1


@pytest.mark.parametrize("function", [with_part, without_part])
def test_raised_between_two_parts_or_at_the_end(
    function: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    compiled, x = kernel(function), np.zeros(1, np.float32)
    with watching(lambda name: signal.raise_signal(signal.SIGINT)), pytest.raises(KeyboardInterrupt):
        compiled(x)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    compiled(x)
    assert x[0] == 1


def test_a_handler_of_the_users_own_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    came: list[int] = []
    monkeypatch.setattr(cache, "_watchers", [lambda name: signal.raise_signal(signal.SIGINT)])
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        kernel(without_part)(np.zeros(1))
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [1]


LOOP = """
import numpy as np, fastbp
from fastbp.kernels.build.cache import watching
network = fastbp.TwoLayerNet(20, 5, 3)
step = fastbp.compile(network, fastbp.SGD(), strict=True)
with watching(lambda name: print(name, flush=True)):
    step.run(np.ones((30, 20)), np.arange(30) % 3, [[0, 1]])
print("not interrupted")
"""


@pytest.mark.command
@pytest.mark.parametrize("moment", [0.0, 1.0])
def test_the_training_loop_ends_compiling(tmp_path: Path, moment: float) -> None:
    with start(LOOP, FASTBP_CACHE_DIR=str(tmp_path)) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("fastbp_gemm_"):
            pass
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        output, errors = process.communicate(timeout=60)
    assert time.monotonic() - begin < 10
    assert process.returncode == -signal.SIGINT, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "not interrupted" not in output


@pytest.mark.command
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at Linux' list of processes")
def test_the_helper_of_a_warm_up_ends_with_its_parent(tmp_path: Path) -> None:
    code = """
    import os, signal
    from fastbp.command import warmup
    helper = warmup.Helper(("float32",))
    print(helper.process.stdout.readline(), helper.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with start(code, FASTBP_CACHE_DIR=str(tmp_path)) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    status = Path("/proc", output.split()[-1], "status")
    deadline = time.monotonic() + 20
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)
