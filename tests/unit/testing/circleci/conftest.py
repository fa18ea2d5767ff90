"""A running twin, and a receiver of its webhooks."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headgate.testing.circleci import Options, Twin
from headgate.testing.circleci.times import parse

NOW = "2026-11-20T12:00:00Z"
SMALL = {"now_ms": parse(NOW), "seed": 7, "days": 6, "projects": 4, "runs_per_day": 15.0}


@dataclass
class Receiver:
    """What arrived, as (headers in lower case, body); `answers` are statuses to give, then 200."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@pytest.fixture(scope="session")
def twin() -> Iterator[Twin]:
    """Run a frozen twin that no test changes."""
    with Twin(Options(**SMALL)) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a server on loopback that keeps what it is sent."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(kept.answers.pop(0) if kept.answers else 200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args):
            """Stay quiet."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # with the default of 5, a burst of connections waits a second

    server = Server(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/circleci?a=b"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()
