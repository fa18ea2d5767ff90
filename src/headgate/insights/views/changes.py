"""What happened between two looks at the store: runs that began and ended, alerts, sinks, counts.

Invariant: looks that follow one another tell each begin and end of a run once, so long as it is among the newest when
it is collected; what ended more than an hour before that is history, and nothing that happens now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from headgate.core.readport import CursorView, ReadStore, StoreFigures
from headgate.core.runrows import LiveChoice, LiveRow, RunRow
from headgate.core.tally import class_name
from headgate.core.times import HOUR_MS, format_ms
from headgate.insights.views.lens import Lens
from headgate.insights.views.live import Now
from headgate.insights.views.moment import Usual, now_of
from headgate.insights.views.runs import run_view

__all__ = ["EVENTS", "Change", "EventName", "Moment", "changes", "read_moment"]

EventName = Literal["run-started", "run-finished", "alert", "sink", "now", "delivery"]
EVENTS: Mapping[EventName, str] = {
    "run-started": "a run is known that was not: `id`, `project`, `workflow`, `branch`, `branch_class`, `since`, `url`",
    "run-finished": "a run ended: what `/api/v1/insights/runs` says of it",
    "alert": "an alert went from one state to another: a line of `/api/v1/alerts/FINGERPRINT/history`, with its"
    " `fingerprint`",
    "sink": "a signal went from one state to another: `signal`, `from`, `to`, `reason`",
    "now": "these counts are others: `running`, `queued`, `on_hold`, `stuck`",
    "delivery": "records came in or went out: `waiting`, over all signals, and `inbox`, webhooks to be merged",
}
# So many of the newest are looked at; more than that in one second are not told one by one.
_NEWEST = 200
_NEWEST_OPEN = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened. `data`: what is told of it, plain JSON data or a view."""

    event: EventName
    data: Any


@dataclass(frozen=True, slots=True)
class Moment:
    """One look. `runs`: the newest that have not ended, by id; `ended`: the newest, by id.

    `alerts`: the newest lines of their history.
    """

    at_ms: int
    now: Now
    runs: Mapping[str, LiveRow]
    ended: Mapping[str, RunRow]
    alerts: tuple[tuple[str, int, bytes], ...]
    signals: Mapping[str, CursorView]
    cursors: tuple[CursorView, ...]
    figures: StoreFigures
    usual: Usual


async def read_moment(lens: Lens, known: Usual) -> Moment:
    """Look at the store. `known`: what the last look found to be usual."""
    store: ReadStore = lens.store
    now, usual = await now_of(lens, known=known)
    newest = await store.in_flight(_NEWEST_OPEN, LiveChoice("workflow"), newest=True)
    cursors = tuple(await store.cursors())
    return Moment(
        at_ms=lens.now_ms,
        now=now,
        runs={row.id: row for row in newest},
        ended={run.workflow_id: run for run in await store.recent_runs(_NEWEST)},
        alerts=tuple(await store.alert_history(None, _NEWEST)),
        signals={one.signal: one for one in cursors if one.lane == "live"},
        cursors=cursors,
        figures=replace(await store.figures(), bytes=0, inbox_oldest_ms=None),
        usual=usual,
    )


def changes(before: Moment, after: Moment) -> Iterator[Change]:
    """What happened in between, runs in the order of their end, alerts in that of their history."""
    # Where there are more than were looked at, older ones come into sight again as others end.
    full = len(before.runs) == _NEWEST_OPEN
    known_ms = min(row.created_ms for row in before.runs.values()) if full else -1
    for key, row in after.runs.items():
        if key not in before.runs and key not in before.ended and row.created_ms > known_ms:
            yield Change("run-started", _started(row))
    oldest = before.at_ms - HOUR_MS
    if len(before.ended) == _NEWEST:
        oldest = max(oldest, min(run.stopped_ms for run in before.ended.values()))
    for run in sorted(after.ended.values(), key=lambda one: (one.stopped_ms, one.workflow_id)):
        if run.workflow_id not in before.ended and run.stopped_ms >= oldest:
            yield Change("run-finished", run_view(run))
    known = set(before.alerts)
    for line in reversed(after.alerts):
        if line not in known and (told := _transition(line)):
            yield Change("alert", told)
    yield from _sinks(before, after)
    if _counts(before.now) != _counts(after.now):
        yield Change("now", _counts(after.now))
    if (before.cursors, before.figures) != (after.cursors, after.figures):
        waiting = sum(one.waiting for one in after.cursors)
        yield Change("delivery", {"waiting": waiting, "inbox": after.figures.inbox_waiting})


def _counts(now: Now) -> Mapping[str, int]:
    return {"running": now.running, "queued": now.queued, "on_hold": now.on_hold, "stuck": now.stuck}


def _started(row: LiveRow) -> Mapping[str, str]:
    return {
        "id": row.id,
        "project": row.project,
        "workflow": row.workflow,
        "branch": row.ref,
        "branch_class": class_name(row.branch_class),
        "since": format_ms(row.created_ms),
        "url": row.url,
    }


def _transition(line: tuple[str, int, bytes]) -> Mapping[str, Any] | None:
    """None where the alert stayed in its state, as when somebody was reminded of it."""
    fingerprint, at_ms, body = line
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None  # what a newer release wrote is shown by the history, as its text
    if told.get("from") == told.get("to"):
        return None
    return {"fingerprint": fingerprint, "at": format_ms(at_ms), **told}


def _sinks(before: Moment, after: Moment) -> Iterator[Change]:
    for key in sorted(before.signals.keys() | after.signals.keys()):
        was, became = before.signals.get(key), after.signals.get(key)
        states = [one.state if one else "removed" for one in (was, became)]
        if states[0] != states[1]:
            reason = became.reason if became else ""
            yield Change("sink", {"signal": key, "from": states[0], "to": states[1], "reason": reason})
