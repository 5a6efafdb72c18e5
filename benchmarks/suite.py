"""What the benchmarks of each operation share: the cases of `tests/support/cases.py`, timed with each system."""

import time
from collections.abc import Callable
from typing import Any

import cases
import checks
import idioms
import pytest

from fastbp import layers, reference

# Namespaces with the layers' class names, by the name that the tables show.
SYSTEMS = {"fastbp": layers, "oracle": reference, "numpy": idioms}


def cases_of(*operations: str) -> Callable[[pytest.Metafunc], None]:
    """A `pytest_generate_tests` that times every benchmark case of the operations with every system."""

    def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
        small = metafunc.config.getoption("--small")
        found = [case for operation in operations for case in cases.benchmarks(operation, small)]
        metafunc.parametrize("case", found, ids=str)
        metafunc.parametrize("system", SYSTEMS)

    return pytest_generate_tests


def time_forward(benchmark: Any, case: cases.Case, system: str) -> None:
    """Times forward; checks the results first, which also compiles."""
    layer, arrays = _prepared(benchmark, case, system)
    benchmark(case.forward, layer, arrays)


def time_backward(benchmark: Any, case: cases.Case, system: str) -> None:
    """Times backward after one forward; checks the results first, which also compiles."""
    layer, arrays = _prepared(benchmark, case, system)
    case.forward(layer, arrays)
    benchmark(case.backward, layer, arrays)


def _prepared(benchmark: Any, case: cases.Case, system: str) -> tuple[Any, cases.Arrays]:
    start = time.perf_counter()
    checks.same_results(SYSTEMS[system], case)
    benchmark.group = f"{case} {benchmark.name.split('[')[0]}"
    # The first call compiles, or loads what an earlier process compiled: not part of what is timed.
    benchmark.extra_info.update(system=system, case=str(case), first_call_seconds=time.perf_counter() - start)
    arrays = case.arrays()
    return case.layer(SYSTEMS[system], arrays), arrays
