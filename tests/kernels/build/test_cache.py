"""The disk cache of compiled kernels: never stale, never mixed up, never in the way."""

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numba import config, get_num_threads
from processes import copy_package, python, python_from, start

from fastbp.kernels.build import cache
from fastbp.kernels.build.flags import kernel
from fastbp.kernels.relu import relu_forward
from fastbp.system.compilation import COMPILING, says_it_compiles

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

# Three kernels that compile in a moment, and a hash of what they compute.
CODE = """
import hashlib
import numpy as np
import fastbp
from fastbp.kernels.relu import relu_forward
x = np.random.default_rng(0).standard_normal((33, 7))
relu, sigmoid = fastbp.Relu(), fastbp.Sigmoid()
results = relu.forward(x), relu.backward(x), sigmoid.forward(x)
assert (results[0] == np.maximum(x, 0)).all()
print(hashlib.sha256(b"".join(result.tobytes() for result in results)).hexdigest())
print("hits", sum(relu_forward.stats.cache_hits.values()))
"""
KERNELS = 3


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# What is kept --------------------------------------------------------------------------------------------------------


@kernel
def adds(x):
    """x (N,)."""
    x[0] += 1


@kernel
def asks(x):
    """x (N,)."""
    x[0] += get_num_threads()


def test_kernels_that_hold_an_address_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for the number of threads compiles in an address of this process; from a file it would be a crash."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    for function in (adds, asks):
        x = np.zeros(1)
        function(x)
        assert x[0] >= 1
    (result,) = asks.overloads.values()
    assert result.library.has_dynamic_globals
    (kept,) = files(tmp_path)
    assert "test_cache.adds-" in kept.name


def test_kernels_are_not_kept_when_sources_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that was imported before an edit must not be taken for that of the file after it."""

    @kernel
    def adds_two(x):
        """x (N,)."""
        x[0] += 2

    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "source_stamp", lambda: "0" * 16)
    adds_two(np.zeros(1))
    assert files(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_are_as_readable_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @kernel
    def adds_three(x):
        """x (N,)."""
        x[0] += 3

    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    before = os.umask(0o027)
    try:
        adds_three(np.zeros(1))
    finally:
        os.umask(before)
    (file,) = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o640


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        cache._write(tmp_path / "folder" / "kernel.nbc", b"content")
    assert files(tmp_path) == []


def test_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    cache._write(tmp_path / "kernels" / cache.STAMP / "relu.relu_forward-0.nbc", b"")
    cache._write(tmp_path / "kernels" / cache.STAMP / "relu.relu_backward-0.nbc", b"123")
    relu_forward._cache.flush()
    assert cache.cached_kernels() == (1, 3)


def test_what_nobody_uses_is_removed(tmp_path: Path) -> None:
    days = {"0" * 16: 31, "1" * 16: 29, cache.STAMP: 40, "somebody's": 99}
    for name, age in days.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernel.nbc").touch()
        then = time.time() - age * cache.DAY
        os.utime(tmp_path / name, (then, then))
    cache._mark_used.cache_clear()
    cache._mark_used(tmp_path / cache.STAMP)
    left = tmp_path / cache.STAMP / "kernel.nbc.0.tmp"
    for file, age in ((left, 2), (left.with_suffix(".1.tmp"), 0)):
        file.touch()
        os.utime(file, (time.time() - age * cache.DAY,) * 2)
    cache._remove_unused.cache_clear()
    cache._remove_unused(tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == {*days} - {"0" * 16}
    assert [file.name for file in files(tmp_path / cache.STAMP)] == ["kernel.nbc", "kernel.nbc.0.1.tmp"]


# Processes -----------------------------------------------------------------------------------------------------------


@pytest.mark.command
def test_damaged_files_are_replaced(tmp_path: Path) -> None:
    expected = python(CODE, FASTBP_CACHE_DIR=str(tmp_path)).split()
    assert expected[1:] == ["hits", "0"]
    whole = {file: file.read_bytes() for file in files(tmp_path)}
    assert len(whole) == KERNELS
    damages = (lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:9000] + b"\xff" + data[9001:])
    for (file, data), damage in zip(whole.items(), damages, strict=True):
        file.write_bytes(damage(data))
    assert python(CODE, FASTBP_CACHE_DIR=str(tmp_path)).split()[0] == expected[0]
    assert [file.stat().st_size for file in files(tmp_path)] == [len(data) for data in whole.values()]
    assert python(CODE, FASTBP_CACHE_DIR=str(tmp_path)).split() == [expected[0], "hits", "1"]


@pytest.mark.command
def test_what_is_compiled_is_announced_once(tmp_path: Path) -> None:
    code = f"""
    from fastbp.kernels.build.cache import watching
    from fastbp.system.compilation import says_it_compiles
    with watching(print), says_it_compiles(print):
        exec({CODE!r})
    """
    first, second = (python(code, FASTBP_CACHE_DIR=str(tmp_path)).splitlines() for _ in range(2))
    said = [
        "relu.relu_forward",
        COMPILING,
        "relu.relu_backward",
        "sigmoid.sigmoid_forward",
    ]
    assert first == [*said, second[0], "hits 0"]
    assert second[1:] == ["hits 1"]


@pytest.mark.command
def test_many_processes_start_on_an_empty_cache(tmp_path: Path) -> None:
    processes = [start(CODE, FASTBP_CACHE_DIR=str(tmp_path)) for _ in range(6)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in outputs] == [""] * 6
    assert len({output.split()[0] for output, _ in outputs}) == 1
    assert [file.suffix for file in files(tmp_path)] == [".nbc"] * KERNELS
    assert python(CODE, FASTBP_CACHE_DIR=str(tmp_path)).split() == [outputs[0][0].split()[0], "hits", "1"]


@pytest.mark.command
def test_one_warning_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = f"import warnings\nwith warnings.catch_warnings(record=True) as caught:\n{indented(CODE)}"
    code += "\nprint(*[f'{w.category.__name__}: {w.message}' for w in caught], sep='\\n')"
    output = python(f"import warnings; warnings.simplefilter('always')\n{code}", FASTBP_CACHE_DIR=f"{tmp_path}/file/x")
    (warning,) = output.splitlines()[2:]
    assert warning.startswith(f"RuntimeWarning: compiled kernels can't be kept in {tmp_path}/file/x/kernels (")
    assert warning.endswith("set FASTBP_CACHE_DIR to a folder that can be written")


def indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.splitlines())


@pytest.mark.command
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="for root nothing is read-only")
def test_a_cache_that_can_only_be_read(tmp_path: Path) -> None:
    expected = python(CODE, FASTBP_CACHE_DIR=str(tmp_path)).split()[0]
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert python(CODE, FASTBP_CACHE_DIR=str(tmp_path)).split() == [expected, "hits", "1"]
    finally:
        for folder in folders:
            folder.chmod(0o755)


INNER = """
from fastbp.kernels.build.flags import inlined

@inlined
def added(x):
    return x + 1
"""
OUTER = """
from fastbp.kernels.build.flags import kernel
from fastbp.kernels.inner import added

@kernel
def add(x):
    x[0] = added(x[0])
"""
CALL = """
import numpy as np
from fastbp.kernels.outer import add
x = np.zeros(1)
add(x)
print(x[0], sum(add.stats.cache_hits.values()))
"""


@pytest.mark.command
def test_a_kernel_is_compiled_anew_when_one_that_it_calls_has_changed(tmp_path: Path) -> None:
    """Numba's own cache looks at the caller's file only."""
    kernels = copy_package(tmp_path)
    (kernels / "inner.py").write_text(INNER)
    (kernels / "outer.py").write_text(OUTER)
    run = partial(python_from, tmp_path, CALL, FASTBP_CACHE_DIR=str(tmp_path / "cache"))
    assert [run().split() for _ in range(2)] == [["1.0", "0"], ["1.0", "1"]]
    (kernels / "inner.py").write_text(INNER.replace("x + 1", "x + 22"))
    assert [run().split() for _ in range(2)] == [["22.0", "0"], ["22.0", "1"]]
    (kernels / "inner.py").write_text(INNER)
    assert run().split() == ["1.0", "1"]


def test_who_is_told_may_stop_watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    said: list[str] = []
    with says_it_compiles(said.append), says_it_compiles(said.append):
        kernel(lambda x: x[0])(np.zeros(1))
    assert len(said) == 2


@pytest.mark.command
def test_first_calls_on_several_threads_leave_the_garbage_collector_as_it_was() -> None:
    code = """
    import gc, threading
    import numpy as np
    from fastbp.kernels import optimizers, relu, sigmoid
    x, mask = np.zeros(8, "f4"), np.zeros(8, bool)
    together = threading.Barrier(4)
    def first(kernel, *arguments):
        together.wait()
        kernel(*arguments)
    calls = [
        (relu.relu_forward, x, x.copy(), mask),
        (sigmoid.sigmoid_forward, x, x.copy()),
        (optimizers.sgd.kernel, x.copy(), x, 0.1),
        (optimizers.adagrad.kernel, x.copy(), x, x.copy(), 0.1),
    ]
    before = gc.get_threshold()
    threads = [threading.Thread(target=first, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(gc.get_threshold() == before)
    """
    assert python(code) == "True\n"
