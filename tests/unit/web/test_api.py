"""The API and the page over operations that answer from memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import httpx
import pytest

from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock
from headgate.core.errors import StoreFull
from headgate.insights.views.lens import Lens
from headgate.store import MemoryStore
from headgate.web.api import build_app
from headgate.web.metricpages import MetricPages, ci_page
from headgate.web.operations import (
    ChosenDeliveries,
    ChosenLetters,
    HistoryKind,
    Json,
    Problem,
    WantedExport,
    WantedReport,
)
from headgate.web.site.routes import add_pages

EVIL = "<script>alert(1)</script>"


FAILING = {
    "state": "failing",
    "waiting": 2,
    "lag_seconds": 61.0,
    "dead": 1,
    "failing_since": "2026-11-20T09:01:10.000Z",
    "last_error": EVIL,
}


class Answers:
    """Operations that say what they were asked. Every method of the port is here."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.full = True
        self.orders: list[Json] = []

    def _note(self, *what: Any) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def status(self) -> Json:
        self._note("status")
        signal = {
            "state": "ok",
            "cursor": 3,
            "lag_seconds": 61.0,
            "waiting": 2,
            "dead": 1,
            "skipped": {},
            "accepted": 9,
        }
        source = {
            "calls": 7,
            "budget_left": None,
            "last_complete_walk": None,
            "last_insights": "2026-11-20T09:01:10.000Z",
        }
        return {
            "sinks": {"loki": {"signals": {"logs": signal}}} if self.full else {},
            "inbox": {"waiting": 0, "dead": 1},
            "sources": {"circleci": source} if self.full else {},
            "notifiers": {"ops": FAILING} if self.full else {},
            "audit": {},
            "store": {"bytes": 12345678, "schema": 1},
        }

    async def overview(self) -> Json:
        run = {
            "workflow_id": "w",
            "project": "gh/acme/web",
            "workflow": EVIL,
            "ref": EVIL,
            "status": "success",
            "stopped_at": "2026-11-20T10:02:10.000Z",
            "duration_ms": 61_000,
            "revision": "",
            "pipeline_number": 1,
            "url": "javascript:alert(1)",
        }
        alert = {"state": "firing", "rule": EVIL, "labels": {"project": EVIL}, "since": "2026-11-20T10:02:10.000Z"}
        alert |= {"value": 0.5, "baseline": 0.9, "format": "percentage", "unit": "1"}
        alert |= {"fingerprint": "f0", "flags": ["acknowledged"], "started_at": None}
        return {
            "status": await self.status(),
            "facts": {"workflow": 1240, "job": 9} if self.full else {},
            "ended": {"workflow": {"success": 1200, "failure": 34}} if self.full else {},
            "unreleased": 5,
            "level": "ok",
            "runs": [run, {**run, "url": "https://app.circleci.com/x", "duration_ms": None}] if self.full else [],
            "alerts": [alert] if self.full else [],
            "completeness": self._audited(),
            "hints": [] if self.full else ["No source is configured: add one"],
        }

    async def runs(self, limit: int, project: str | None) -> list[Json]:
        self._note("runs", limit, project)
        return []

    async def history(
        self, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int, kind: HistoryKind = "runs"
    ) -> list[Json]:
        self._note("history", since_ms, until_ms, after, limit, kind)
        return []

    async def alert_history(self, fingerprint: str, limit: int) -> list[Json]:
        self._note("alert_history", fingerprint, limit)
        return []

    async def explain(self, query: str) -> list[Json]:
        self._note("explain", query)
        return []

    async def tail(self, after: Mapping[str, int], limit: int) -> Json:
        self._note("tail", dict(after), limit)
        return {"records": [], "after": dict(after)}

    async def dead_letters(
        self, signal: str | None, ids: Sequence[int], limit: int, before: int | None = None
    ) -> list[Json]:
        self._note("dead_letters", signal, list(ids), limit, before)
        return []

    async def dead_deliveries(self, limit: int, ids: Sequence[int] = (), before: int | None = None) -> list[Json]:
        self._note("dead_deliveries", limit, list(ids), before)
        return []

    async def replay_dead(self, chosen: ChosenLetters) -> int:
        self._note("replay_dead", chosen)
        return 1

    async def purge_dead(self, chosen: ChosenLetters) -> int:
        self._note("purge_dead", chosen)
        return 1

    async def replay_deliveries(self, chosen: ChosenDeliveries) -> int:
        self._note("replay_deliveries", chosen)
        return 1

    async def purge_deliveries(self, chosen: ChosenDeliveries) -> int:
        self._note("purge_deliveries", chosen)
        return 1

    async def replay(self, sink: str, since_ms: int, until_ms: int) -> list[Json]:
        self._note("replay", sink, since_ms, until_ms)
        return []

    async def reset_sink(self, sink: str, start: Literal["now", "retained"] | int) -> list[str]:
        self._note("reset_sink", sink, start)
        return [f"{sink}.logs"]

    async def alerts(self) -> list[Json]:
        self._note("alerts")
        return []

    async def backup(self, path: str) -> Json:
        self._note("backup", path)
        return {"path": path, "bytes": 1}

    async def export(self, wanted: WantedExport) -> AsyncIterator[bytes]:
        self._note("export", wanted)
        yield b"a\r\n"

    async def report(self, wanted: WantedReport) -> str:
        self._note("report", wanted)
        return f"<!doctype html><p>{wanted.every}</p>"

    async def saved_reports(self) -> list[Json]:
        self._note("saved_reports")
        return [{"report": "weekly", "file": "weekly_x.html", "until": "2026-11-20T00:00:00.000Z", "bytes": 9}]

    async def saved_report(self, name: str, file: str) -> str:
        self._note("saved_report", name, file)
        return "<!doctype html><script>alert(1)</script>"

    async def reload(self) -> Json:
        self._note("reload")
        return {"ok": True}

    async def silences(self) -> list[Json]:
        self._note("silences")
        return []

    async def backfills(self) -> list[Json]:
        self._note("backfills")
        return self.orders

    async def routing(self) -> Json:
        self._note("routing")
        return {"default": ["ops"], "mute": [], "routes": [], "mute_times": [], "digests": []}

    def _audited(self) -> list[Json]:
        figures = {"present": 9, "repaired": 8, "unrepairable": 7, "unannounced": 6}
        return [
            {"source": "circleci", "project": f"gh/acme/{number}{EVIL}", "expected": 1500 + number, **figures}
            for number in range(21 if self.full else 0)
        ]

    async def completeness(self, window: str = "24h") -> Json:
        self._note("completeness", window)
        rows = [one | {"proven_until": None, "cells": [None]} for one in self._audited()]
        step = "1h" if window == "24h" else "1d"
        return {"window": window, "step": step, "hours": ["2026-11-20T09:00:00.000Z"], "projects": rows}

    async def data(self) -> Json:
        self._note("data")
        store = {"url": "sqlite:///x", "bytes": 12345678, "max_bytes": None, "level": "ok", "schema": 1}
        found = {"measured_at": None, "parts": [], "sources": [], "files": [], "plugins": [], "broken_plugins": []}
        return {"store": store, **found, "versions": {"headgate": "0", "python": "3"}}

    async def trail(self, since_ms: int, before: int | None, limit: int, action: str = "") -> list[Json]:
        self._note("trail", since_ms, before, limit, action)
        of = {"id": 1, "at": "2026-11-20T09:01:10.000Z", "via": "token", "peer": "", "status": 200, "times": 2}
        return [{**of, "who": EVIL, "action": "backup", "about": "/backups/a.db"}] if self.full else []

    async def configuration(self) -> Json:
        self._note("configuration")
        return {"version": 1, "sources": {"circleci": {"token": "${env:CIRCLECI_TOKEN}", "orgs": [EVIL]}}}


class Health:
    """Health that is what it is told to be."""

    def __init__(self) -> None:
        self.alive_now: str | None = None
        self.ready_now: str | None = None

    async def alive(self) -> str | None:
        return self.alive_now

    def ready(self) -> str | None:
        return self.ready_now


class Bench:
    """The application over answers from memory."""

    def __init__(self) -> None:
        self.answers, self.health, self.telemetry = Answers(), Health(), Telemetry()
        app = build_app(
            self.answers, self.health, MetricPages(self.telemetry.page, lambda name: ci_page({}, name)), version="0.0"
        )
        self.store = MemoryStore(clock=ManualClock(1_795_000_000_000))
        add_pages(app, self.answers, lambda: Lens(self.store, 1_795_000_000_000), "0.0")
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


@pytest.fixture
async def bench() -> Any:
    made = Bench()
    async with made.http:
        yield made


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("GET", "/status", None, ("status",)),
        ("GET", "/runs?limit=5&project=gh/a/b", None, ("runs", 5, "gh/a/b")),
        ("GET", "/history?since_ms=1&until_ms=2", None, ("history", 1, 2, None, 1000, "runs")),
        ("GET", "/alerts/f00/history?limit=7", None, ("alert_history", "f00", 7)),
        (
            "GET",
            "/history?since_ms=1&until_ms=2&after_ms=1&after_id=w&limit=9&kind=jobs",
            None,
            ("history", 1, 2, (1, "w"), 9, "jobs"),
        ),
        (
            "POST",
            "/deaddeliveries/replay",
            {"source": "ci"},
            ("replay_deliveries", ChosenDeliveries(source="ci")),
        ),
        (
            "POST",
            "/deaddeliveries/purge",
            {"everything": True},
            ("purge_deliveries", ChosenDeliveries(everything=True)),
        ),
        ("GET", "/explain/abc", None, ("explain", "abc")),
        ("GET", "/explain?query=https://app.circleci.com/x", None, ("explain", "https://app.circleci.com/x")),
        ("GET", "/tail?live=4&limit=2", None, ("tail", {"live": 4}, 2)),
        ("GET", "/deadletters?signal=loki.logs&id=1&id=2", None, ("dead_letters", "loki.logs", [1, 2], 100, None)),
        ("GET", "/deadletters?before=7&limit=5", None, ("dead_letters", None, [], 5, 7)),
        ("GET", "/deaddeliveries", None, ("dead_deliveries", 100, [], None)),
        ("GET", "/deaddeliveries?id=3&id=4&before=9", None, ("dead_deliveries", 100, [3, 4], 9)),
        ("GET", "/alerts", None, ("alerts",)),
        ("POST", "/deadletters/replay", {"ids": [1]}, ("replay_dead", ChosenLetters((1,)))),
        ("POST", "/deadletters/purge", {"ids": [1, 2]}, ("purge_dead", ChosenLetters((1, 2)))),
        ("POST", "/deadletters/purge", {"reason": "refused"}, ("purge_dead", ChosenLetters(reason="refused"))),
        ("POST", "/deadletters/replay", {"everything": True}, ("replay_dead", ChosenLetters(everything=True))),
        ("POST", "/replay", {"sink": "loki", "since_ms": 1, "until_ms": 2}, ("replay", "loki", 1, 2)),
        ("POST", "/sinks/loki/reset", {"start": "retained"}, ("reset_sink", "loki", "retained")),
        ("POST", "/sinks/loki/reset", {"start": 5}, ("reset_sink", "loki", 5)),
        ("POST", "/backup", {"path": "/x"}, ("backup", "/x")),
        ("POST", "/reload", None, ("reload",)),
    ],
)
async def test_each_route_asks_its_operation(
    bench: Bench, method: str, path: str, body: Json | None, asked: tuple[Any, ...]
) -> None:
    """Parameters arrive as they were meant."""
    answer = await bench.http.request(method, "/api/v1" + path, json=body)
    assert answer.status_code == 200
    assert asked == bench.answers.asked[-1]


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (Problem("unknown", "no such sink"), 404, "unknown"),
        (Problem("refused", "not so"), 409, "refused"),
        (Problem("busy", "later"), 503, "busy"),
        (StoreFull("full"), 503, "store"),
    ],
)
async def test_problems_have_a_status_and_words(bench: Bench, error: Exception, status: int, word: str) -> None:
    """No answer is a bare 500."""
    bench.answers.error = error
    answer = await bench.http.get("/api/v1/status")
    assert (status, word, str(error)) == (answer.status_code, answer.json()["error"], answer.json()["detail"])


@pytest.mark.parametrize(
    "path", [f"/tail?live={1 << 63}", f"/deadletters?id={1 << 63}", f"/history?since_ms=0&until_ms={1 << 64}"]
)
async def test_a_number_that_no_store_can_hold_is_400(bench: Bench, path: str) -> None:
    """SQLite counts to 2 to the power of 63."""
    assert (await bench.http.get("/api/v1" + path)).status_code == 400
    assert bench.answers.asked == []


async def test_where_a_sink_starts_again_must_be_said(bench: Bench) -> None:
    """Nothing is dropped, and nothing sent twice, because somebody left it out."""
    assert (await bench.http.post("/api/v1/sinks/loki/reset", json={})).status_code == 400
    assert not bench.answers.asked


@pytest.mark.parametrize(
    "body",
    [{}, {"ids": [1 << 63]}, {"ids": []}, {"ids": ["x"]}, {"ids": [1], "more": 1}, {"ids": [1], "reason": "refused"}],
)
async def test_a_wrong_body_is_400_and_changes_nothing(bench: Bench, body: Json) -> None:
    """Unknown keys too."""
    assert (await bench.http.post("/api/v1/deadletters/purge", json=body)).status_code == 400
    assert bench.answers.asked == []


async def test_health_pages(bench: Bench) -> None:
    """200 with ok, else 503 with what is wrong."""
    assert [(await bench.http.get(page)).text for page in ("/livez", "/readyz")] == ["ok", "ok"]
    bench.health.alive_now, bench.health.ready_now = "writer", "listener"
    answers = [await bench.http.get(page) for page in ("/livez", "/readyz")]
    assert [(503, "writer"), (503, "listener")] == [(answer.status_code, answer.text) for answer in answers]


async def test_metrics_are_prometheus_text(bench: Bench) -> None:
    """Our own names only."""
    bench.telemetry.count("headgate_reloads_total", result="done")
    answer = await bench.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'headgate_reloads_total{result="done"} 1.0' in answer.text


async def test_the_page_escapes_everything_and_links_only_http(bench: Bench) -> None:
    """What came from outside stays text; there is no inline script or style."""
    answer = await bench.http.get("/delivery")
    assert EVIL not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "javascript:" not in answer.text
    assert 'href="https://app.circleci.com/x"' in answer.text
    assert answer.text.count("<script") == answer.text.count('<script src="/static/') == 1
    assert "style=" not in answer.text
    assert ">1,234<" in answer.text


async def test_tiles_count_what_has_ended_and_tell_the_rest_apart(bench: Bench) -> None:
    """A run that is still going is no run in the figures; it is named beside them."""
    page = (await bench.http.get("/delivery")).text
    assert '<b data-counter="workflows">1,234</b><span>workflows ended</span>' in page
    assert '<span data-unfinished="workflows">6 not yet</span>' in page
    assert '<b data-counter="jobs">0</b><span>jobs ended</span>' in page
    bench.answers.full = False
    assert "not yet" not in (await bench.http.get("/delivery")).text


async def test_the_empty_page_says_what_to_do(bench: Bench) -> None:
    """Nobody looks at a blank table without a word."""
    bench.answers.full = False
    answer = await bench.http.get("/delivery")
    assert answer.status_code == 200
    for text in ("No source is configured: add one", "No run has ended", "none yet", "No sink is configured"):
        assert text in answer.text


async def test_the_live_part_is_the_page_without_its_frame(bench: Bench) -> None:
    """What the script fetches."""
    answer = await bench.http.get("/live")
    assert "<html" not in answer.text
    assert 'data-counter="workflows"' in answer.text


async def test_own_assets_are_served_and_the_api_describes_itself(bench: Bench) -> None:
    """No asset of anybody else."""
    vendored = ("htmx.min.js", "uplot.min.js", "uplot.min.css", "htmx.LICENSE.txt", "uplot.LICENSE.txt")
    for path in ("live.js", "site.js", "page.css", "icon.svg", *(f"vendor/{name}" for name in vendored)):
        answer = await bench.http.get(f"/static/{path}")
        assert (200, "private, no-cache") == (answer.status_code, answer.headers["cache-control"])
        again = await bench.http.get(f"/static/{path}", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
    paths = (await bench.http.get("/api/v1/openapi.json")).json()["paths"]
    assert {"/api/v1/status", "/api/v1/sinks/{name}/reset"} <= set(paths)
    assert {"/", "/projects", "/live"}.isdisjoint(paths)
