"""View models of the overview and of what is going on now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.core.runrows import LiveRow
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.reader import Reader
from headgate.web.site.asked import Asked, Window
from headgate.web.site.groups import Worse, groups, worse
from headgate.web.site.measures import Looks, Place, charts, tiles

__all__ = ["Now", "now_view", "overview_view"]

_TILES = ("runs", "success_rate", "duration_p50", "duration_p95", "credits")
_CHARTS = ("runs", "success", "duration", "credits")
_WORDS = ("running", "queued", "on_hold")
_LIVE = 1000
_SHOWN = 8
# For how long nothing is odd: somebody who has to approve may sleep over it.
_PATIENCE_MS = {"on_hold": DAY_MS}


@dataclass(frozen=True, slots=True)
class Now:
    """What has not ended. `counts`: status -> workflows; `waiting`: jobs that wait for a machine.

    `rows`: workflows, running ones first, then those that wait, of each those that do for longest; `more`: the rest.
    `stuck`: ids of those that run or wait for more than an hour, or are on hold for more than a day.
    """

    counts: Mapping[str, int]
    waiting: int
    rows: Sequence[LiveRow]
    more: int
    stuck: frozenset[str]
    now_ms: int


async def now_view(looks: Looks, project: str | None = None, workflow: str | None = None) -> Now:
    """What is going on, of everything, a project, or a workflow of it."""
    rows = [
        row
        for row in await looks.store.in_flight(_LIVE)
        if project in (None, row.project) and workflow in (None, row.workflow)
    ]
    now_ms = looks.clock.now_ms()
    runs = sorted((row for row in rows if row.kind == "workflow"), key=_order)
    counts = Counter(row.status for row in runs)
    stuck = frozenset(row.id for row in runs if now_ms - row.since_ms > _PATIENCE_MS.get(row.status, HOUR_MS))
    waiting = sum(row.kind == "job" and row.status == "queued" for row in rows)
    listed = {word: counts[word] for word in _WORDS} | {w: n for w, n in counts.items() if w not in _WORDS}
    return Now(listed, waiting, runs[:_SHOWN], max(0, len(runs) - _SHOWN), stuck, now_ms)


def _order(row: LiveRow) -> tuple[int, int, str]:
    place = _WORDS.index(row.status) if row.status in _WORDS else len(_WORDS)
    return place, row.since_ms, row.id


async def overview_view(looks: Looks, asked: Asked) -> Mapping[str, Any]:
    """Everything on the overview but alerts and hints."""
    projects = tuple(one.project for one in await looks.store.projects())
    now = await now_view(looks)
    if not projects:
        return {"projects": (), "now": now, "tiles": (), "charts": (), "worse": (), "busiest": (), "causes": {}}
    reader, place = looks.reader(), Place(projects)
    rows = await groups(reader, place, ("project", "workflow"), asked.window)
    found = worse(rows)
    return {
        "projects": projects,
        "now": now,
        "tiles": await tiles(reader, place, asked.window, _TILES),
        "charts": await charts(reader, place, asked.window, _CHARTS),
        "worse": found,
        "causes": await _causes(reader, projects, asked.window, found),
        "busiest": rows[:10],
    }


async def _causes(
    reader: Reader, projects: tuple[str, ...], window: Window, found: Sequence[Worse]
) -> Mapping[tuple[str, str], tuple[str, int]]:
    """(project, workflow) -> the job that failed most often, and how often; of those that got worse."""
    if not any(one.failed for one in found):
        return {}
    place = Place(projects, over="jobs")
    by = ("project", "workflow", "job")
    bounds = place.bounds(window.since_ms, window.until_ms)
    failed = await reader.measure(place.metric("failed_runs"), by=by, where=(), bounds=bounds)
    most: dict[tuple[str, str], tuple[str, int]] = {}
    for labels, measured in failed.items():
        names, times = dict(labels), round(measured.value or 0)
        key = (names["project"], names["workflow"])
        if times > most.get(key, ("", 0))[1]:
            most[key] = (names["job"], times)
    return most
