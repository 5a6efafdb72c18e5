"""A reader's project, of either edition."""

from pathlib import Path
from typing import Any

import pytest
from book_scripts import Project


@pytest.fixture(params=["ja", "ko"])
def project(request: Any, tmp_path: Path, environment: dict[str, str]) -> Project:
    return Project(tmp_path, environment, request.param)


@pytest.fixture
def japanese(tmp_path: Path, environment: dict[str, str]) -> Project:
    return Project(tmp_path, environment)
