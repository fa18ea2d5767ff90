"""The operations behind commands, API and page, answered from the store and, in a daemon, from what runs on it.

Invariant: the same answers in both modes; what only a running daemon knows is null or 0 without one.

Over 400 lines because everything that the API and the commands offer is found in one place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from headgate.alerting.listing import list_alerts
from headgate.app import audits, requests, views
from headgate.app.alertdesk import AlertDesk
from headgate.app.chosen import deliveries_of, in_pieces, letters_of
from headgate.app.deployments import told_deployment, told_key
from headgate.app.following import page_of_log
from headgate.app.notifierstates import notifier_views
from headgate.app.reportdesk import ReportDesk
from headgate.app.running import Running
from headgate.app.workings import StoreWorkings
from headgate.collect.insights import last_reading_ms
from headgate.collect.pacing import LIVE_WINDOW_MS
from headgate.collect.requests import AUDITS, BACKFILLS, BackfillRequest
from headgate.core.clock import Clock
from headgate.core.discovery import DiscoverySource, load_found
from headgate.core.ids import record_id
from headgate.core.release import ReleasePolicy
from headgate.core.slug import short_slug
from headgate.core.storeport import CursorView, MergeWork, Store
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.formats import export, read_format
from headgate.insights.tables import Material
from headgate.insights.views.ask import query_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import Refused, unknown
from headgate.insights.views.window import read_window
from headgate.web.operations import (
    Asked,
    ChosenDeliveries,
    ChosenLetters,
    HistoryKind,
    Json,
    NewSilence,
    Order,
    Problem,
    WantedExport,
    WantedReport,
)
from headgate.web.reading import history_hints

__all__ = ["StoreOperations"]

_READ_BYTES = 100_000
_GAPS = 100
# Whether anything was ever purged matters to `explain`, however long ago.
_ALL_GAPS = 100_000
_MOST_WAITING = 10_000  # messages on their way that a list of alerts speaks of


class StoreOperations(StoreWorkings):
    """`web.operations.Operations` over an open store."""

    def __init__(self, store: Store, clock: Clock, running: Running | None = None) -> None:
        self._running = running or Running()
        super().__init__(
            store, clock, self._running.configuration, lambda: list(self._running.sources()), self._running.kept_files
        )
        self._desk = AlertDesk(store, clock, self._running.turn, self._running.acknowledging, self._running.wake_outbox)
        self._reports = ReportDesk(self.lens, self._running.shelves, self.reading)

    # -- questions

    async def status(self) -> Json:
        """The figures of `headgate status --json`."""
        figures = await self._store.figures()
        sinks: dict[str, dict[str, Json]] = {}
        counts = await self._store.outcome_counts()
        replays = {one.signal: one for one in await self._store.replays()}
        lags = await self._running.lags() if self._running.lags else {}
        for key, lanes in (await self._lanes()).items():
            sink, _, signal = key.partition(".")
            lag = lags[key] if key in lags else await self._lag_seconds(lanes)
            sinks.setdefault(sink, {})[signal] = views.signal_view(lanes, counts.get(key), lag, replays.get(key))
        rates = self._running.call_rates()
        sources = {
            name: views.source_view(
                source,
                await self._store.source_cursors(name),
                await load_found(self._store, name),
                rates.get(name),
                await last_reading_ms(self._store, name),
                now_ms=self._clock.now_ms(),
            )
            for name, source in self._running.sources().items()
        }
        audit = await audits.figures(self._store, list(sources), self._clock)
        records = {name: section.shown() for name, section in self._running.records().items()}
        configured = self._running.configuration()
        names = list(configured.notifiers) if configured else []
        notifiers = await notifier_views(self._store, names, self._clock.now_ms())
        told = views.status_view(figures, sinks, sources, audit, records=records, notifiers=notifiers)
        return told | {"files": dict(self._running.files())}

    async def _lanes(self) -> dict[str, list[CursorView]]:
        lanes: dict[str, list[CursorView]] = {}
        for cursor in await self._store.cursors():
            lanes.setdefault(cursor.signal, []).append(cursor)
        return lanes

    async def _lag_seconds(self, lanes: Sequence[CursorView]) -> float:
        """Age of the oldest record that a signal has not got; 0 when it has all."""
        oldest: int | None = None
        for lane in lanes:
            if lane.waiting:
                entries = await self._store.read_log(lane.signal, lane.lane, lane.acked, limit=1, max_bytes=_READ_BYTES)
                since = [views.observed_ms(entry) for entry in entries]
                oldest = min([*since, oldest] if oldest is not None else since, default=oldest)
        return 0.0 if oldest is None else max(0.0, (self._clock.now_ms() - oldest) / 1000)

    async def overview(self) -> Json:
        """What the page shows."""
        figures = await self._store.figures()
        status = await self.status()
        alerts = await self.alerts()
        return {
            "status": status,
            "facts": dict(figures.facts),
            "ended": {kind: dict(words) for kind, words in figures.statuses.items()},
            "unreleased": figures.unreleased,
            "level": figures.level,
            "runs": await self.runs(25, None),
            "alerts": alerts,
            "completeness": await audits.by_project(self._store, list(status["sources"]), self._clock),
            "hints": [
                *views.parked_hints(figures.inbox_parked),
                *self._hints(status, figures.facts, await self._running.signal_hints()),
                *await self.reading(),
                *views.file_hints(status["files"]),
                *views.gap_hints(await self._store.gaps(_GAPS), self._clock.now_ms()),
            ],
        }

    def _hints(self, status: Json, facts: Mapping[str, int], signals: Sequence[str]) -> list[str]:
        """What is missing or refused, and what to do about it."""
        hints: list[str] = []
        sources = self._running.sources()
        if not sources:
            hints.append("No source is configured: add one under sources: and reload.")
        for name, source in sources.items():
            usage = source.usage() if source else None
            if usage and usage.refused:
                hints.append(f"Source {name} is refused ({usage.refused}): run `headgate check`.")
            if isinstance(source, DiscoverySource):
                orgs = source.found().unknown
                hints += [f"Source {name}: {org} does not answer, its projects are not found yet." for org in orgs]
        hints += [f"Source {name} polls nothing: {text}." for name, text in self._running.idle().items()]
        hints += signals
        if sources and not status["sinks"]:
            hints.append("No sink is configured: records are kept and not forwarded. Add one under sinks: and reload.")
        if sources and not facts.get("workflow"):
            hints.append(
                "Nothing has arrived yet: the first walk of every project takes a minute, webhooks come at once."
            )
        return hints

    async def runs(self, limit: int, project: str | None) -> list[Json]:
        """Ended workflows, newest first."""
        if project is not None:
            project = await self._project(project)
        return [views.run_view(run) for run in await self._store.recent_runs(limit, project=project)]

    async def history(
        self, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int, kind: HistoryKind = "runs"
    ) -> list[Json]:
        """A page of the ended workflows or jobs of a time range."""
        ask = self._store.runs_between if kind == "runs" else self._store.jobs_between
        return [msgspec.structs.asdict(row) for row in await ask(since_ms, until_ms, after=after, limit=limit)]

    async def rule_texts(self) -> list[Json]:
        """Rule files as the daemon read them; empty without one."""
        return [{"file": name, "text": text} for name, text in self._running.rule_texts()]

    async def test_outcomes(
        self, project: str, since_ms: int, until_ms: int, after: tuple[str, str] | None, limit: int, *, failing: bool
    ) -> list[Json]:
        """A page of what came of a project's tests."""
        slug = await self._project(project)
        behind, bounds = (slug, *after) if after else None, {slug: (since_ms, until_ms)}
        return [
            one._asdict() for one in await self._store.test_outcomes(bounds, after=behind, limit=limit, failing=failing)
        ]

    async def alert_history(self, fingerprint: str, limit: int) -> list[Json]:
        """What became of one alert, newest first."""
        lines = await self._store.alert_history(fingerprint, limit)
        return [{"at": format_ms(at_ms), **msgspec.json.decode(line)} for _, at_ms, line in lines]

    async def explain(self, query: str) -> list[Json]:
        """All that is known about a workflow, job or record, and its way as far as it is known."""
        found = await self._store.explain(views.provider_id_of(query))
        if not found:
            raise Problem("unknown", f"nothing is known about {query}; it is not collected yet, or past retention")
        counts, gaps = await self._store.outcome_counts(), await self._store.gaps(_ALL_GAPS)
        signals = self._running.signals()
        shapers = {name: section.shaper() for name, section in self._running.records().items()}
        return [views.explained_view(one, views.ways_of(one, counts, gaps, signals, shapers)) for one in found]

    async def tail(self, after: Mapping[str, int], limit: int) -> Json:
        """The newest records, or the first beyond `after`, and where the next call goes on."""
        entries, reached = await page_of_log(self._store, after, limit)
        return {"records": [views.entry_view(entry) for entry in entries], "after": reached}

    async def dead_letters(
        self, signal: str | None, ids: Sequence[int], limit: int, before: int | None = None
    ) -> list[Json]:
        """Dead letters with the sink's words."""
        letters = await self._store.dead_letters(signal=signal, ids=ids, before=before, limit=limit)
        if signal is not None and not letters:
            await self._signals(signal)
        return [views.dead_letter_view(letter) for letter in letters]

    async def dead_deliveries(self, limit: int, ids: Sequence[int] = (), before: int | None = None) -> list[Json]:
        """Webhooks that were set aside."""
        return [views.delivery_view(row) for row in await self._store.inbox_dead(limit, ids=ids, before=before)]

    async def alerts(self) -> list[Json]:
        """Alert instances that are not inactive."""
        waiting = await self._store.outbox_due(now_ms=self._clock.now_ms() + DAY_MS, limit=_MOST_WAITING)
        return list_alerts(await self._store.alerts(), waiting)

    async def silences(self) -> list[Json]:
        """Silences, also those that ended."""
        return await self._desk.silences()

    # -- actions

    async def acknowledge(self, fingerprint: str, *, by: str, comment: str, verdict: str) -> Json:
        """Say that somebody has seen a firing alert."""
        return await self._desk.acknowledge(fingerprint, by=by, comment=comment, verdict=verdict)

    async def silence(self, wanted: NewSilence) -> Json:
        """Make a silence."""
        return await self._desk.silence(wanted)

    async def expire_silence(self, number: int, *, by: str, comment: str) -> Json:
        """End a silence now."""
        return await self._desk.expire(number, by=by, comment=comment)

    async def replay_dead(self, chosen: ChosenLetters) -> int:
        """Send dead letters again, but those of signals that were removed."""
        count = await in_pieces(found := await self._letters(chosen), self._store.requeue_dead)
        if found and not count and (left := await self._store.dead_letters(ids=found[:1], limit=1)):
            await self._signals(left[0].signal, removed=False)
        self._running.wake()
        return count

    async def purge_dead(self, chosen: ChosenLetters) -> int:
        """Forget dead letters."""
        return await in_pieces(await self._letters(chosen), self._store.purge_dead)

    async def _letters(self, chosen: ChosenLetters) -> Sequence[int]:
        found = await letters_of(self._store, chosen)
        if chosen.signal is not None and not found:
            await self._signals(chosen.signal)
        return found

    async def replay_deliveries(self, chosen: ChosenDeliveries) -> int:
        """Merge webhooks that were set aside again; a running daemon sees them within seconds."""
        return await in_pieces(await deliveries_of(self._store, chosen), self._store.requeue_inbox)

    async def purge_deliveries(self, chosen: ChosenDeliveries) -> int:
        """Forget webhooks that were set aside."""
        return await in_pieces(await deliveries_of(self._store, chosen), self._store.purge_inbox)

    async def replay(self, sink: str, since_ms: int, until_ms: int) -> list[Json]:
        """Send a time range to every signal of a sink again."""
        if since_ms >= until_ms:
            raise Problem("refused", "the range is empty: --since must be before --until")
        opened = []
        for key in await self._signals(sink, removed=False):
            try:
                opened.append(await self._store.open_replay(key, since_ms=since_ms, until_ms=until_ms))
            except ValueError as exc:
                raise Problem("busy", f"{key}: {exc}") from exc
        self._running.wake()
        return [views.replay_view(one) for one in opened]

    async def reset_sink(self, sink: str, start: Literal["now", "retained"] | int) -> list[str]:
        """Forget the cursors and destination of a sink."""
        keys = await self._signals(sink)
        for key in keys:
            if self._running.reset is not None:
                await self._running.reset(key, start)
            else:
                await self._store.reset_signal(key, start=start)
        self._running.wake()
        return keys

    async def deployment(self, told: Mapping[str, Any]) -> Json:
        """Keep a deployment under the name of the source that its project belongs to."""
        source, host = self._source_of(told.get("source"))
        now_ms = self._clock.now_ms()
        key = told_key(told)
        new = not await self._store.explain(record_id("deployment", host, key))
        seen = told_deployment(told, host, known=not new, now_ms=now_ms)
        work = MergeWork(
            source=source,
            observations=(seen,),
            policy=ReleasePolicy("none"),
            now_ms=now_ms,
            live_after_ms=now_ms - LIVE_WINDOW_MS,
            app_url=self._running.app_urls()[source],
        )
        await self._store.merge_and_release(work)
        self._running.wake()
        return {"id": record_id("deployment", host, key), "new": new}

    def _source_of(self, name: str | None) -> tuple[str, str]:
        """A source's name and host: the one that was named, else the only one."""
        hosts = {known: source.host for known, source in self._running.sources().items() if source is not None}
        if name is None and len(set(hosts.values())) == 1:
            return next(iter(hosts.items()))
        if name not in hosts:
            names = ", ".join(sorted(hosts)) or "none"
            raise Problem("unknown", f"say which source the project belongs to, as source; known: {names}")
        return name, hosts[name]

    async def _project(self, slug: str) -> str:
        """Its short form, of a project that is known."""
        known = {row.project for row in await self._store.projects()}
        found = short_slug(slug)
        if found not in known:
            raise Problem("unknown", str(unknown("unknown-project", "project", slug, known)))
        return found

    async def _signals(self, sink: str, *, removed: bool = True) -> list[str]:
        """Keys of a sink's signals, or the one key that was named; also of those that are not configured any more."""
        known = {cursor.signal: cursor.state for cursor in await self._store.cursors()}
        keys = [key for key in sorted(known) if key == sink or key.partition(".")[0] == sink]
        if not keys:
            names = ", ".join(sorted({key.partition(".")[0] for key in known})) or "none"
            raise Problem("unknown", f"no sink called {sink}; known: {names}")
        there = [key for key in keys if removed or known[key] != "removed"]
        if not there:
            raise Problem("refused", f"{sink} was removed, nothing is sent to it: configure it again and reload first")
        return there

    async def backup(self, path: str) -> Json:
        """Copy the store."""
        if not await asyncio.to_thread(_may_write, Path(path)):
            raise Problem(
                "refused", f"{path}: give an absolute path of a file that does not exist in a directory that does"
            )
        await self._store.backup(path)
        return {"path": path, "bytes": (await asyncio.to_thread(Path(path).stat)).st_size}

    async def backfill(self, order: Order) -> list[Json]:
        """Ask for history; a running daemon begins at once."""
        made = await requests.ask(self._store, self._running.polled(), order, self._clock, BACKFILLS)
        self._running.wake_backfills()
        return self._backfill_views(made)

    async def backfills(self) -> list[Json]:
        """Requests for history and how far they are."""
        return self._backfill_views(await requests.listed(self._store, self._running.polled(), BACKFILLS))

    def _backfill_views(self, found: Sequence[tuple[str, BackfillRequest]]) -> list[Json]:
        now_ms = self._clock.now_ms()
        return [requests.backfill_view(name, one, now_ms) for name, one in found]

    async def audit(self, order: Order) -> list[Json]:
        """Ask for an audit; a running daemon begins at once."""
        made = await requests.ask(self._store, self._running.polled(), order, self._clock, AUDITS)
        self._running.wake_audits()
        return [requests.audit_view(name, one) for name, one in made]

    async def audits(self) -> list[Json]:
        """Requests for audits and what came out."""
        found = await requests.listed(self._store, self._running.polled(), AUDITS)
        return [requests.audit_view(name, one) for name, one in found]

    def lens(self) -> Lens:
        """What pages and the API of insights are made from, at this moment."""
        running = self._running
        return Lens(
            self._store,
            self._clock.now_ms(),
            running.catalogue(),
            running.owners(),
            running.behind_ms(),
            running.classes(),
            running.budgets(),
        )

    async def query(self, asked: Asked) -> Json:
        """A metric by group and over time."""
        lens = self.lens()
        try:
            page = await query_page(
                lens,
                metric=asked.metric,
                by=asked.by,
                where=asked.where,
                window=read_window(asked.since, asked.until, asked.window, now_ms=lens.now_ms),
                step=asked.step,
                cursor=asked.cursor,
                limit=asked.limit,
            )
        except Refused as exc:
            raise Problem("unknown" if exc.missing else "refused", str(exc)) from exc
        answer: Json = orjson.loads(orjson.dumps(page))
        return answer

    async def export(self, wanted: WantedExport) -> AsyncIterator[bytes]:
        """A table as the bytes of a file."""
        try:
            form = read_format(wanted.form)
            made = await export(Material(self.lens(), self), wanted.table, form, wanted.words)
        except Refused as exc:
            valid = f"; valid: {', '.join(exc.valid)}" if exc.valid else ""
            raise Problem("unknown" if exc.missing else "refused", f"{exc}{valid}") from exc
        async for chunk in made.chunks:
            yield chunk

    async def reading(self) -> list[str]:
        """What is said of history while it is still read."""
        return history_hints(await self.backfills())

    async def report(self, wanted: WantedReport) -> str:
        """A review as one file of HTML."""
        return await self._reports.make(wanted)

    async def saved_reports(self) -> list[Json]:
        """Reports that were saved."""
        return await self._reports.saved()

    async def saved_report(self, name: str, file: str) -> str:
        """One of them."""
        return await self._reports.read(name, file)

    async def trail(self, since_ms: int, before: int | None, limit: int, action: str = "") -> list[Json]:
        """Who did what, newest first."""
        entries = await self._store.trail(since_ms=since_ms, before=before, limit=limit, action=action)
        return [views.trail_view(entry) for entry in entries]

    async def reload(self) -> Json:
        """Read the configuration again."""
        return await self._running.reload()


def _may_write(target: Path) -> bool:
    """Whether a new file can be made there."""
    return target.is_absolute() and not target.exists() and target.parent.is_dir()
