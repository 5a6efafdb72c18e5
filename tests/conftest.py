"""Options and Hypothesis settings of the whole suite."""

import pytest
from hypothesis import settings
from options import add_options

settings.register_profile("fastbp", deadline=None, derandomize=True, database=None)
settings.load_profile("fastbp")


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {mark for option, mark in (("--small", "command"), ("--full", "full")) if _leaves_out(config, option)}
    out = [item for item in items if any(item.get_closest_marker(mark) for mark in left_out)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in set(out)]


def _leaves_out(config: pytest.Config, option: str) -> bool:
    """--small leaves the commands out; without --full the long sweeps stay out."""
    given = bool(config.getoption(option))
    return given if option == "--small" else not given
