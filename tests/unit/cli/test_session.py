"""Commands beside a daemon: what is said when it stops answering, and that they load little."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from headgate.app.runtimefile import Running, write_running
from headgate.cli.application import run_command


class _Daemon(BaseHTTPRequestHandler):
    """Says how it is, and hangs up at everything else."""

    def do_GET(self) -> None:
        if self.path == "/api/v1/status":
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def do_POST(self) -> None:
        pass

    def log_message(self, *_: object) -> None:
        pass


# What takes long to load, and what needs it: answering, keeping, drawing pages, making files.
_HEAVY = {
    "apscheduler.schedulers",
    "apsw",
    "fastapi",
    "headgate.app.compose",
    "headgate.insights.tables",
    "headgate.insights.views",
    "jinja2",
    "uvicorn",
}
_ASKED = """
import json, sys
from headgate.cli.application import run_command
code = run_command(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [["deadletters", "purge", "--all", "--yes"], ["explain", "x"], ["report", "weekly"]],
    ids=["action", "question", "file"],
)
def test_a_daemon_that_goes_away_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """In one line with what to do: what was asked for may be done all the same, so it is not done a second time."""
    file = tmp_path / "headgate.yaml"
    file.write_text(f"version: 1\nstore: {{url: 'sqlite://{tmp_path / 'x.db'}'}}\n")
    with HTTPServer(("127.0.0.1", 0), _Daemon) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        write_running(tmp_path / "x.db", Running(os.getpid(), f"http://127.0.0.1:{server.server_port}", ""))
        code = run_command([*words, "-c", str(file)])
        server.shutdown()
    said = capsys.readouterr().err
    assert (1, 1) == (code, len(said.splitlines())), said
    assert "headgate: the daemon did not answer (RemoteProtocolError)" in said
    assert "may have stopped, or still be doing this: see `headgate status`" in said
    assert not (tmp_path / "x.db").exists()


def test_a_command_beside_a_daemon_loads_little(tmp_path: Path) -> None:
    """Nothing of what only the daemon needs, as people and scripts wait for each."""
    file = tmp_path / "headgate.yaml"
    file.write_text(f"version: 1\nstore: {{url: 'sqlite://{tmp_path / 'x.db'}'}}\n")
    with HTTPServer(("127.0.0.1", 0), _Daemon) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        write_running(tmp_path / "x.db", Running(os.getpid(), f"http://127.0.0.1:{server.server_port}", ""))
        command = [sys.executable, "-c", _ASKED, "status", "--json", "-c", str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        server.shutdown()
    code, loaded = json.loads(done.stderr)
    assert (0, "{}\n") == (code, done.stdout)
    assert set() == _HEAVY & set(loaded)


def test_help_loads_no_client_and_no_models() -> None:
    """Which every command would pay for: all of them are known before one is chosen."""
    done = subprocess.run([sys.executable, "-c", _ASKED, "--help"], check=True, capture_output=True, text=True)
    code, loaded = json.loads(done.stderr)
    assert 0 == code
    assert set() == {"httpx", "pydantic"} & set(loaded)
