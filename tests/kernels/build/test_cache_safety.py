"""What somebody else can have written is never unpickled; nothing is written where somebody else can change it."""

import hashlib
import os
import pickle
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from numba import config
from processes import as_user, needs_root, python

pytestmark = [
    pytest.mark.command,
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled"),
    pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and permissions of POSIX"),
]

RELU = """
import sys, warnings
import numpy as np, fastbp
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(fastbp.Relu().forward(np.array([-1.0, 2.0])).tolist())
print(*[warning.message for warning in caught], sep="\\n")
"""
RIGHT = "[0.0, 2.0]"
STRANGER = 54321  # the number of a user without an entry


class Planted:
    """Code that is run by who unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one kernel."""
    folder = tmp_path_factory.mktemp("warm") / "cache"
    assert run_with_umask(folder, 0o022) == RIGHT
    assert len(kernels(folder)) == 1
    return folder


@pytest.fixture
def clean(warm: Path, tmp_path: Path) -> Path:
    """A copy of it, in a folder of its own."""
    return shutil.copytree(warm, tmp_path / "above" / "cache")


@pytest.fixture
def cache(clean: Path, tmp_path: Path) -> Path:
    """The same with somebody's code in the kernel's place, which makes a file `tmp_path / "run"`."""
    content = pickle.dumps(Planted(tmp_path / "run"))
    for file in kernels(clean):
        file.write_bytes(hashlib.sha256(content).digest() + content)
    return clean


def kernels(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nbc"))


def run(folder: Path, **env: str) -> tuple[str, list[str]]:
    """(The results, the warnings) of a kernel in a process of its own."""
    first, *warnings = python(RELU, FASTBP_CACHE_DIR=str(folder), **env).splitlines()
    return first, [warning for warning in warnings if warning]


def state(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.lstat().st_mode, path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b"")
        for path in folder.rglob("*")
    }


def stamp_folder(cache: Path) -> Path:
    (folder,) = (cache / "kernels").iterdir()
    return folder


def every_file(cache: Path, change: Callable[[Path], None]) -> None:
    for file in cache.rglob("*.nbc"):
        change(file)


def test_planted_code_is_run_where_only_the_user_can_write(cache: Path, tmp_path: Path) -> None:
    """Or else the tests below would prove nothing."""
    with pytest.raises(AssertionError):
        run(cache)
    assert (tmp_path / "run").exists()


# Folders that others can change: how, and which of them the warning names with what to do.
FOLDERS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "stamp, group": (lambda cache: stamp_folder(cache).chmod(0o775), "stamp", "chmod go-w"),
    "stamp, all": (lambda cache: stamp_folder(cache).chmod(0o757), "stamp", "chmod go-w"),
    "stamp, all, sticky": (lambda cache: stamp_folder(cache).chmod(0o1777), "stamp", "chmod go-w"),
    "kernels, group": (lambda cache: (cache / "kernels").chmod(0o770), "kernels", "chmod go-w"),
    "kernels, all": (lambda cache: (cache / "kernels").chmod(0o777), "kernels", "chmod go-w"),
    "cache, group": (lambda cache: cache.chmod(0o775), "cache", "chmod go-w"),
    "cache, only write": (lambda cache: cache.chmod(0o722), "cache", "chmod go-w"),
    "above, all": (lambda cache: cache.parent.chmod(0o777), "above", "chmod go-w"),
    "above, group": (lambda cache: cache.parent.chmod(0o775), "above", "chmod go-w"),
}


def named(cache: Path) -> dict[str, Path]:
    return {"stamp": stamp_folder(cache), "kernels": cache / "kernels", "cache": cache, "above": cache.parent}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_others_can_write_is_refused(case: str, cache: Path, tmp_path: Path) -> None:
    change, name, fix = FOLDERS[case]
    change(cache)
    before = state(cache)
    results, warnings = run(cache)
    assert results == RIGHT
    (warning,) = warnings
    path = named(cache)[name]
    assert f"others can write {path}; `{fix} {path}`, or set FASTBP_CACHE_DIR to another folder" in warning
    assert not (tmp_path / "run").exists()
    assert state(cache) == before


@pytest.mark.parametrize("case", FOLDERS)
def test_an_unsafe_folder_is_used_after_the_advice(case: str, clean: Path) -> None:
    change, name, _ = FOLDERS[case]
    change(clean)
    path = named(clean)[name]
    path.chmod(path.stat().st_mode & ~0o1022)
    before = clean.stat().st_mtime_ns, state(clean)
    assert loaded(clean)
    assert (clean.stat().st_mtime_ns, state(clean)) == before


HITS = f"{RELU}\nfrom fastbp.kernels.relu import relu_forward; print(sum(relu_forward.stats.cache_hits.values()))"


def loaded(cache: Path) -> bool:
    return python(HITS, FASTBP_CACHE_DIR=str(cache)).split("\n") == [RIGHT, "", "1", ""]


FILES: dict[str, Callable[[Path], None]] = {
    "group": lambda file: file.chmod(0o664),
    "all": lambda file: file.chmod(0o646),
    "all may do all": lambda file: file.chmod(0o777),
    "only write": lambda file: file.chmod(0o422),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_others_can_write_is_refused_and_replaced(case: str, cache: Path, tmp_path: Path) -> None:
    every_file(cache, FILES[case])
    results, warnings = run(cache)
    assert results == RIGHT
    (warning,) = warnings
    assert any(f"others can write {file}; `chmod go-w {file}`" in warning for file in cache.rglob("*.nbc"))
    assert not (tmp_path / "run").exists()
    assert run(cache) == (RIGHT, [])
    assert {file.stat().st_mode & 0o777 for file in cache.rglob("*.nbc")} == {0o644}


def moved(file: Path) -> Path:
    elsewhere = file.with_suffix(".moved")
    file.rename(elsewhere)
    return elsewhere


NO_FILES: dict[str, Callable[[Path], None]] = {
    "symbolic link": lambda file: file.symlink_to(moved(file)),
    "dangling link": lambda file: (file.unlink(), file.symlink_to("nothing"))[0],
    "pipe": lambda file: (file.unlink(), os.mkfifo(file, 0o600))[0],
    "nothing": Path.unlink,
}


@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_is_replaced_by_one(case: str, cache: Path, tmp_path: Path) -> None:
    every_file(cache, NO_FILES[case])
    assert run(cache) == (RIGHT, [])
    assert not (tmp_path / "run").exists()
    assert all(stat.S_ISREG(file.lstat().st_mode) for file in cache.rglob("*.nbc"))


def test_a_sticky_folder_above_is_safe(clean: Path) -> None:
    """As /tmp is: others can make files beside ours there, not rename ours."""
    clean.parent.chmod(0o1777)
    assert loaded(clean)


def test_one_s_own_symbolic_link_to_a_folder_is_followed(clean: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("above/../above/cache")
    assert loaded(link)
    clean.parent.chmod(0o777)  # where the link leads is looked at
    results, (warning,) = run(link)
    assert results == RIGHT
    assert f"others can write {clean.parent}" in warning


def test_links_in_a_circle_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    results, (warning,) = run(tmp_path / "one")
    assert results == RIGHT
    assert "(Too many levels of symbolic links)" in warning


# Other users ---------------------------------------------------------------------------------------------------------

OWNED: dict[str, Callable[[Path], None]] = {
    "file": lambda cache: every_file(cache, lambda file: os.chown(file, STRANGER, -1)),
    "stamp": lambda cache: os.chown(stamp_folder(cache), STRANGER, -1),
    "kernels": lambda cache: os.chown(cache / "kernels", STRANGER, -1),
    "cache": lambda cache: os.chown(cache, STRANGER, -1),
    "above": lambda cache: os.chown(cache.parent, STRANGER, -1),
}


@needs_root
@pytest.mark.parametrize("case", OWNED)
def test_what_another_user_owns_is_refused(case: str, cache: Path, tmp_path: Path) -> None:
    OWNED[case](cache)
    results, warnings = run(cache)
    assert results == RIGHT
    (warning,) = warnings
    assert f"belongs to another user (number {STRANGER}); `chown root " in warning
    assert not (tmp_path / "run").exists()


@needs_root
def test_another_user_s_symbolic_link_is_not_followed(cache: Path, tmp_path: Path) -> None:
    """In a sticky folder: it could lead somewhere else the next time."""
    common = tmp_path / "common"
    common.mkdir()
    common.chmod(0o1777)
    link = common / "link"
    link.symlink_to(cache)
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    results, (warning,) = run(link)
    assert results == RIGHT
    assert f"{link} belongs to another user" in warning
    assert not (tmp_path / "run").exists()


@needs_root
def test_a_folder_that_somebody_made_first_in_tmp_is_refused(cache: Path, in_the_open: Path, tmp_path: Path) -> None:
    """The other way round: root has nothing to fear of root's, but a user of another user's."""
    in_the_open.chmod(0o1777)
    theirs = in_the_open / "cache"
    shutil.copytree(cache, theirs)
    for path in (theirs, *theirs.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    output, _ = as_user(STRANGER + 1, RELU, in_the_open, FASTBP_CACHE_DIR=str(theirs))
    results, warning = output.splitlines()
    assert results == RIGHT
    assert f"{theirs} belongs to another user (number {STRANGER})" in warning


@needs_root
def test_what_root_has_compiled_serves_all_users(in_the_open: Path) -> None:
    """Also when root's umask lets groups write."""
    folder = in_the_open / "cache"
    assert run_with_umask(folder, 0o002) == RIGHT
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o755}
    assert {file.stat().st_mode & 0o777 for file in folder.rglob("*.nbc")} == {0o644}
    before = state(folder)
    output, errors = as_user(STRANGER, HITS, in_the_open, FASTBP_CACHE_DIR=str(folder))
    assert (output.split("\n"), errors) == ([RIGHT, "", "1", ""], "")
    assert state(folder) == before
    # What root has not compiled, the user compiles, and can't keep.
    output, _ = as_user(STRANGER, RELU.replace("2.0]", "2.0], 'f4'"), in_the_open, FASTBP_CACHE_DIR=str(folder))
    results, warning = output.splitlines()
    assert results == RIGHT
    assert "(Permission denied)" in warning


def run_with_umask(folder: Path, umask: int, **env: str) -> str:
    code = f"import os; os.umask({umask})\n{RELU}"
    return python(code, FASTBP_CACHE_DIR=str(folder) if folder.name else "", **env).rstrip("\n")


# Permissions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077])
def test_the_user_s_own_folder_is_private(umask: int, tmp_path: Path) -> None:
    """Each level that is made; what was there stays as it is."""
    (tmp_path / "home").mkdir(mode=0o755)
    env = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": ""}
    assert run_with_umask(Path(), umask, **env) == RIGHT
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o755
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "home").rglob("*") if path.is_dir()}
    assert modes == {0o700}
    files = list((tmp_path / "home/.cache/fastbp/kernels").rglob("*.nbc"))
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600]


@pytest.mark.parametrize(("umask", "folders", "kept"), [(0, 0o755, 0o644), (2, 0o755, 0o644), (0o27, 0o750, 0o640)])
@pytest.mark.parametrize("mode", [0o700, 0o755, None])
def test_a_named_folder_keeps_its_mode(umask: int, folders: int, kept: int, mode: int | None, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    if mode:
        folder.mkdir(mode=mode)
    assert run_with_umask(folder, umask) == RIGHT
    assert folder.stat().st_mode & 0o777 == (mode or folders)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {folders}
    assert {file.stat().st_mode & 0o777 for file in folder.rglob("*.nbc")} == {kept}
