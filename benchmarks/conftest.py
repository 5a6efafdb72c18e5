"""Options of the benchmarks: those of the tests. The modules beside this file can be imported by their names."""

import sys
from pathlib import Path

import pytest
from options import add_options

sys.path.append(str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)
