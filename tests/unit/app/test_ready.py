"""Whether a daemon is ready, as a health check asks: from what it left beside its store."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headgate.app.ready import is_ready
from headgate.app.runtimefile import Running, write_running
from headgate.testing.relay import make_certificate


class Answering(ThreadingHTTPServer):
    """Says `status` at /readyz."""

    status = 200


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/readyz" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server() -> Iterator[Answering]:
    """Something that answers on loopback."""
    with Answering(("127.0.0.1", 0), _Handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def told(folder: Path, server: Answering, scheme: str = "http", certificate: str = "", pid: int = 0) -> Path:
    """The store of a daemon that says it listens there."""
    store = folder / "headgate.db"
    url = f"{scheme}://127.0.0.1:{server.server_port}"
    write_running(store, Running(pid or os.getpid(), url, "", certificate=certificate))
    return store


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False)])
def test_the_daemon_is_asked_where_it_listens(tmp_path, server, status, ready):
    """Its answer counts."""
    server.status = status
    assert ready == is_ready(told(tmp_path, server))


def test_who_is_not_there_is_not_ready(tmp_path, server):
    """No daemon, one that has ended, one that does not answer, and one whose answer is none."""
    assert not is_ready(tmp_path / "headgate.db")
    assert not is_ready(told(tmp_path, server, pid=2**22 + 1))
    assert not is_ready(told(tmp_path, server, scheme="https"))
    store = told(tmp_path, server)
    server.shutdown()
    server.server_close()
    assert not is_ready(store)


def test_over_tls_the_daemon_is_known_by_its_certificate(tmp_path, server):
    """Whatever name it has; another certificate is another server."""
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    shown = certificate.read_text()
    assert is_ready(told(tmp_path, server, "https", shown))
    assert not is_ready(told(tmp_path, server))
    make_certificate(tmp_path)
    assert not is_ready(told(tmp_path, server, "https", certificate.read_text()))
