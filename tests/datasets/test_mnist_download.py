"""load_mnist without files: good mirrors, bad mirrors, no mirrors, and manners on the way."""

import gzip
import os
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from mnist_forms import GOOD, NAMES, idx, npz, packed_files, replaced
from mnist_real import REAL, real_data
from mnist_samples import HTML, OTHER, SMALL, assert_loaded, left_in, raw
from mnist_server import ask, closed_port, cut, stalling, unpacked_on_the_way

from fastbp.datasets import load_mnist, mnist_download

# Downloads -----------------------------------------------------------------------------------------------------------


def test_download_of_a_folder(serve, monkeypatch, cache, small_is_mnist, capfd):
    server = serve({f"some/where/{name}": content for name, content in packed_files(SMALL).items()})
    ask(monkeypatch, f"{server.url}/some/where/")
    assert_loaded(raw(), SMALL)
    assert_loaded(raw(), SMALL)
    assert server.asked == [f"some/where/{name}.gz" for name in NAMES]
    assert server.encodings == {"identity"}
    assert left_in(cache) == sorted(packed_files(SMALL))
    for name, content in packed_files(SMALL).items():
        assert gzip.decompress((cache / name).read_bytes()) == gzip.decompress(content)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compressed", [True, False])
def test_download_of_an_npz(compressed, serve, monkeypatch, cache, small_is_mnist):
    server = serve({"keras.npz": npz(SMALL, compressed)})
    ask(monkeypatch, f"{server.url}/keras.npz")
    assert_loaded(raw(), SMALL)
    assert_loaded(raw(), SMALL)
    assert server.asked == ["keras.npz"]
    assert left_in(cache) == ["mnist.npz"]


def test_own_url_is_asked_first(serve, monkeypatch, small_is_mnist):
    mirror, own = serve({"m.npz": npz(SMALL)}), serve(packed_files(SMALL))
    ask(monkeypatch, f"{mirror.url}/m.npz")
    monkeypatch.setenv("FASTBP_MNIST_URL", own.url)
    assert_loaded(raw(), SMALL)
    assert (len(own.asked), len(mirror.asked)) == (4, 0)


def test_mirrors_are_the_public_ones():
    # Read from the source: the fixture has emptied the tuple.
    source = Path(mnist_download.__file__).read_text(encoding="utf-8")
    urls = [line.strip().strip('",') for line in source.splitlines() if line.strip().startswith('"https://')]
    assert urls == [
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ]


BAD_MIRRORS = {
    "nothing there": ({}, "HTTP 404 Not Found"),
    "one file missing": ({name: GOOD[name] for name in list(GOOD)[:3]}, "HTTP 404 Not Found"),
    "cut body": (GOOD | {f"{NAMES[0]}.gz": cut(GOOD[f"{NAMES[0]}.gz"])}, "IncompleteRead.*100 bytes read"),
    "cut file": (GOOD | {f"{NAMES[3]}.gz": GOOD[f"{NAMES[3]}.gz"][:-9]}, rf"{NAMES[3]}\.gz: damaged gzip data"),
    "web page": ({name: HTML for name in GOOD}, rf"{NAMES[0]}\.gz: its magic number is 0x3c21444f"),
    "other data": (packed_files(OTHER), rf"{NAMES[0]}\.gz: {NAMES[0]} is not MNIST's"),
    "one pixel changed": (
        GOOD | {f"{NAMES[2]}.gz": gzip.compress(idx(SMALL[2] ^ (np.arange(220).reshape(11, 5, 4) == 7)))},
        rf"{NAMES[2]}\.gz: {NAMES[2]} is not MNIST's",
    ),
    "one label changed": (
        GOOD | {f"{NAMES[1]}.gz": gzip.compress(idx(SMALL[1] ^ (np.arange(23) == 7)))},
        rf"{NAMES[1]}\.gz: {NAMES[1]} is not MNIST's",
    ),
    "stalling": (GOOD | {f"{NAMES[0]}.gz": stalling}, "timed out"),
    "endless": (GOOD | {f"{NAMES[0]}.gz": bytes(2 << 20)}, "more than 1 MiB"),
}


@pytest.mark.parametrize("case", BAD_MIRRORS)
def test_bad_mirror_then_good_one(case, serve, monkeypatch, cache, small_is_mnist):
    if case == "stalling":  # on a busy machine the answer of another may take longer
        monkeypatch.setattr(mnist_download, "TIMEOUT", (5, 0.3))
    monkeypatch.setattr(mnist_download, "LARGEST", 1 << 20)
    start = time.monotonic()
    pages, reason = BAD_MIRRORS[case]
    bad, good = serve(pages), serve({"mnist.npz": npz(SMALL)})
    ask(monkeypatch, bad.url)
    with pytest.raises(ConnectionError, match=rf"(?s){bad.url}: [^\n]*{reason}[^\n]*\nWithout a connection"):
        load_mnist()
    assert left_in(cache) == []
    ask(monkeypatch, bad.url, f"{good.url}/mnist.npz")
    assert_loaded(raw(), SMALL)
    assert good.asked == ["mnist.npz"]
    assert time.monotonic() - start < 50  # pooch would wait 30 s each time, fastbp as long as it says
    assert left_in(cache) == ["mnist.npz"]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (npz(OTHER), rf"mnist\.npz: {NAMES[0]} is not MNIST's"),
        (replaced(1, SMALL[1].astype(object)), r"mnist\.npz: 'y_train' is an array of Python objects"),
        (HTML, r"mnist\.npz: not a readable npz archive"),
        (cut(npz(SMALL)), "IncompleteRead"),
    ],
)
def test_bad_npz_mirror(page, reason, serve, monkeypatch, cache, small_is_mnist):
    server = serve({"m.npz": page})
    ask(monkeypatch, f"{server.url}/m.npz")
    with pytest.raises(ConnectionError, match=reason):
        load_mnist()
    assert left_in(cache) == []


def test_server_that_lets_the_client_unpack(serve, monkeypatch, cache, small_is_mnist):
    server = serve({name: unpacked_on_the_way(content) for name, content in GOOD.items()})
    ask(monkeypatch, server.url)
    assert_loaded(raw(), SMALL)
    assert_loaded(raw(), SMALL)
    assert len(server.asked) == 4


def test_offline(monkeypatch, cache):
    urls = [f"http://127.0.0.1:{closed_port()}/mnist/", f"http://127.0.0.1:{closed_port()}/mnist.npz"]
    ask(monkeypatch, *urls)
    with pytest.raises(ConnectionError, match="MNIST could not be downloaded") as caught:
        load_mnist()
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0].strip() for line in lines[1:3]] == urls
    assert all("refused" in line and len(line) < 110 for line in lines[1:3])
    assert [line[-1] for line in lines[1:4]] == [";", ".", "."]  # sentences also where the command has them in one line
    assert all(word in lines[3] for word in (*NAMES, "mnist.npz", "path=", "FASTBP_DATA", "load_digits"))
    assert left_in(cache) == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/mnist/", "nonsense", "http://", "http://[/mnist.npz"])
def test_unusable_url_is_one_more_failure(url, serve, monkeypatch, small_is_mnist):
    monkeypatch.setenv("FASTBP_MNIST_URL", url)
    with pytest.raises(ConnectionError, match="MNIST could not be downloaded") as caught:
        load_mnist()
    assert f"\n  {url}: " in str(caught.value)
    ask(monkeypatch, serve(GOOD).url)
    assert_loaded(raw(), SMALL)


@real_data
def test_real_mnist_downloaded_once(serve, monkeypatch, cache, real):
    server = serve({name: (REAL / name).read_bytes() for name in packed_files(SMALL)})
    ask(monkeypatch, server.url)
    for _ in range(2):
        for got, expected in zip(raw(), real, strict=True):
            assert np.array_equal(got, expected)
    assert server.asked == [f"{name}.gz" for name in NAMES]
    assert left_in(cache) == sorted(server.asked)


# Manners -------------------------------------------------------------------------------------------------------------


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("pages", [GOOD, {n: unpacked_on_the_way(c) for n, c in GOOD.items()}])
def test_progress_on_a_terminal(pages, serve, monkeypatch, small_is_mnist):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", Terminal())
    ask(monkeypatch, serve(pages).url)
    assert_loaded(raw(), SMALL)
    shown = sys.stderr.getvalue()
    assert all(f"{name}.gz" in shown for name in NAMES)
    size = len(GOOD[f"{NAMES[0]}.gz"])
    assert f"{size}/{size} bytes" in shown


def test_no_stderr_at_all(serve, monkeypatch, small_is_mnist):
    monkeypatch.setattr(sys, "stderr", None)
    ask(monkeypatch, serve(GOOD).url)
    assert_loaded(raw(), SMALL)


def test_import_is_light():
    code = "import sys, fastbp.datasets as d; d.load_digits(); print(*{name.split('.')[0] for name in sys.modules})"
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"numba", "platformdirs", "pooch", "requests", "rich", "typer", "urllib3"}
