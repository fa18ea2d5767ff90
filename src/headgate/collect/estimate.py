"""How many calls an hour a source will make, by what for: a pure estimate, and the live rate beside it.

Invariant: an estimate is made of settings, projects and the last day's runs alone; it never asks the source.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from headgate.collect.audit import ROUND_SECONDS
from headgate.collect.intake import Sleep
from headgate.collect.pacing import walk_seconds
from headgate.collect.settings import SourceSettings
from headgate.collect.state import Polled, forgiving
from headgate.core.audits import AuditSource
from headgate.core.details import DetailSource
from headgate.core.feeds import RegularSource
from headgate.core.runs import run_pages
from headgate.core.storeport import Store
from headgate.core.times import DAY_MS

__all__ = ["Activity", "CallRates", "Forecaster", "estimate_calls"]

_AGAIN_SECONDS = 600.0
_TICK_SECONDS = 60.0
_LIVE_TICKS = 10  # the live rate is that of so many minutes
_LISTS = 2  # that an audit reads: pipelines and builds
_BELOW = 2  # calls for what belongs to one run: its workflows, their jobs
_HOUR = 3600.0
_log = structlog.get_logger("headgate.collect")


@dataclass(frozen=True, slots=True)
class Activity:
    """The last day of a source. `seconds`: of all runs together; `active`: projects that ran anything.

    `workflows`: different ones, by project and name.
    """

    runs: int = 0
    unsuccessful: int = 0
    jobs: float = 0.0
    seconds: float = 0.0
    active: int = 0
    workflows: int = 0


@dataclass(frozen=True, slots=True)
class CallRates:
    """Calls an hour: `parts` of the estimate by what they are for, `live` of the last minutes (None: too early)."""

    parts: Mapping[str, float]
    live: float | None


def estimate_calls(
    settings: SourceSettings,
    day: Activity,
    *,
    projects: int,
    told: int,
    audited: bool,
    per_job: Mapping[str, float],
) -> dict[str, float]:
    """Calls an hour by part: walks, audits, runs, enrichment, and details by kind.

    `told`: projects whose webhooks tell everything. `per_job`: calls for each job's details. The rest is as
    collect.pacing does it, with every active project active all day.
    """
    every = settings.poll_every_ms / 1000
    share = told / projects if projects else 0.0
    runs, jobs = day.runs / 24, day.jobs / 24
    asked = _BELOW * (runs + day.seconds / 24 / every)
    unrun = _BELOW * day.unsuccessful / 24 if settings.ask_unrun else 0.0
    busy = max(0, min(day.active, projects) - told)
    walks = [(busy, 0.0, False), (projects - told - busy, _HOUR * 24, False), (told, 0.0, True)]
    parts = {
        "walks": sum(many * _HOUR / walk_seconds(every, quiet, told=proven) for many, quiet, proven in walks)
        if settings.poll_enabled
        else 0.0,
        "audits": projects * _LISTS * _HOUR / ROUND_SECONDS if audited else 0.0,
        "runs": ((1 - share) * asked + share * unrun) if settings.poll_enabled else 0.0,
        "enrichment": {"none": 0.0, "batch": min(jobs, 60.0 * day.active), "each": jobs}[settings.policy.profile],
        **{f"details.{kind}": calls * jobs for kind, calls in per_job.items()},
    }
    return {part: calls for part, calls in parts.items() if calls}


class Forecaster:
    """The loop of one source: an estimate at the start and every ten minutes, and the live rate every minute."""

    def __init__(self, store: Store, polled: Polled, *, sleep: Sleep = asyncio.sleep) -> None:
        self._store = store
        self._polled = polled
        self._sleep = sleep
        self._parts: dict[str, float] = {}
        self._calls: deque[tuple[float, int]] = deque(maxlen=_LIVE_TICKS + 1)

    def rates(self) -> CallRates:
        """What is known now."""
        return CallRates(dict(self._parts), self._live())

    async def run(self) -> None:
        """Estimate for ever; the first estimate is logged."""
        while self._polled.settings.poll_enabled and not self._polled.discovered:
            await self._sleep(1.0)
        said = False
        while True:
            with forgiving(self._polled, "estimate_failed"):
                await self.once()
                if not said:
                    self._say()
                said = True
            for _ in range(round(_AGAIN_SECONDS / _TICK_SECONDS)):
                self._calls.append((self._polled.clock.monotonic(), self._polled.source.usage().calls))
                await self._sleep(_TICK_SECONDS)

    async def once(self) -> None:
        """Estimate now."""
        polled = self._polled
        states = polled.scopes.values()
        day = await self._day({state.scope.slug for state in states})
        regular: Mapping[str, float] = {}
        if isinstance(polled.source, RegularSource):
            regular = polled.source.regular_calls(projects=len(states), workflows=day.workflows)
        self._parts = estimate_calls(
            polled.settings,
            day,
            projects=len(states),
            told=sum(polled.is_told(key) for key in polled.scopes),
            audited=polled.settings.poll_enabled and isinstance(polled.source, AuditSource),
            per_job=polled.source.calls_per_job() if isinstance(polled.source, DetailSource) else {},
        ) | dict(regular)

    async def _day(self, slugs: Collection[str]) -> Activity:
        """The last day as the store knows it; jobs by the average of all that is kept."""
        now_ms = self._polled.clock.now_ms()
        rows = []
        async for page in run_pages(self._store, now_ms - DAY_MS, now_ms):
            rows += [row for row in page if row.project in slugs or not slugs]
        facts = (await self._store.figures()).facts
        each = facts.get("job", 0) / max(1, facts.get("workflow", 0))
        return Activity(
            runs=len(rows),
            unsuccessful=sum(row.status != "success" for row in rows),
            jobs=len(rows) * each,
            seconds=sum((row.duration_ms or 0) for row in rows) / 1000,
            active=len({row.project for row in rows}),
            workflows=len({(row.project, row.workflow) for row in rows}),
        )

    def _live(self) -> float | None:
        if len(self._calls) < 2:
            return None
        (since, first), (until, last) = self._calls[0], self._calls[-1]
        return (last - first) / max(1.0, until - since) * _HOUR

    def _say(self) -> None:
        total = round(sum(self._parts.values()))
        _log.info(
            "calls_estimated",
            source=self._polled.name,
            message=f"about {total} calls an hour",
            projects=len(self._polled.scopes),
            parts={part: round(calls, 1) for part, calls in self._parts.items()},
        )
