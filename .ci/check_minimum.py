"""Checks that .ci/minimum.txt pins exactly the lower bounds of pyproject.toml's dependencies."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = {dependency.replace(">=", "==") for dependency in dependencies}
    pins = {line for line in (ROOT / ".ci" / "minimum.txt").read_text().splitlines() if line and line[0] != "#"}
    if bounds != pins:
        print(f"pyproject.toml and .ci/minimum.txt differ: {', '.join(sorted(bounds ^ pins))}")
        return 1
    print(" ".join(sorted(pins)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
