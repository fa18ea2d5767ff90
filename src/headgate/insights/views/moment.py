"""What goes on at this moment, read from the store: all that has not ended, and what is usual for what takes long.

Invariant: what is usual is the p95 of the last seven days, whatever window a page is about, so that every page counts
the same as stuck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.runrows import LiveChoice, LiveRow
from headgate.core.times import MINUTE_MS
from headgate.insights.views.figures import measured
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.live import LIVE, LIVE_READ, LIVE_SHOWN, STUCK_SECONDS, Now, now_view
from headgate.insights.views.window import read_window

__all__ = ["Usual", "live_counts", "now_of"]

_USUAL_MS = 5 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Usual:
    """`runs`: (project, workflow) -> p95 of a run, seconds; `waits`: project -> p95 of the queue; of these projects."""

    at_ms: int = 0
    projects: frozenset[str] = frozenset()
    runs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    waits: Mapping[str, float] = field(default_factory=dict)

    def covers(self, projects: Iterable[str], now_ms: int) -> bool:
        """Whether these projects are in it, and it is not too old."""
        return self.projects.issuperset(projects) and abs(now_ms - self.at_ms) < _USUAL_MS


async def now_of(
    lens: Lens,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    *,
    known: Usual = Usual(),
    most: int = LIVE_SHOWN,
) -> tuple[Now, Usual]:
    """What runs, is queued, on hold or stuck, of what filters take, so many rows at most; and what is usual."""
    counts, rows = await _read_going(lens, filters, most)
    usual = await _read_usual(lens, rows, known)
    now = now_view(rows, now_ms=lens.now_ms, usual_run=usual.runs, usual_wait=usual.waits, counts=counts, most=most)
    return now, usual


async def live_counts(lens: Lens, filters: Filters) -> Mapping[tuple[str, str, str, str], int]:
    """(status, project, workflow, job) -> how many go on, of those that filters take."""
    found = await lens.store.live_counts(filters.choice())
    return {key: n for key, n in found.items() if lens.takes(filters, *key[1:])}


async def _read_going(lens: Lens, filters: Filters, most: int) -> tuple[Mapping[str, int], Sequence[LiveRow]]:
    """Status -> how many; the newest that run or are queued, and the oldest on hold, as many as are looked at."""
    counts: Counter[str] = Counter()
    places: dict[str, set[tuple[str, str, str]]] = {}
    for (status, *place), n in (await live_counts(lens, filters)).items():
        counts[status] += n
        places.setdefault(status, set()).add((place[0], place[1], place[2]))
    rows: list[LiveRow] = []
    for status, kind in LIVE.items():
        if counts[status]:
            some = places[status] if filters.org or filters.team else None
            chosen, held = LiveChoice(kind, (status,), some, filters.choice()), status == "on_hold"
            rows += await lens.store.in_flight(most if held else max(LIVE_READ, most), chosen, newest=not held)
    return counts, rows


async def _read_usual(lens: Lens, rows: Sequence[LiveRow], known: Usual) -> Usual:
    """What is usual in the projects of rows that may be stuck; what is known, where that covers them."""
    slow = {
        row.project for row in rows if row.status != "on_hold" and lens.now_ms - row.since_ms > STUCK_SECONDS * 1000
    }
    if known.covers(slow, lens.now_ms):
        return known
    bounds, reader = read_window(None, None, None, now_ms=lens.now_ms).bounds(sorted(slow)), lens.reader()
    flows = await measured(reader, lens.metrics(("duration_p95",)), by=("project", "workflow"), where=(), bounds=bounds)
    waits = await measured(reader, lens.metrics(("queue_p95",)), by=("project",), where=(), bounds=bounds)
    return Usual(
        lens.now_ms,
        frozenset(slow),
        {
            (names["project"], names["workflow"]): value
            for labels, found in flows.items()
            if (value := found["duration_p95"].value) is not None and (names := dict(labels))
        },
        {
            dict(labels)["project"]: value
            for labels, found in waits.items()
            if (value := found["queue_p95"].value) is not None
        },
    )
