"""Where the real MNIST lies: in FASTBP_TEST_MNIST, or else in shared/data/mnist beside the repository."""

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("FASTBP_TEST_MNIST") or Path(__file__).parents[3] / "shared" / "data" / "mnist")
real_data = pytest.mark.skipif(
    "FASTBP_TEST_MNIST" not in os.environ and not REAL.is_dir(),
    reason=f"no MNIST here: FASTBP_TEST_MNIST is not set and {REAL} does not exist",
)
