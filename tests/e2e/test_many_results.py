"""A job of a hundred thousand results is paged, stored and released within a stated bound of memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.e2e.harness import CHILD_ENV

PAGE = 1000
PAGES = 100
BOUND_KB = 80_000  # beyond what the process had when it began to ask: docs/sources/circleci.md


class _Results(BaseHTTPRequestHandler):
    """Answers any path with a page of results."""

    def do_GET(self) -> None:
        """One page."""
        token = parse_qs(urlsplit(self.path).query).get("page-token", ["0"])[0]
        page = int(token)
        items = [
            {
                "name": f"test_case[{page}-{number}]",
                "classname": f"tests.test_{number % 50}",
                "file": f"tests/test_{number % 50}.py",
                "source": "pytest",
                "result": "failure" if number % 100 == 0 else "success",
                "run_time": "0.25",
                "message": "AssertionError: expected 200, got 500\n" * 20 if number % 100 == 0 else "",
            }
            for number in range(PAGE)
        ]
        body = json.dumps({"items": items, "next_page_token": str(page + 1) if page + 1 < PAGES else None}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class has
        """Nothing to say."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server of many results."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Results)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_hundred_thousand_results_need_little_memory(url, tmp_path):
    """All are kept, and the peak grows by less than the bound."""
    script = Path(__file__).with_name("many_results.py")
    done = subprocess.run(
        [sys.executable, str(script), url, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
        env=CHILD_ENV,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["results"] == PAGE * PAGES
    assert told["after_kb"] - told["before_kb"] < BOUND_KB, told
