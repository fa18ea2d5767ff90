"""Live collection from a twin on a clock of its own: what a day of it costs in calls, within seconds.

Invariant: the parts of the collect engine, the CircleCI source and the SQLite store are the real ones; one step is one
minute of the twin's clock and of the daemon's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from headgate.collect.audit import Auditor
from headgate.collect.enrich import Enricher
from headgate.collect.inbox import InboxMerger
from headgate.collect.intake import Intake
from headgate.collect.revisit import Revisiter
from headgate.collect.settings import settings_from
from headgate.collect.state import Polled, ScopeState
from headgate.collect.walk import try_walk
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, Delivery
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.source import CircleCISource
from headgate.store import SqliteStore
from headgate.testing.circleci import Twin

STEP_SECONDS = 60.0
# The clock stands still within a step, so that nothing waits for a budget.
BUDGET = {"per_second": 100_000, "burst": 100_000}


@contextmanager
def webhook_catcher() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers 200 and keeps every body."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Simulation:
    """One source on a twin. `lose`: every so many-th webhook never comes; `lost`: nor do those that hold this."""

    def __init__(self, twin: Twin, bodies: list[bytes], folder: Path, config: dict[str, Any]) -> None:
        self.twin, self.bodies, self.lose, self.lost = twin, bodies, 0, b"nothing"
        now = datetime.fromisoformat(twin.about()["now"])
        self.clock = ManualClock(round(now.timestamp() * 1000))
        metrics = NullMetrics()
        made = CircleCIConfig(
            **{"base_url": twin.base_url, "token": twin.token, "allow_unsigned": True, "budget": BUDGET, **config}
        )
        self.source = CircleCISource("ci", made, BuildContext(self.clock, metrics, "test"))
        self.store = SqliteStore(folder / "headgate.db", clock=self.clock, metrics=metrics)
        self.polled = Polled(self.source, settings_from(made), self.clock, metrics)
        self.intake = Intake(self.store, clock=self.clock, metrics=metrics)
        self.inbox = InboxMerger(self.store, self.intake, {"ci": self.polled}, self.clock, metrics)
        self.revisiter = Revisiter(self.store, self.intake, self.polled)
        self.auditor = Auditor(self.store, self.intake, self.polled, self.source)
        self.enricher = Enricher(self.store, self.intake, self.polled)
        self._sent = 0

    async def open(self) -> None:
        """Find the projects and walk what lies before the start."""
        await self.store.open()
        for scope in await self.source.scopes():
            self.polled.scopes[scope.key] = ScopeState(scope)
        self.polled.discovered = True
        await self._ask()

    async def live(self, hours: float) -> Counter[str]:
        """Let time pass; gives the calls of it by route."""
        self.twin.reset_calls()
        for _ in range(round(hours * 3600 / STEP_SECONDS)):
            self.twin.advance(STEP_SECONDS)
            self.clock.advance(STEP_SECONDS)
            await self._deliver()
            await self._ask()
        return Counter(self.twin.calls())

    async def _deliver(self) -> None:
        taken, self.bodies[:] = self.bodies[:], []
        arrived = self.clock.now_ms()
        kept = []
        for body in taken:
            self._sent += 1
            if self.lost not in body and (not self.lose or self._sent % self.lose):
                kept.append(Delivery("ci", arrived, str(self._sent), "application/json", body))
        if kept:
            await self.store.accept(kept)
        while await self.inbox.once():
            """Until the inbox is empty."""

    async def _ask(self) -> None:
        for state in self.polled.scopes.values():
            await try_walk(self.polled, state, self.intake)
        await self.revisiter.once()
        await self.auditor.once()
        await self.enricher.once()

    async def missing(self, *, minutes: float = 0) -> list[str]:
        """Ids of what has finished since the start by the twin's truth and is not kept with its end.

        `minutes`: leave out what ended in the last ones, and what has no time of its end.
        """
        wanted: dict[str, list[str]] = {"workflow": [], "job": []}
        before = datetime.fromisoformat(self.twin.about()["now"]) - timedelta(minutes=minutes)
        for one in self.twin.truth(self.twin.about()["started"]):
            stopped = one["final"].get("circleci.stopped_at")
            if one["kind"] in wanted and (not minutes or (stopped and datetime.fromisoformat(stopped) < before)):
                wanted[one["kind"]].append(one["provider_id"])
        found = []
        for kind, keys in wanted.items():
            kept = await self.store.kept(kind, keys)  # type: ignore[arg-type]  # the two words above
            found += [f"{kind} {key}" for key in keys if key not in kept or not kept[key].ended]
        return found


@asynccontextmanager
async def simulation(
    folder: Path, config: dict[str, Any], *, webhooks: bool = True, **twin: Any
) -> AsyncIterator[Simulation]:
    """A simulation of these settings, walked and ready."""
    with webhook_catcher() as (url, bodies), Twin(webhook_url=url if webhooks else None, **twin) as running:
        made = Simulation(running, bodies, folder, config)
        try:
            await made.open()
            yield made
        finally:
            await made.source.aclose()
            await made.store.close()
