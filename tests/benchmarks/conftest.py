"""The tests of the benchmarks import their modules by the names that these give each other."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
