"""How many threads there are: never more than asked for, and one where no threading layer runs."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from processes import python

import fastbp
from fastbp.system import threads

BIG = 1e12  # floating-point operations: worth all threads there are

layer_runs = pytest.mark.skipif(threads.threading_layer()[0] is None, reason="no threading layer loads here")


@pytest.fixture(autouse=True)
def _unchanged() -> Any:
    yield
    assert threads.get_num_threads() == threads._State.process


# How many ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, 1.5, 2.0, True, "2", None])
def test_wrong_numbers(wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"n must be a positive integer, got {wrong!r}"):
        fastbp.set_num_threads(wrong)
    with pytest.raises(ValueError, match=f"n must be a positive integer, got {wrong!r}"), fastbp.threads(wrong):
        pass


def test_set_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads._State, "process", 1)
    fastbp.set_num_threads(np.int64(5))
    assert fastbp.get_num_threads() == 5
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fastbp.get_num_threads).result() == 5


def test_blocks_nest_and_end() -> None:
    before = fastbp.get_num_threads()
    with fastbp.threads(7):
        with fastbp.threads(3):
            assert fastbp.get_num_threads() == 3
        assert fastbp.get_num_threads() == 7
        with pytest.raises(KeyError), fastbp.threads(2):
            raise KeyError
        assert fastbp.get_num_threads() == 7
    assert fastbp.get_num_threads() == before


def test_a_block_is_for_this_python_thread() -> None:
    with fastbp.threads(before := fastbp.get_num_threads() + 1), ThreadPoolExecutor(1) as pool:
        assert pool.submit(fastbp.get_num_threads).result() == before - 1


@layer_runs
def test_work_that_is_worth_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "launched", lambda: 6)
    unit = threads.FLOPS_PER_THREAD
    with fastbp.threads(4):
        assert [threads.for_work(n * unit) for n in (0, 1, 1.99, 2, 2.9, 3, 100)] == [1, 1, 1, 2, 2, 3, 4]
    with fastbp.threads(100):
        assert threads.for_work(BIG) == 6
    with fastbp.threads(1):
        assert threads.for_work(BIG) == 1


@layer_runs
def test_numba_s_own_setting_stays() -> None:
    import numba

    ours = numba.get_num_threads()
    with threads.running(1):
        assert numba.get_num_threads() == 1
    with pytest.raises(KeyError), threads.running(1):
        raise KeyError
    assert numba.get_num_threads() == ours
    layer = fastbp.Affine(np.ones((512, 512)), np.ones(512))
    with threads.running(1), fastbp.threads(2):
        layer.backward(layer.forward(np.ones((64, 512))))
        assert numba.get_num_threads() == 1


def test_scratch_belongs_to_one_thread() -> None:
    ours = threads.scratch(10, np.dtype(np.float32))
    assert ours.size >= 10
    assert threads.scratch(5, np.dtype(np.float32)) is ours
    assert threads.scratch(5, np.dtype(np.float64)) is not ours
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads.scratch, 5, np.dtype(np.float32)).result() is not ours


@pytest.mark.command
@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5", "²"])
def test_wrong_number_in_the_environment(command: Any, value: str) -> None:
    message = command.mistake("train", FASTBP_NUM_THREADS=value)
    assert "FASTBP_NUM_THREADS must be a positive integer, got" in message


@pytest.mark.command
@pytest.mark.parametrize(("value", "expected"), [("3", "3"), (" 4 ", "4"), ("", None)])
def test_number_in_the_environment(value: str, expected: str | None) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    output = python("import fastbp; print(fastbp.get_num_threads())", FASTBP_NUM_THREADS=value)
    assert output.strip() == (expected or str(cores))


@pytest.mark.command
@pytest.mark.parametrize(
    "first", ["pass", "import fastbp.threads", "import fastbp.layers", "fastbp.set_num_threads(1)"]
)
def test_one_name_for_module_and_block(first: str) -> None:
    code = f"""
    import sys, fastbp
    {first}
    with fastbp.threads(3):
        assert fastbp.get_num_threads() == 3
    from fastbp import threads
    from fastbp.threads import for_work
    assert threads.for_work is for_work
    with threads(2), fastbp.threads.threads(3):
        assert threads.get_num_threads() == 3
    """
    python(code)


# Layers that don't run -----------------------------------------------------------------------------------------------

SERIAL = """
import numpy as np
{before}
import fastbp
from fastbp.system import threads
with fastbp.threads(2):
    assert threads.for_work(1e12) == 1
    layer = fastbp.Affine(np.ones((256, 256), np.float32), np.ones(256, np.float32))
    assert (layer.forward(np.ones((256, 256), np.float32)) == 257).all()
from fastbp.system.info import collect
print(collect()["threading layer"])
"""
MISSING = "import sys; sys.modules |= dict.fromkeys(['numba.np.ufunc.omppool', 'numba.np.ufunc.tbbpool'])"


@pytest.mark.command
@pytest.mark.parametrize(
    ("env", "before", "reason"),
    [
        ({"NUMBA_THREADING_LAYER": "workqueue"}, "", "NUMBA_THREADING_LAYER is workqueue"),
        ({"NUMBA_THREADING_LAYER_PRIORITY": "workqueue omp tbb"}, "", "workqueue is not used"),
        ({"NUMBA_THREADING_LAYER": "gpu"}, "", "NUMBA_THREADING_LAYER is gpu"),
        ({}, MISSING, "omp does not load"),
        ({"NUMBA_THREADING_LAYER": "omp"}, MISSING, "NUMBA_THREADING_LAYER is omp"),
    ],
)
def test_serial_where_no_layer_runs(env: dict[str, str], before: str, reason: str) -> None:
    """workqueue ends the process when two Python threads enter it."""
    fact = python(SERIAL.format(before=before), **env)
    assert fact.startswith("none, kernels run serially (")
    assert reason in fact


SPINS = "from fastbp.system import threads; threads.threading_layer(); import os; print('GOMP_SPINCOUNT' in os.environ)"


@pytest.mark.command
@pytest.mark.skipif(threads.threading_layer()[0] != "omp", reason="another layer runs here")
@pytest.mark.parametrize(("own", "expected"), [({}, threads.GOMP_SPINS), ({"GOMP_SPINCOUNT": "77"}, "77")])
def test_waiting_threads_soon_sleep(command: Any, own: dict[str, str], expected: str) -> None:
    """On a busy machine a thread that waits awake takes the core of the one that it waits for."""
    done = command.run(python=("-c", SPINS), OMP_DISPLAY_ENV="verbose", **own)
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("omp is not libgomp here")
    assert f"GOMP_SPINCOUNT = '{expected}'" in done.stderr
    assert done.stdout.split() == [str(bool(own))]
