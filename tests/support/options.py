"""The options that tests and benchmarks share, as `--small` runs the same few cases in both."""

import contextlib

import pytest

OPTIONS = {
    "--small": "small cases only: for kernels that run as Python, and a quick look",
    "--full": "the long sweeps as well",
}


def add_options(parser: pytest.Parser) -> None:
    for name, text in OPTIONS.items():
        with contextlib.suppress(ValueError):  # `pytest tests benchmarks` comes here twice
            parser.addoption(name, action="store_true", help=text)
