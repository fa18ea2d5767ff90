"""The collect engine: everything between the sources and the store, as one object that runs until it is canceled.

Invariant: it knows sources by core.ports and the store by core.storeport alone; it keeps nothing that a restart would
miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headgate.collect.audit import Auditor
from headgate.collect.backfill import Backfiller
from headgate.collect.details import Details
from headgate.collect.due import DueReleaser
from headgate.collect.enrich import Enricher
from headgate.collect.estimate import CallRates, Forecaster
from headgate.collect.inbox import InboxMerger
from headgate.collect.insights import InsightReader
from headgate.collect.intake import Intake, Sleep, nobody
from headgate.collect.poll import Poller
from headgate.collect.refresh import Refresher
from headgate.collect.requests import AUDITS, BACKFILLS
from headgate.collect.revisit import Revisiter
from headgate.collect.settings import SourceSettings, hurried
from headgate.collect.state import Polled, first_error
from headgate.core.audits import AuditSource
from headgate.core.clock import Clock
from headgate.core.details import DetailSource
from headgate.core.discovery import DiscoverySource, load_found
from headgate.core.errors import SourceUnavailable
from headgate.core.feeds import FeedSource, InsightSource
from headgate.core.metrics import Metrics
from headgate.core.ports import Source, SourceUsage
from headgate.core.storeport import Store

__all__ = ["Collector", "SourceStatus"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Figures of one source for `status` and the page.

    `refused`: reason while the source refuses us, else empty. `complete_ms`: scope slug -> start of its last complete
    walk, now where webhooks are proven to tell of it, None before the first. `troubles`: scope slug, or organisation
    that was never looked through -> what is wrong.
    """

    usage: SourceUsage
    refused: str
    complete_ms: Mapping[str, int | None]
    troubles: Mapping[str, str]


class _Part(Protocol):
    async def run(self) -> None: ...


class Collector:
    """Merges the inbox, polls, revisits, enriches and releases. Build one, `run` it once, cancel to stop.

    `hurry`: for `run --until-idle`, where nothing is live: enrichment does not wait for company, and what it cannot
    tell about is not waited for as long.
    `on_released` is called after records came into the log, so that delivery need not look for them.
    """

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, tuple[Source, SourceSettings]],
        *,
        clock: Clock,
        metrics: Metrics,
        hurry: bool = False,
        on_released: Callable[[], None] = nobody,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._sources = {
            name: Polled(source, hurried(settings) if hurry else settings, clock, metrics)
            for name, (source, settings) in sources.items()
        }
        self._intake = Intake(store, clock=clock, metrics=metrics, on_released=on_released, sleep=sleep)
        self._inbox = InboxMerger(store, self._intake, self._sources, clock, metrics)
        self._poller = Poller(store, self._intake, self._sources, clock, metrics)
        self._due = DueReleaser(store, self._intake, self._sources, clock)
        polled = [found for found in self._sources.values() if found.settings.poll_enabled]
        self._revisiters = [Revisiter(store, self._intake, found, hurry=hurry, sleep=sleep) for found in polled]
        self._auditors = [
            Auditor(store, self._intake, found, found.source, sleep=sleep)
            for found in polled
            if isinstance(found.source, AuditSource)
        ]
        self._backfillers = {
            found.name: Backfiller(store, self._intake, found, found.source, sleep=sleep)
            for found in polled
            if isinstance(found.source, FeedSource)
        }
        # Whoever waits for us to be idle wants what is there, not what will be exported.
        self._refreshers = [
            Refresher(store, self._sources[name], found, backfiller, sleep=sleep)
            for name, backfiller in self._backfillers.items()
            if not hurry and (found := backfiller.refresh) is not None
        ]
        self._insight_readers = [
            InsightReader(store, self._intake, found, found.source, hurry=hurry, sleep=sleep)
            for found in polled
            if isinstance(found.source, InsightSource)
        ]
        self._forecasters = {name: Forecaster(store, found, sleep=sleep) for name, found in self._sources.items()}
        self._enrichers = [Enricher(store, self._intake, found, hurry=hurry) for found in self._sources.values()]
        self._details = {
            name: Details(store, self._intake, found, found.source, sleep=sleep)
            for name, found in self._sources.items()
            if isinstance(found.source, DetailSource) and found.source.follows_jobs()
        }

    async def run(self) -> None:
        """Collect until canceled. Raises StoreFailed (in no group), after which the process must stop."""
        for polled in self._sources.values():
            polled.cursors = dict(await self._store.source_cursors(polled.name))
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, part in self._parts():
                    tasks.create_task(part.run(), name=name)
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    def _parts(self) -> Sequence[tuple[str, _Part]]:
        """Everything that runs, by name."""
        return (
            ("inbox", self._inbox),
            ("poller", self._poller),
            ("due", self._due),
            *(("revisiter", one) for one in self._revisiters),
            *(("auditor", one) for one in self._auditors),
            *(("backfiller", one) for one in self._backfillers.values()),
            *(("refresher", one) for one in self._refreshers),
            *(("insights", one) for one in self._insight_readers),
            *(("forecaster", one) for one in self._forecasters.values()),
            *(("enricher", one) for one in self._enrichers),
            *(("details", one) for one in self._details.values()),
        )

    def wake(self) -> None:
        """The receiver stored a delivery. Cheap; call it from the event loop."""
        self._inbox.wake()

    def wake_backfills(self) -> None:
        """A request for history was stored. Call it from the event loop."""
        for backfiller in self._backfillers.values():
            backfiller.wake()

    def history_read(self) -> tuple[int, bool]:
        """How many requests for history were done, and whether one is under way."""
        loops = self._backfillers.values()
        return sum(one.done for one in loops), any(one.reading for one in loops)

    def wake_audits(self) -> None:
        """A request for an audit was stored. Call it from the event loop."""
        for auditor in self._auditors:
            auditor.wake()

    async def waiting_for(self) -> list[str]:
        """What is still to be done, in words; empty when everything the sources had at start is collected."""
        reasons = [reason for polled in self._sources.values() for reason in _polling(polled)]
        reasons += await self._orders()
        reasons += [f"{scope.slug}: Insights is not read yet" for one in self._insight_readers for scope in one.due()]
        figures = await self._store.figures()
        if figures.inbox_waiting:
            reasons.append(f"{figures.inbox_waiting} deliveries wait in the inbox")
        if figures.unreleased:
            reasons.append(f"{figures.unreleased} ended facts wait to be released")
        if not reasons:
            found = {name: details.waiting(figures.log_head) for name, details in self._details.items()}
            reasons = [f"{name}: {reason}" for name, reason in found.items() if reason]
        return reasons or await self._unanswered()

    async def _unanswered(self) -> list[str]:
        """Runs that may have ended since they were heard of. Last, as it asks the store for a list."""
        waiting = [(one.name, await one.waiting()) for one in self._revisiters]
        return [f"{name}: {count} unfinished runs are not asked about yet" for name, count in waiting if count]

    async def _orders(self) -> list[str]:
        """Backfills and audits that were asked for and are not done."""
        reasons = []
        for name in self._backfillers:
            backfills = await BACKFILLS.unfinished(self._store, name)
            reasons += [f"{name}: backfill {one.id} is under way ({one.share:.0%})" for one in backfills]
        for auditor in self._auditors:
            audits = await AUDITS.unfinished(self._store, auditor.name)
            reasons += [f"{auditor.name}: audit {one.id} is under way" for one in audits]
        return reasons

    def watermark_ms(self, source: str, slug: str | None = None) -> int | None:
        """Up to when runs are known completely, by the source's clock (`status`).

        Of one scope, or the lowest of all; None where anything was never walked, or nothing is polled.
        """
        polled = self._sources.get(source)
        marks = polled.complete_ms() if polled else {}
        wanted = list(marks.values()) if slug is None else [marks.get(slug)]
        known = [mark for mark in wanted if mark is not None]
        return min(known) if known and len(known) == len(wanted) else None

    async def complete_ms(self) -> dict[str, Mapping[str, int | None]]:
        """By source name as `SourceStatus.complete_ms`; as it was stored, until anything is found since the start.

        Empty for a source that polls nothing; one of which it is not known yet whether it will is left out.
        """
        found = {name: await self._complete_ms(polled) for name, polled in self._sources.items()}
        return {name: known for name, known in found.items() if known or self._sources[name].asked}

    async def _complete_ms(self, polled: Polled) -> Mapping[str, int | None]:
        if polled.asked or polled.scopes:
            return polled.complete_ms()
        cursors = await self._store.source_cursors(polled.name)
        found = (await load_found(self._store, polled.name)).scopes()
        return {scope.slug: one.complete_ms if (one := cursors.get(scope.key)) else None for scope in found}

    def call_rates(self) -> dict[str, CallRates]:
        """Calls an hour by source: the estimate by parts, and what was seen."""
        return {name: forecaster.rates() for name, forecaster in self._forecasters.items()}

    def status(self) -> dict[str, SourceStatus]:
        """Live figures by source name."""
        return {
            name: SourceStatus(
                usage=polled.source.usage(),
                refused=polled.refused,
                complete_ms=polled.complete_ms(),
                troubles={
                    **{state.scope.slug: state.trouble for state in polled.scopes.values() if state.trouble},
                    **dict.fromkeys(_unknown(polled), SourceUnavailable.__name__),
                },
            )
            for name, polled in self._sources.items()
        }


def _polling(polled: Polled) -> list[str]:
    """What polling has still to do since the start."""
    if not polled.settings.poll_enabled:
        return []
    reasons = []
    if not polled.discovered:
        reasons.append(f"{polled.name}: projects are not found yet{_because(polled.refused)}")
    reasons += [f"{polled.name}: projects of {org} are not found yet (it does not answer)" for org in _unknown(polled)]
    for state in polled.scopes.values():
        if not state.walked:
            reasons.append(
                f"{polled.name}: {state.scope.slug} is not walked yet{_because(polled.refused or state.trouble)}"
            )
        elif not state.audited and isinstance(polled.source, AuditSource):
            reasons.append(f"{polled.name}: {state.scope.slug} is not audited yet{_because(polled.refused)}")
    if polled.discovered and polled.scopes and not polled.revisited:
        reasons.append(f"{polled.name}: unfinished runs are not asked about yet")
    return reasons


def _unknown(polled: Polled) -> Sequence[str]:
    """Organisations whose projects are not known, as they did not answer yet."""
    return polled.source.found().unknown if isinstance(polled.source, DiscoverySource) else ()


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""
