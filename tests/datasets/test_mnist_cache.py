"""Whatever interrupts a download or damages the cache, the cache holds MNIST or nothing."""

import _thread
import hashlib
import os
import subprocess
import sys
import tempfile
import threading

import pytest
from mnist_forms import GOOD, NAMES, idx, npz, packed_files, write
from mnist_samples import HTML, OTHER, SMALL, assert_loaded, left_in, raw
from mnist_server import ask, closed_port

from fastbp.datasets import load_mnist, mnist_files


def test_keyboard_interrupt(serve, monkeypatch, cache, small_is_mnist):
    def page(handler):
        handler.begin(400)
        handler.wfile.write(bytes(200))
        handler.wfile.flush()
        _thread.interrupt_main()
        handler.wfile.write(bytes(100))  # wakes the client, which then finds the signal
        handler.wfile.flush()
        handler.server.stop.wait(60)

    server = serve(GOOD | {f"{NAMES[2]}.gz": page})
    ask(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        load_mnist()
    assert len(server.asked) == 3
    assert left_in(cache) == []
    server.pages.update(GOOD)
    assert_loaded(raw(), SMALL)


CHILD = """
import sys
from fastbp import datasets
from fastbp.datasets import mnist_download, mnist_files
mnist_download.MIRRORS = (sys.argv[1],)
mnist_files.SHA256 = tuple(sys.argv[2:6])
(x, t), _ = datasets.load_mnist(normalize=False)
print(int(x.sum()), int(t.sum()))
"""


def child(url):
    hashes = [hashlib.sha256(idx(array)).hexdigest() for array in SMALL]
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD, url, *hashes],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_process(serve, monkeypatch, cache, small_is_mnist):
    reached = threading.Event()

    def page(handler):
        handler.begin(400)
        handler.wfile.write(bytes(200))
        handler.wfile.flush()
        reached.set()
        handler.server.stop.wait(60)

    server = serve(GOOD | {f"{NAMES[2]}.gz": page})
    with child(server.url) as process:
        assert reached.wait(60)
        process.kill()
    leftovers = left_in(cache)
    assert leftovers  # so there is something to be ignored
    assert not any(name in leftovers for name in GOOD)
    server.pages.update(GOOD)
    ask(monkeypatch, server.url)
    assert_loaded(raw(), SMALL)
    assert set(GOOD) < set(left_in(cache))


@pytest.mark.parametrize("bad_cache", [False, True])
def test_two_processes_at_once(bad_cache, serve, cache):
    both = threading.Barrier(2)

    def page(handler):
        both.wait(60)
        handler.begin(len(GOOD[f"{NAMES[3]}.gz"]))
        handler.wfile.write(GOOD[f"{NAMES[3]}.gz"])

    if bad_cache:
        write(cache, packed_files(OTHER))
    server = serve(GOOD | {f"{NAMES[3]}.gz": page})
    with child(server.url) as first, child(server.url) as second:
        for process in (first, second):
            out, error = process.communicate(timeout=60)
            assert (error, process.returncode) == ("", 0)
            assert out.split() == [str(int(SMALL[0].sum())), str(int(SMALL[1].sum()))]
    assert len(server.asked) == 8
    assert left_in(cache) == sorted(GOOD)


CACHE_DAMAGE = {
    "other data": lambda cache: write(cache, packed_files(OTHER)),
    "one other file": lambda cache: write(cache, {f"{NAMES[3]}.gz": packed_files(OTHER)[f"{NAMES[3]}.gz"]}),
    "cut": lambda cache: write(cache, {f"{NAMES[0]}.gz": GOOD[f"{NAMES[0]}.gz"][:-30]}),
    "empty": lambda cache: write(cache, {f"{NAMES[1]}.gz": b""}),
    "missing": lambda cache: (cache / f"{NAMES[1]}.gz").unlink(),
}


@pytest.mark.parametrize("case", CACHE_DAMAGE)
def test_damaged_cache_is_downloaded_again(case, serve, monkeypatch, cache, small_is_mnist):
    server = serve(dict(GOOD))
    ask(monkeypatch, server.url)
    assert_loaded(raw(), SMALL)
    CACHE_DAMAGE[case](cache)
    assert_loaded(raw(), SMALL)
    assert len(server.asked) == 8
    assert_loaded(raw(), SMALL)
    assert len(server.asked) == 8


def test_cache_that_vanishes_while_it_is_read(serve, monkeypatch, cache, small_is_mnist):
    read_npz = mnist_files.read_npz

    def vanished(path, keys):
        monkeypatch.setattr(mnist_files, "read_npz", read_npz)
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(mnist_files, "read_npz", vanished)
    write(cache, {"mnist.npz": npz(SMALL)})
    ask(monkeypatch, serve(GOOD).url)
    assert_loaded(raw(), SMALL)
    assert left_in(cache) == sorted([*GOOD, "mnist.npz"])  # nothing proved bad, so nothing was deleted


def test_bad_set_is_deleted_even_offline(monkeypatch, cache, small_is_mnist):
    ask(monkeypatch, f"http://127.0.0.1:{closed_port()}/")
    write(cache, packed_files(OTHER) | {"mnist.npz": HTML, "notes.txt": b"mine"})
    with pytest.raises(ConnectionError, match="refused"):
        load_mnist()
    assert left_in(cache) == ["notes.txt"]


def test_bad_set_beside_a_good_one(cache, small_is_mnist):
    write(cache, packed_files(OTHER) | {"mnist.npz": npz(SMALL)})
    assert_loaded(raw(), SMALL)
    assert left_in(cache) == ["mnist.npz"]


def test_cache_that_cannot_be_written(tmp_path, serve, monkeypatch, small_is_mnist):
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "file" / "cache"))
    server = serve(GOOD)
    ask(monkeypatch, server.url)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"could not be kept in .*file.cache.*FASTBP_CACHE_DIR") as caught:
            train, test = load_mnist(normalize=False)  # called from this file, which the warning should name
        assert_loaded((*train, *test), SMALL)
        assert [warning.filename for warning in caught] == [__file__]
    assert len(server.asked) == 8
    assert list((tmp_path / "tmp").iterdir()) == []


def test_place_in_the_cache_that_is_taken(serve, monkeypatch, cache, small_is_mnist):
    (cache / f"{NAMES[1]}.gz" / "in the way").mkdir(parents=True)
    ask(monkeypatch, serve(GOOD).url)
    with pytest.warns(UserWarning, match="could not be kept"):
        assert_loaded(raw(), SMALL)
    assert not [name for name in left_in(cache) if name.startswith(".download")]
