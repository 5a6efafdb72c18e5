"""Options of the benchmarks: those of the tests."""

import pytest
from options import add_options


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)
