"""Writing whole files: names, permissions, folders that aren't there; and whether a file could be written."""

import errno
import os
from pathlib import Path

import pytest
from nets import net

from fastbp import save_params
from fastbp.system.files import atomic_write, check_writable

posix = pytest.mark.skipif(os.name != "posix", reason="names and permissions of POSIX")


@posix
@pytest.mark.parametrize("length", [1, 40, 250, 255])
def test_any_name_that_the_system_takes(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("n" * length)
    check_writable(path)
    for content in (b"first", b"second"):
        with atomic_write(path) as stream:
            stream.write(content)
            assert all(file == path or file.name.startswith(".fastbp-") for file in tmp_path.iterdir())
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [content]


@posix
def test_a_name_too_long_for_the_system(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 256)
    with pytest.raises(OSError, match=r"can't write there \(File name too long\)") as caught:
        check_writable(path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENAMETOOLONG, str(path))
    with pytest.raises(OSError, match="File name too long") as caught, atomic_write(path) as stream:
        stream.write(b"nothing")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize(
    ("folder", "error"), [("none", FileNotFoundError), ("file", NotADirectoryError)], ids=["missing", "a file"]
)
def test_a_folder_that_is_not_there(tmp_path: Path, folder: str, error: type[OSError]) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / folder / "params.npz"
    for write in (lambda: save_params(path, net()), lambda: check_writable(path)):
        with pytest.raises(error, match="can't write there") as caught:
            write()
        assert caught.value.filename == str(path)


@posix
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """A file that may have 1000 bytes at most stands for it."""
    resource, path = pytest.importorskip("resource"), tmp_path / "params.npz"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="can't write there") as caught:
            save_params(path, net())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert list(tmp_path.iterdir()) == []


def test_the_name_in_an_error_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for path in ("none/p", "folder"):
        with pytest.raises(OSError, match="can't write there") as caught:
            save_params(path, net())
        assert caught.value.filename == path
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir("folder") == []


def test_errors_of_the_block_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="another file"), atomic_write(tmp_path / "p"):
        raise FileNotFoundError("another file")
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save_params(tmp_path / "p", net())
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "p").stat().st_mode & 0o777 == mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_overwriting_keeps_the_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"before")
    path.chmod(mode)
    save_params(path, net())
    assert path.stat().st_mode & 0o777 == mode
    assert path.stat().st_size > 100


@posix
def test_the_umask_of_the_process_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def umask(mask: int) -> int:
        raise AssertionError("files of other threads would get the wrong permissions")

    monkeypatch.setattr(os, "umask", umask)
    save_params(tmp_path / "p", net())
