"""Headgate, the twin and the fake vendors as processes that a test starts, kills and asks.

Invariant: every process that was started here is gone when its `with` block ends. Times in seconds are real ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import httpx
import yaml
from tests.e2e.forking import Forked, fork

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "data" / "circleci" / "webhooks"
SECRET = "e2e-webhook-secret"
TOKEN = "twin-token"
HOST = "circleci.com"
START_SECONDS = 40.0  # a loaded two-core machine imports everything within a few
_LOOK_SECONDS = 0.03

# Only loopback is asked, so certificates that take a while to read are not.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ASKING: dict[str, Any] = {"trust_env": False, "verify": NO_AUTHORITIES}

# A child reads the tree that the tests came with, sees no configuration of the machine, and no proxy.
CHILD_ENV = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "HOME": os.environ.get("HOME", "/"),
    "PYTHONPATH": str(ROOT / "src"),
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": str(ROOT / "tests" / "data" / "authority.pem"),
}


def pause(seconds: float) -> None:
    """Let real time pass: for what can only be shown by waiting, such as that nothing happens."""
    threading.Event().wait(seconds)


def wait_until(question: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Ask until the answer is true, and give it. Raises TimeoutError saying what did not come."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what} (last answer: {answer!r})")
        pause(_LOOK_SECONDS)


def free_port() -> int:
    """A port that was free a moment ago, for daemons that must come back under the same address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def signature(secret: str, body: bytes) -> str:
    """The header that CircleCI sends, from its documentation, not from the product."""
    return f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def begin(
    command: Sequence[str], env: Mapping[str, str], out: IO[bytes], errors: IO[bytes]
) -> subprocess.Popen[bytes] | Forked:
    """Start a process with nothing to read; a module of Headgate is forked, unless it is to import from elsewhere."""
    python, *words = command
    if python == sys.executable and words[0] == "-m" and env["PYTHONPATH"] == CHILD_ENV["PYTHONPATH"]:
        return fork(words[1], words[2:], env, out.fileno(), errors.fileno())
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=env)


class Child:
    """One process. Standard error goes to `log` (appended), standard output to `out` where one is given."""

    def __init__(
        self, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, out: Path | None = None
    ) -> None:
        self.command = list(command)
        self.log = log
        self.out = out
        self.env = {**CHILD_ENV, **(env or {})}
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self._from = 0

    @property
    def pid(self) -> int:
        """The number of the running process."""
        assert self.process is not None
        return self.process.pid

    def launch(self) -> None:
        """Start without waiting for anything."""
        assert self.process is None or self.process.poll() is not None, "already running"
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with contextlib.ExitStack() as files:
            errors = files.enter_context(self.log.open("ab"))
            out = files.enter_context((self.out or Path(os.devnull)).open("ab"))
            self.process = begin(self.command, self.env, out, errors)

    def start(self, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Start, wait for the ready line on standard error, and give it."""
        self.launch()
        return self.wait_ready(seconds)

    def wait_ready(self, seconds: float = START_SECONDS) -> dict[str, Any]:
        """The ready line of the process that was launched last. Raises AssertionError with the log if it died."""

        def ready() -> dict[str, Any] | None:
            for line in self.lines():
                if line.get("event") == "ready":
                    return line
            assert self.process is not None
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text()[-4000:]}"
            return None

        return wait_until(ready, f"the ready line of {self.command[:4]}: {self.text()[-1000:]}", seconds)

    def text(self) -> str:
        """What the process that was launched last has said on standard error."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode("utf-8", "replace")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The whole lines of `text` that are JSON objects."""
        for line in self.text().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self, seconds: float = 15.0) -> int:
        """Ask to end (TERM) and give the exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """End at once (KILL) and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Daemon(Child):
    """`headgate run -c FILE`. `http` and `webhooks` are its addresses once started."""

    def __init__(self, config: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        super().__init__(
            [sys.executable, "-m", "headgate", "run", "-c", str(config), *arguments],
            config.with_name("daemon.log"),
            env=env,
            out=config.with_name("daemon.out"),
        )
        self.config = config
        self.http = ""
        self.webhooks = ""

    def start(self, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Start and remember the addresses."""
        ready = super().start(seconds)
        self.http, self.webhooks = ready["http"], ready["webhooks"]
        return ready

    def __enter__(self) -> Self:
        if not self.running():
            self.start()
        return self

    def get(self, path: str) -> httpx.Response:
        """Ask the API."""
        return httpx.get(f"{self.http}{path}", timeout=10, **ASKING)

    def post(self, path: str, body: object) -> httpx.Response:
        """Tell the API to do something."""
        headers = {"x-headgate-request": "test"}
        return httpx.post(f"{self.http}{path}", json=body, headers=headers, timeout=10, **ASKING)

    def status(self) -> dict[str, Any]:
        """`/api/v1/status`."""
        answer: dict[str, Any] = self.get("/api/v1/status").raise_for_status().json()
        return answer

    def overview(self) -> dict[str, Any]:
        """`/api/v1/overview`."""
        answer: dict[str, Any] = self.get("/api/v1/overview").raise_for_status().json()
        return answer

    def metric(self, name: str, **labels: str) -> float:
        """The sum of one metric over all series that have these labels."""
        total = 0.0
        for line in self.get("/metrics").raise_for_status().text.splitlines():
            head, _, value = line.rpartition(" ")
            series, _, rest = head.partition("{")
            if series == name and all(f'{key}="{wanted}"' in rest for key, wanted in labels.items()):
                total += float(value)
        return total

    def deliver(
        self,
        body: bytes,
        *,
        secret: str | None = SECRET,
        headers: Mapping[str, str] | None = None,
        path: str = "/webhooks/circleci",
    ) -> httpx.Response:
        """Send one webhook as CircleCI does; `headers` overrule, `secret` None leaves the signature out."""
        sent = {"content-type": "application/json", "circleci-event-type": "job-completed"}
        if secret is not None:
            sent["circleci-signature"] = signature(secret, body)
        return httpx.post(
            f"{self.webhooks}{path}", content=body, headers={**sent, **(headers or {})}, timeout=15, **ASKING
        )

    def settled(self) -> bool:
        """Whether nothing waits: in the inbox, in an enrichment, for a sink."""
        found = self.overview()
        signals = [one for sink in found["status"]["sinks"].values() for one in sink["signals"].values()]
        waiting = [one for one in signals if one["waiting"] and one["state"] != "removed"]
        return not (found["status"]["inbox"]["waiting"] or found["unreleased"] or waiting)

    def wait_settled(self, seconds: float = 30.0) -> None:
        """Wait until nothing waits."""
        wait_until(self.settled, "everything delivered", seconds)


class TwinProcess(Child):
    """`python -m headgate.testing.circleci`: see docs/twin.md."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__([sys.executable, "-m", "headgate.testing.circleci", *arguments], folder / "twin.log")
        self.url = ""

    def __enter__(self) -> Self:
        self.url = f"http://127.0.0.1:{self.start()['port']}"
        return self

    def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        """One request to the controls."""
        return httpx.request(method, f"{self.url}/_twin{path}", timeout=600, **ASKING, **how).raise_for_status()

    def truth(self) -> list[dict[str, Any]]:
        """What has finished so far."""
        return [json.loads(line) for line in self.ask("GET", "/truth").text.splitlines()]

    def delivered(self) -> set[str]:
        """Provider ids of what was told by a webhook that was answered 2xx."""
        return {one["provider_id"] for one in self.ask("GET", "/deliveries").json() if one["delivered"]}

    def about(self) -> dict[str, Any]:
        """Clock, organisations, projects."""
        answer: dict[str, Any] = self.ask("GET", "").json()
        return answer

    def advance(self, seconds: float, timeout_seconds: float = 600.0) -> dict[str, Any]:
        """Move the clock; returns when the webhooks of that time were sent or given up."""
        wanted = {"seconds": seconds, "timeout_seconds": timeout_seconds}
        answer: dict[str, Any] = self.ask("POST", "/advance", json=wanted).json()
        return answer

    def faults(self, **wanted: dict[str, Any]) -> None:
        """Misbehave so from now on; nothing given: behave well."""
        self.ask("PUT", "/faults", json=wanted)


def headgate(*arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60.0) -> Any:
    """Run one command of Headgate to its end. Gives returncode, stdout, stderr as text."""
    command = [sys.executable, "-m", "headgate", *arguments]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = begin(command, {**CHILD_ENV, **(env or {})}, out, errors)
        try:
            code = process.wait(seconds)
        except BaseException:
            process.kill()
            process.wait()
            raise
        said = []
        for file in (out, errors):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(command, code, *said)


def run_until_idle(config: Path) -> None:
    """`run --until-idle` on a configuration; asserts that it ended well."""
    done = headgate("run", "-c", str(config), "--until-idle", "--timeout", "120", seconds=150)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-1000:]}\n{done.stderr[-6000:]}"


def source(twin_url: str | None = None, orgs: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """A `circleci` source: webhooks alone, or with a twin also polled."""
    found: dict[str, Any] = {
        "type": "circleci",
        "host": HOST,
        "webhook": {"secrets": [SECRET]},
        "enrich": "none",
        "enrich_wait": "2s",
    }
    if twin_url is not None:
        found |= {
            "base_url": twin_url,
            "token": TOKEN,
            "orgs": list(orgs),
            "budget": {"per_second": 2000, "burst": 2000},
        }
    return {**found, **more}


def write_config(
    folder: Path,
    sinks: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, Mapping[str, Any]] | None = None,
    **sections: Any,
) -> Path:
    """A configuration file in `folder`, with the store beside it and free ports; `sections` are added or replace."""
    file = folder / "headgate.yaml"
    wanted = {
        "version": 1,
        "store": {"url": f"sqlite://{folder / 'headgate.db'}"},
        "http": {"listen": "127.0.0.1:0"},
        "webhooks": {"listen": "127.0.0.1:0"},
        "sources": {"circleci": source()} if sources is None else dict(sources),
        "sinks": {key: dict(value) for key, value in sinks.items()},
        "log": {"format": "json"},
        **sections,
    }
    file.write_text(yaml.safe_dump(wanted, sort_keys=False))
    return file


def read_jsonl(path: Path) -> list[bytes]:
    """The whole lines of a file that a `jsonl` sink wrote; nothing where there is no file yet."""
    if not path.exists():
        return []
    return [line for line in path.read_bytes().split(b"\n") if line]


def ancient_loki() -> dict[str, int]:
    """Options of a fake Loki for records of years ago: how old a line may be is an operator's setting there."""
    return {"max_age_seconds": 0, "max_behind_seconds": 0}


def loki_sink(url: str, **more: Any) -> dict[str, Any]:
    """A `loki` sink that sends records of any age."""
    return {"type": "loki", "url": url, "max_age": "10000d", **more}


def uuid_of(number: int) -> str:
    """A UUID of the tests' own, distinct for each number."""
    return f"e2e00000-0000-4000-8000-{number:012d}"


def delivery_id(number: int) -> str:
    """Id of the webhook that `made_up_job` makes."""
    return uuid_of(number + 10**9)


def made_up_job(number: int, *, stopped: datetime | None = None, padding: int = 0) -> bytes:
    """A job-completed webhook like a captured one, about a job that nobody else tells of; `padding` bytes longer."""
    told = json.loads((SAMPLES / "real-github-oauth-job-completed.json").read_text())
    end = stopped or datetime.now(UTC)
    told["id"] = delivery_id(number)
    told["job"] |= {
        "id": uuid_of(number),
        "number": number + 1000,
        "started_at": utc_text(end - timedelta(seconds=30)),
        "stopped_at": utc_text(end),
    }
    told["padding"] = "x" * padding
    return json.dumps(told).encode()


def utc_text(at: datetime) -> str:
    """RFC 3339 with milliseconds, as CircleCI writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def told_jobs(lines: Iterable[bytes]) -> list[str]:
    """Provider ids of the jobs whose records are among the lines, in order, repeats too."""
    found = (json.loads(line) for line in lines)
    return [one["attributes"]["cicd.pipeline.task.run.id"] for one in found if one["kind"] == "job"]
