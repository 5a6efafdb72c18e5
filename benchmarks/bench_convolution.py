"""Times the layer of `kernels/convolution.py` against the oracle and the best plain NumPy."""

from typing import Any

import suite
from cases import Case

pytest_generate_tests = suite.cases_of("convolution")


def bench_forward(benchmark: Any, case: Case, system: str) -> None:
    suite.time_forward(benchmark, case, system)


def bench_backward(benchmark: Any, case: Case, system: str) -> None:
    suite.time_backward(benchmark, case, system)
