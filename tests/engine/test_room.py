"""The memory of compressed samples, which a step keeps from one run to the next."""

from typing import Any

import numpy as np
import pytest
from nets import same_bits

import fastbp
from fastbp.engine.room import Room

RNG = np.random.default_rng(71)
ORDER = RNG.integers(0, 40, (3, 20))


def samples(seed: int, share: float, dtype: Any = np.float64) -> Any:
    """For a network of float32, so that they are compressed."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 9, (40, 30)) * (rng.random((40, 30)) < share)
    return x.astype(dtype), rng.integers(0, 3, 40)


def network() -> Any:
    return fastbp.TwoLayerNet(30, 8, 3, 0.1, rng=np.random.default_rng(1), dtype=np.float32)


@pytest.mark.parametrize(
    "second", [(3, 0.2), (3, 0.1), (3, 0.01), (3, 0.9), (3, 0.2, np.uint8), (3, 0.2, np.float32)], ids=str
)
def test_what_an_earlier_run_left_changes_nothing(second: Any) -> None:
    reusing, fresh = network(), network()
    step = fastbp.compile(reusing, fastbp.SGD(lr=0.1), strict=True)
    for each in ((2, 0.2), second, (4, 0.15)):
        step.run(*samples(*each), ORDER, sparse=True)
        fastbp.compile(fresh, fastbp.SGD(lr=0.1), strict=True).run(*samples(*each), ORDER, sparse=True)
    same_bits(reusing.params, fresh.params)


def test_prepared_data_stay_as_they_are() -> None:
    step = fastbp.compile(network(), fastbp.SGD(lr=0.1), strict=True)
    step.run(*samples(2, 0.2), ORDER, sparse=True)
    data: Any = step.prepare(*samples(3, 0.2), sparse=True)
    before = data.x.copy(), data.columns.copy()
    for seed in (4, 5):
        step.run(data, ORDER)
        step.run(*samples(seed, 0.2), ORDER, sparse=True)
    assert np.array_equal(data.x, before[0])
    assert np.array_equal(data.columns, before[1])


def test_memory_is_found_again_where_it_fits() -> None:
    room, float32 = Room(), np.dtype(np.float32)
    first = room.take("values", 100, float32)
    assert not np.shares_memory(first, room.take("values", 100, float32)), "taken out while it is used"
    room.give(values=first)
    second = room.take("values", 60, float32)
    assert len(second) == 60
    assert np.shares_memory(first, second)
    room.give(values=second)
    assert np.shares_memory(first, room.take("values", 100, float32)), "whole again"
    for count, dtype in ((101, float32), (49, float32), (100, np.dtype(np.int32))):
        room.give(values=first)
        other = room.take("values", count, dtype)
        assert not np.shares_memory(first, other)
        assert (len(other), other.dtype) == (count, dtype)
