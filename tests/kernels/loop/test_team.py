"""A team inside compiled code: who takes part, and that nobody passes a barrier before all are there."""

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import config, njit

if config.DISABLE_JIT:
    pytest.skip("register tiles exist in compiled code only", allow_module_level=True)

from fastbp.engine import launch as engine_launch
from fastbp.kernels.loop import plan, team
from fastbp.kernels.tiles import pointer


@njit(nogil=True)
def joins(words, leads, wanted):
    return team.join(pointer(words), leads, wanted)


@njit(nogil=True)
def passes_barriers(words, leads, wanted, rounds, counters, seen):
    """Each member counts its rounds, and looks after each barrier how far the others are."""
    meeting = pointer(words)
    number, size = team.join(meeting, leads, wanted)
    if number < 0:
        return 0
    for r in range(rounds):
        counters[number * 16] = r + 1
        team.barrier(meeting, size)
        for other in range(size):
            if counters[other * 16] != r + 1:
                seen[number] += 1
        team.barrier(meeting, size)
        if number == 0:
            team.tell_progress(meeting, r + 1)
    return size


@njit(nogil=True)
def raises(words, leads, wanted):
    meeting = pointer(words)
    team.raise_flag(meeting, team.FLAG)
    return team.flag_is_up(meeting, team.FLAG)


def words() -> np.ndarray:
    return np.zeros(team.TEAM_WORDS, np.int64)


@pytest.fixture(autouse=True)
def compiled() -> None:
    """So that no thread of a test waits for the compiler."""
    joins(words(), True, 1)
    passes_barriers(words(), True, 1, 1, np.zeros(64, np.int64), np.zeros(4, np.int64))


def test_a_leader_alone() -> None:
    assert joins(words(), True, 1) == (0, 1)
    assert joins(words(), True, 2) == (0, 1)  # the other didn't come in time


def test_who_comes_too_late_stays_out() -> None:
    memory = words()
    assert joins(memory, True, 2) == (0, 1)
    for _ in range(3):
        assert joins(memory, False, 2) == (-1, 0)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_members_have_numbers_of_their_own(size: int) -> None:
    sizes = []
    with ThreadPoolExecutor(size - 1) as pool:
        for _ in range(200):
            memory = words()
            members = [pool.submit(joins, memory, False, size) for _ in range(size - 1)]
            found = [joins(memory, True, size), *(member.result() for member in members)]
            number, came = found[0]
            assert number == 0
            inside = [number for number, _ in found if number >= 0]
            assert sorted(inside) == list(range(came))
            assert {each for number, each in found if number >= 0} == {came}
            sizes.append(came)
    assert max(sizes) > 1  # or nothing was tried


@pytest.mark.parametrize("size", [2, 3])
def test_nobody_passes_a_barrier_alone(size: int) -> None:
    came = []
    with ThreadPoolExecutor(size - 1) as pool:
        for _ in range(20):
            memory, counters, seen = words(), np.zeros(64, np.int64), np.zeros(4, np.int64)
            arguments = (size, 500, counters, seen)
            members = [pool.submit(passes_barriers, memory, False, *arguments) for _ in range(size - 1)]
            came.append(passes_barriers(memory, True, *arguments))
            for member in members:
                assert member.result() in (0, came[-1])
            assert seen.tolist() == [0] * 4
            assert memory[team.PROGRESS] == 500
            assert memory[team.ARRIVED] == 2 * 500 * came[-1] * (came[-1] > 1)
    assert max(came) > 1


def test_the_flag() -> None:
    memory = words()
    assert raises(memory, True, 1)
    assert memory[team.FLAG] == 1
    assert np.count_nonzero(memory) == 1


def test_counters_share_no_cache_line() -> None:
    counters = (team.JOINED, team.SIZE, team.ARRIVED, team.FLAG, team.PROGRESS)
    assert np.diff(counters).min() * 8 >= 64
    assert max(counters) < team.TEAM_WORDS


def test_what_a_run_was_told_is_counted_even_when_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    table = plan.Run.row()

    def loop(address: int, leads: int) -> int:
        words = ctypes.c_int64 * team.TEAM_WORDS
        words.from_address(table.team)[team.PROGRESS] = 3
        raise KeyboardInterrupt

    monkeypatch.setitem(engine_launch._loops, "float32", loop)
    with pytest.raises(KeyboardInterrupt):
        engine_launch.run(table, "float32", 1, done.append)
    assert done == [3]


def test_a_run_waits_for_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """They write into arrays that the caller may drop."""
    left = threading.Event()

    def loop(address: int, leads: int) -> int:
        if not leads:
            threading.Event().wait(0.1)
            left.set()
        return 0

    monkeypatch.setitem(engine_launch._loops, "float32", loop)
    engine_launch.run(plan.Run.row(), "float32", 2, lambda steps: None)
    assert left.is_set()
