"""Starting and watching the processes that are measured: daemon, fake vendor, the server that stores nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECRET = "bench-secret"
HOOK = "/webhooks/circleci"


@dataclass(slots=True)
class Daemon:
    """A running `headgate run`. `ready`: its ready line. `ready_seconds`: from exec to that line."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    ready_seconds: float
    directory: Path

    @property
    def port(self) -> int:
        """Port of the webhook receiver."""
        return int(self.ready["webhooks"].rsplit(":", 1)[1])

    def get(self, path: str) -> bytes:
        """Body of a page of the daemon."""
        with urllib.request.urlopen(self.ready["http"] + path, timeout=30) as answer:  # noqa: S310  # loopback
            return bytes(answer.read())

    def status(self) -> dict[str, Any]:
        """What `headgate status --json` would say."""
        return dict(json.loads(self.get("/api/v1/status")))

    def rss_mb(self) -> float:
        """Resident memory now, MB."""
        return proc_kb(self.process.pid, "VmRSS") / 1000

    def written_bytes(self) -> int:
        """Bytes that the process caused to be written to the disk so far."""
        for line in Path(f"/proc/{self.process.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes"):
                return int(line.split()[1])
        raise RuntimeError("no write_bytes in /proc/<pid>/io")

    def wait_until(self, done: Any, *, seconds: float, every: float = 0.2) -> float:
        """Poll the status until `done(status)`; returns seconds waited. Raises TimeoutError."""
        begin = time.monotonic()
        while not done(self.status()):
            if time.monotonic() - begin > seconds:
                raise TimeoutError(f"not reached in {seconds} s: {self.status()}")
            time.sleep(every)
        return time.monotonic() - begin

    def kill(self) -> None:
        """End it at once and wait."""
        self.process.kill()
        self.process.wait()


def proc_kb(pid: int, name: str) -> int:
    """A figure of /proc/<pid>/status in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"no {name} of process {pid}")


def configuration(directory: Path, sinks: dict[str, Any], *, webhooks: int = 0, **source: Any) -> Path:
    """Write a configuration for webhooks only, unless `source` says more; returns its path."""
    config = {
        "version": 1,
        "store": {"url": f"sqlite:///{directory / 'headgate.db'}"},
        "http": {"listen": "127.0.0.1:0"},
        "webhooks": {"listen": f"127.0.0.1:{webhooks}"},
        "log": {"level": "warning"},
        "sources": {
            "circleci": {
                "type": "circleci",
                "webhook": {"secrets": [SECRET]},
                "poll": {"enabled": False},
                "enrich": "none",
                **source,
            }
        },
        "sinks": sinks,
    }
    path = directory / "headgate.yaml"
    path.write_text(json.dumps(config))
    return path


@contextmanager
def running_daemon(
    sinks: dict[str, Any], *, directory: Path | None = None, cpu: int | None = None, webhooks: int = 0, **source: Any
) -> Iterator[Daemon]:
    """The daemon with this configuration, ended with SIGKILL. `cpu`: the only core it may use; `webhooks`: a port."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as fresh:
        where = directory or Path(fresh)
        path = configuration(where, sinks, webhooks=webhooks, **source)
        begin = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "headgate", "run", "-c", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=(lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None,  # noqa: PLW1509  # no threads here
        )
        assert process.stderr is not None
        try:
            ready = _ready_line(process)
            yield Daemon(process, ready, time.monotonic() - begin, where)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stderr.close()


def _ready_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line.decode(errors="replace"))
        if line.startswith(b'{"event":"ready"') or b'"event": "ready"' in line:
            os.set_blocking(process.stderr.fileno(), False)
            return dict(json.loads(line))
    raise RuntimeError("the daemon did not start:\n" + "".join(seen[-20:]))


@contextmanager
def running_module(module: str, *arguments: str) -> Iterator[int]:
    """A fake vendor or twin as its own process; yields its port from the ready line on stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        yield int(json.loads(process.stderr.readline())["port"])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@contextmanager
def null_server(*arguments: str) -> Iterator[int]:
    """The server that stores nothing; yields its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.null_server", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fake_json(port: int, path: str) -> Any:
    """JSON of a fake vendor's control endpoint."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return json.loads(answer.read())


def fake_order(port: int, order: dict[str, Any]) -> None:
    """Tell a fake vendor how to answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/_fake/answer", data=json.dumps(order).encode(), method="PUT"
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310  # loopback
