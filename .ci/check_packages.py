"""Checks what an sdist and a wheel hold: python check_packages.py SDIST WHEEL."""

import sys
import tarfile
import zipfile
from fnmatch import fnmatch

WHEEL_HAS = (
    "fastbp/__init__.py",
    "fastbp/__main__.py",
    "fastbp/layers/affine.py",
    "fastbp/kernels/__init__.py",
    "fastbp/kernels/affine.py",
    "fastbp/kernels/build/native.py",
    "fastbp/kernels/loop/gather.py",
    "fastbp/py.typed",
    "fastbp/datasets/digits/digits.npz",
    "fastbp-*.dist-info/licenses/LICENSE",
    "fastbp-*.dist-info/licenses/fastbp/datasets/digits/README.md",
)
WHEEL_HAS_ONLY = ("fastbp/*", "fastbp-*.dist-info/*")
SDIST_HAS = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "fastbp/datasets/digits/digits.npz",
    "fastbp/datasets/digits/README.md",
    "fastbp/py.typed",
    "kernels/affine.py",
    "tests/conftest.py",
    "tests/support/cases.py",
    "benchmarks/conftest.py",
    "docs/chain_rule.md",
    "docs/pictures.py",
    ".ci/run",
)
NOWHERE = ("*.pyc", "*.nbc", "*/.venv/*", "*/.ci/work/*", "*_cache/*", "*.hypothesis/*")


def problems(file: str, names: list[str], has: tuple[str, ...], only: tuple[str, ...] = ("*",)) -> list[str]:
    """What is missing from an archive, and what shouldn't be there."""
    missing = [pattern for pattern in has if not any(fnmatch(name, pattern) for name in names)]
    foreign = [name for name in names if not any(fnmatch(name, pattern) for pattern in only)]
    foreign += [name for name in names if any(fnmatch(f"/{name}", pattern) for pattern in NOWHERE)]
    return [f"{file}: {name} is missing" for name in missing] + [f"{file}: {name} is foreign" for name in foreign]


def main(sdist: str, wheel: str) -> int:
    with tarfile.open(sdist) as archive:
        inside_sdist = [member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()]
    with zipfile.ZipFile(wheel) as archive:
        inside_wheel = archive.namelist()
    found = problems(sdist, inside_sdist, SDIST_HAS) + problems(wheel, inside_wheel, WHEEL_HAS, WHEEL_HAS_ONLY)
    if not wheel.endswith("-py3-none-any.whl"):
        found.append(f"{wheel} is not pure Python: expected py3-none-any")
    print("\n".join(found) or f"{len(inside_sdist)} files in the sdist, {len(inside_wheel)} in the wheel")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
