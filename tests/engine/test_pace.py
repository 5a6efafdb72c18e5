"""How many threads take the steps: those that take least time, measured as the steps are taken."""

import pytest
from numba import config

if config.DISABLE_JIT:
    pytest.skip("register tiles exist in compiled code only", allow_module_level=True)

from fastbp.engine import launch
from fastbp.engine.launch import Pace


def driven(pace: Pace, cost: dict[int, float], slices: int) -> list[int]:
    """The numbers of threads of so many slices of 100 steps, where a step takes as long as `cost` says."""
    taken = []
    for _ in range(slices):
        n, tries = pace.next()
        steps = 100 // launch.TRIAL if tries else 100
        pace.took(n, steps, steps * cost[n])
        taken.append(n)
    return taken


@pytest.mark.parametrize(("one", "two", "best"), [(1.0, 0.6, 2), (1.0, 0.97, 1), (1.0, 1.4, 1)])
def test_the_faster_number_is_taken(one: float, two: float, best: int) -> None:
    taken = driven(Pace(2), {1: one * 1e-4, 2: two * 1e-4}, 400)
    assert taken[:6] == [2, 1, 2, 1, 2, 1]
    assert taken.count(best) > 0.95 * len(taken)
    assert len(set(taken[10:])) == 2  # the other one is tried again


def test_a_process_that_takes_a_core_and_leaves_it() -> None:
    pace = Pace(2)
    assert driven(pace, {1: 1e-3, 2: 6e-4}, 20)[-1] == 2
    beside = driven(pace, {1: 1e-3, 2: 1.4e-3}, 60)
    assert beside.count(1) > 50
    after = driven(pace, {1: 1e-3, 2: 6e-4}, 60)
    assert after[-1] == 2
    assert after.count(2) > 40


def test_trials_cost_little_where_they_take_long() -> None:
    """Many processes on the cores: a team waits for each member in turn."""
    pace, cost = Pace(2), {1: 1e-3, 2: 1.0}
    driven(pace, cost, 6)
    taken = driven(pace, cost, 20_000)
    steps = 100 // launch.TRIAL
    lost, rest = taken.count(2) * steps * cost[2], taken.count(1) * 100 * cost[1]
    assert 0 < lost < 0.03 * rest


def test_a_slow_start_is_not_held_against_two_threads() -> None:
    pace = Pace(2)
    driven(pace, {1: 1.4e-5, 2: 1.6e-5}, 2)  # threads start, and samples come into the caches
    assert set(driven(pace, {1: 1.2e-5, 2: 9e-6}, 14)[4:]) == {2}


def test_a_bad_choice_is_mended_soon() -> None:
    """Where the core was taken while all trials were made."""
    pace = Pace(2)
    assert driven(pace, {1: 1e-4, 2: 1.4e-4}, 7)[-1] == 1
    taken = driven(pace, {1: 1e-4, 2: 0.6e-4}, 20)
    assert taken[-1] == 2
    assert taken.index(2) * 100 * 1e-4 < 0.1, "seconds"


def test_one_thread_is_not_measured() -> None:
    assert driven(Pace(1), {1: 1.0}, 3) == [1, 1, 1]


def test_a_run_that_takes_no_step_tells_nothing() -> None:
    pace = Pace(2)
    n, _ = pace.next()
    pace.took(n, 0, 1.0)
    assert pace.next()[0] == n
