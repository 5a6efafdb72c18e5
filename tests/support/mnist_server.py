"""A web server on 127.0.0.1 whose pages may misbehave."""

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fastbp.datasets import mnist_download


class Server(ThreadingHTTPServer):
    """Answers from `pages`: the bytes of a page, or a function that is given the request's handler."""

    daemon_threads = True

    def __init__(self, pages):
        self.pages = pages
        self.asked = []
        self.encodings = set()  # that the client would unpack itself
        self.stop = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path.lstrip("/"))
        self.server.encodings.add(self.headers["Accept-Encoding"])
        page = self.server.pages.get(self.path.lstrip("/"))
        if page is None:
            self.send_error(404)
        elif callable(page):
            page(self)
        else:
            self.begin(len(page))
            self.wfile.write(page)

    def begin(self, length, **headers):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_):
        pass


def ask(monkeypatch, *mirrors):
    monkeypatch.setattr(mnist_download, "MIRRORS", mirrors)


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cut(content, keep=100):
    def page(handler):
        handler.begin(len(content))
        handler.wfile.write(content[:keep])

    return page


def unpacked_on_the_way(content):
    def page(handler):
        handler.begin(len(content), Content_Encoding="gzip")
        handler.wfile.write(content)

    return page


def stalling(handler):
    handler.begin(1000)
    handler.wfile.write(bytes(500))
    handler.wfile.flush()
    handler.server.stop.wait(60)
