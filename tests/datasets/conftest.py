"""Every test of the data sets: its own cache, no mirrors, no way out but to 127.0.0.1."""

import hashlib
import os
import socket
import threading

import pytest
from mnist_forms import idx
from mnist_real import REAL
from mnist_samples import SMALL, raw
from mnist_server import Server

from fastbp.datasets import mnist_download, mnist_files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    for name in ("FASTBP_DATA", "FASTBP_MNIST_URL", *(n for n in os.environ if n.lower().endswith("_proxy"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist_download, "MIRRORS", ())
    connect = socket.socket.connect

    def connect_here(self, address):
        assert address[0] == "127.0.0.1", f"a test wanted to talk to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def small_is_mnist(monkeypatch):
    monkeypatch.setattr(mnist_files, "SHA256", [hashlib.sha256(idx(array)).hexdigest() for array in SMALL])


@pytest.fixture
def serve():
    started = []

    def start(pages):
        server = Server(pages)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def real():
    return raw(REAL)
