"""Where MNIST is kept: where kernels are, and never where others can write; it is read from there too, and checked."""

import os
import pwd
import stat
import sys

import pytest
from mnist_forms import GOOD, NAMES, packed_files, write
from mnist_samples import OTHER, SMALL, assert_loaded, left_in, raw
from mnist_server import ask

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the XDG specification's folders, and POSIX' modes")


@pytest.fixture
def server(serve, monkeypatch, small_is_mnist):
    server = serve(dict(GOOD))
    ask(monkeypatch, server.url)
    return server


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home, and no other folder is named; the current directory is beside it."""
    for name in ("FASTBP_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_the_user_s_folder_is_private(server, home):
    assert_loaded(raw(), SMALL)
    assert left_in(home / ".cache" / "fastbp" / "mnist") == sorted(GOOD)
    for folder in (home / ".cache", home / ".cache" / "fastbp", home / ".cache" / "fastbp" / "mnist"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("xdg", ["", "caches", ".", "~/caches"])
def test_a_relative_folder_of_the_system_is_ignored(xdg, server, home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert_loaded(raw(), SMALL)
    assert left_in(home / ".cache" / "fastbp" / "mnist") == sorted(GOOD)
    assert not left_in(home.parent / "here")


def test_without_a_home_it_is_downloaded_and_not_kept(server, home, monkeypatch):
    def getpwuid(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    for times in (1, 2):
        with pytest.warns(UserWarning, match=r"could not be kept \(there is no home folder\).*FASTBP_CACHE_DIR"):
            assert_loaded(raw(), SMALL)
        assert len(server.asked) == 4 * times
    assert not left_in(home.parent / "here")


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_nothing_is_written_where_others_can_write(mode, server, cache):
    cache.mkdir(parents=True)
    cache.chmod(mode)
    with pytest.warns(UserWarning, match=rf"could not be kept in {cache} \(others can write {cache}; `chmod go-w"):
        assert_loaded(raw(), SMALL)
    assert left_in(cache) == []


@pytest.mark.parametrize("mode", [0o775, 0o1777])
def test_what_lies_there_is_read_and_not_deleted(mode, server, cache):
    """A folder that a laboratory shares: MNIST is known by its hash, whoever has put it there."""
    write(cache, packed_files(SMALL))
    cache.chmod(mode)
    assert_loaded(raw(), SMALL)
    assert server.asked == []
    write(cache, packed_files(OTHER))
    with pytest.warns(UserWarning, match="others can write"):
        assert_loaded(raw(), SMALL)
    assert left_in(cache) == sorted(packed_files(OTHER))


def test_a_folder_that_cannot_be_made(server, cache):
    cache.parent.parent.mkdir(parents=True, exist_ok=True)
    cache.parent.touch()
    with pytest.warns(UserWarning, match=rf"could not be kept in {cache} \(Not a directory\)"):
        assert_loaded(raw(), SMALL)


def test_a_link_that_somebody_else_made_is_not_followed(server, cache, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a link to another user")
    mine = write(tmp_path / "mine", {"notes.txt": b"mine", f"{NAMES[0]}.gz": b"mine too"})
    cache.parent.mkdir()
    cache.symlink_to(mine)
    os.chown(cache, 54321, -1, follow_symlinks=False)
    with pytest.warns(UserWarning, match="belongs to another user"):
        assert_loaded(raw(), SMALL)
    assert left_in(mine) == sorted([f"{NAMES[0]}.gz", "notes.txt"])
    assert (mine / f"{NAMES[0]}.gz").read_bytes() == b"mine too"
