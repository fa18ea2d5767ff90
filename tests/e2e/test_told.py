"""The daemon is killed while alerts are judged and told; the receiver refuses some messages, and answers some never.

Afterwards history, outbox and receiver agree: every transition that was to be told arrived, under one key with one
body, and each alert's story is one firing and one resolved.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.e2e.harness import Daemon, pause, source, uuid_of, wait_until, write_config
from tests.e2e.test_alerts import run_of

WORKFLOWS = 8  # at work at the same time
PROJECT = {
    "id": uuid_of(77),
    "name": "web",
    "slug": "gh/acme/web",
    "vcs_info": {"default_branch": "main"},
}
RULES = {
    "version": 1,
    "defaults": {"every": "1s", "evaluation_delay": "0s", "keep_firing_for": "0s", "min_runs": 3},
    "groups": [
        {
            "name": "all",
            "rules": [
                {
                    "alert": "Failing",
                    "metric": "success_rate",
                    "by": ["workflow"],
                    "window": "24h",
                    "threshold": "< 50%",
                    "recover": {"above": "50%"},
                    "max_alerts_per_rule": 100000,
                }
            ],
        }
    ],
}


class Receiver:
    """A webhook receiver that keeps each key with its bodies in order of arrival, and misbehaves by a seed."""

    def __init__(self, seed: int) -> None:
        self.bodies: dict[str, set[bytes]] = defaultdict(set)
        self.requests = 0
        self.lock = threading.Lock()
        self._draw = random.Random(seed)
        self.url = ""

    def take(self, key: str, body: bytes) -> str:
        """Keep it, or not: `ok`, `refuse` (nothing kept) or `cut` (kept, and no answer)."""
        with self.lock:
            self.requests += 1
            what = self._draw.choices(("ok", "refuse", "cut"), (8, 1, 1))[0]
            if what != "refuse":
                self.bodies[key].add(body)
            return what


@contextmanager
def receiving(seed: int) -> Iterator[Receiver]:
    """The receiver on loopback, while it is needed."""
    receiver = Receiver(seed)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # whoever sent it was killed in the middle
                self.close_connection = True
                return
            what = receiver.take(self.headers["idempotency-key"], body)
            if what == "cut":
                self.close_connection = True
                return
            self.send_response(200 if what == "ok" else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class Work:
    """Workflows that break and are mended, one after the other, as far as the daemon shows their alerts."""

    def __init__(self) -> None:
        self.numbers = 0
        self.begun = 0
        self.states: dict[str, str] = {}
        self.active: list[str] = []

    def tick(self, daemon: Daemon, *, more: bool) -> None:
        """Send each active workflow the run that it needs next. Raises httpx.TransportError when nobody is there."""
        for row in daemon.get("/api/v1/alerts").json():
            self.states[row["labels"].get("workflow", "")] = row["state"]
        self.active = [name for name in self.active if self.states.get(name) != "resolved"]
        while more and len(self.active) < WORKFLOWS:
            self.begun += 1
            self.active.append(f"w{self.begun}")
        for name in self.active:
            mending = self.states.get(name) in ("firing", "recovering")
            self.numbers += 1
            daemon.deliver(run_of(self.numbers, PROJECT, name, "success" if mending else "failed"))


def live(daemon: Daemon, work: Work, seconds: float) -> None:
    """Work until the daemon is killed so many seconds from now."""
    killer = threading.Timer(seconds, daemon.kill)
    killer.start()
    try:
        while killer.is_alive():
            work.tick(daemon, more=True)
    except httpx.TransportError:
        pass  # it died meanwhile
    finally:
        killer.join(30)


def told_of(path: Path) -> tuple[dict[str, int], list[dict[str, Any]], int]:
    """Key -> state of its outbox row, the lines of history about who was told, and how many rows wait."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        rows = dict(db.execute("SELECT key, state FROM outbox"))
        lines = [json.loads(body) for (body,) in db.execute("SELECT body FROM alert_history ORDER BY id")]
    return rows, [line for line in lines if line.get("told")], sum(state == 0 for state in rows.values())


def check_stories(receiver: Receiver, rows: dict[str, int], lines: list[dict[str, Any]], work: Work) -> None:
    """Hold receiver, outbox and history against each other."""
    assert {key for key, bodies in receiver.bodies.items() if len(bodies) > 1} == set(), "one key, two messages"
    assert set(receiver.bodies) == set(rows), "what the outbox has and what arrived"
    assert set(rows.values()) == {1}
    assert len(lines) == len(rows), "what history says was told"
    stories = defaultdict(list)
    for (body,) in receiver.bodies.values():
        [alert] = json.loads(body)["alerts"]
        stories[alert["labels"]["workflow"]].append(alert["status"])
    wanted = {f"w{number + 1}": ["firing", "resolved"] for number in range(work.begun)}
    assert {name: sorted(states) for name, states in stories.items()} == wanted


def survive(folder: Path, kills: int, seed: int) -> None:
    """Kill so often, then let it come to an end and check."""
    draw = random.Random(seed)
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
    with receiving(seed) as receiver:
        config = write_config(
            folder,
            {},
            {"circleci": source(poll={"enabled": False})},
            alerts={"rules": ["rules.yaml"], "notifiers": {"hook": {"type": "webhook", "url": receiver.url}}},
        )
        daemon, work = Daemon(config), Work()
        for _ in range(kills):
            if draw.random() < 0.1:
                daemon.launch()
                pause(draw.uniform(0.1, 1.0))
                daemon.kill()
            else:
                daemon.start()
                live(daemon, work, draw.uniform(0.05, 2.5))
        with Daemon(config) as last:
            # A few kills leave time for no more than the first ones.
            wait_until(lambda: work.tick(last, more=True) or work.begun > WORKFLOWS, "another workflow", 120)
            wait_until(lambda: work.tick(last, more=False) or not work.active, "all workflows mended", 120)
            store = Path(yaml.safe_load(config.read_text())["store"]["url"].removeprefix("sqlite://"))
            wait_until(lambda: told_of(store)[2] == 0, "everything told", 120)
            assert last.stop() == 0
        rows, lines, _ = told_of(store)
        check_stories(receiver, rows, lines, work)
        assert work.begun > WORKFLOWS
        print(  # noqa: T201  # shown with -rP, and when the test fails
            f"{kills} kills, {work.begun} alerts, {len(rows)} transitions told in {receiver.requests} requests"
        )


@pytest.mark.timeout(14_400)
@pytest.mark.parametrize(
    "kills", [4, pytest.param(100, marks=pytest.mark.long), pytest.param(1000, marks=pytest.mark.long)]
)
def test_kills_tell_every_transition_once(tmp_path, kills):
    """Killed so often, at moments drawn from a printed seed: no transition lost, no second page for a key."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201  # to repeat a failure
    survive(tmp_path, kills, seed)
