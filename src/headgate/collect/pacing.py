"""When to ask again: pure decisions about revisits, walks and enrichment."""

from __future__ import annotations

from headgate.core.storeport import SourceCursor
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS

__all__ = [
    "GONE_AFTER_MS",
    "LIVE_WINDOW_MS",
    "TOLD_GRACE_MS",
    "TRUST_SECONDS",
    "detail_given_up",
    "detail_pause_seconds",
    "enrich_pause_seconds",
    "page_cursor",
    "revisit_seconds",
    "walk_seconds",
    "walk_since_ms",
]

# What ended longer ago is backfill: nobody waits for it, and it must not hold up what happens now.
LIVE_WINDOW_MS = 30 * MINUTE_MS
# CircleCI may answer 404 for ids that are newer than its own caches; an older run that is not found is gone.
GONE_AFTER_MS = 10 * MINUTE_MS
# A proof that webhooks come is believed so long: three rounds of the audit.
TRUST_SECONDS = 2700.0
# Where webhooks tell everything, a run is left to them until none of it came for so long: with the time until
# somebody looks, and a call, within the 15 minutes of a round of the audit.
TOLD_GRACE_MS = 14 * MINUTE_MS
# Where webhooks tell everything, a walk only refreshes the list, which each audit reads too.
_TOLD_SECONDS = 3600.0
# Well below the 15 minutes after which rules take collection for stale.
_QUIET_SECONDS = 600.0
_OVERLAP_MS = 5 * MINUTE_MS


def revisit_seconds(age_ms: int, poll_every_ms: int) -> float:
    """How long until an unfinished run of this age is asked about again: a twentieth of its age, at most an hour."""
    return max(poll_every_ms, min(age_ms // 20, HOUR_MS)) / 1000


def walk_seconds(every_seconds: float, quiet_seconds: float, *, told: bool) -> float:
    """How long until a scope is walked again, given how long nothing new was seen in it.

    A tenth of the quiet time, ten minutes at most, an hour where webhooks tell everything (`told`); never more
    often than configured.
    """
    return max(every_seconds, _TOLD_SECONDS if told else min(quiet_seconds / 10, _QUIET_SECONDS))


def walk_since_ms(cursor: SourceCursor, now_ms: int, *, initial_ms: int, retention_ms: int) -> int:
    """How far back a walk reaches. With a cursor the position ends it, so only retention bounds it in time."""
    if cursor.high is not None:
        return now_ms - retention_ms
    since = now_ms - min(initial_ms, retention_ms)
    # A scope that was empty when it was last walked: whatever came since then is wanted, however long ago.
    if cursor.complete_ms is not None:
        since = min(since, cursor.complete_ms - _OVERLAP_MS)
    return max(since, now_ms - retention_ms)


def page_cursor(
    cursor: SourceCursor, high: int | None, *, last: bool, capped: bool, started_ms: int
) -> SourceCursor | None:
    """The cursor to store with one page. `high`: highest position of the walk so far. None: the cursor stays.

    `SourceCursor.high` and `complete_ms` move with the last page alone, and never back.
    """
    if capped:
        return None
    if not last:
        return SourceCursor(cursor.source, cursor.scope, cursor.high, high, cursor.complete_ms)
    highest = max((mark for mark in (cursor.high, high) if mark is not None), default=None)
    complete = max(started_ms, cursor.complete_ms or started_ms)
    return SourceCursor(cursor.source, cursor.scope, highest, None, complete)


def enrich_pause_seconds(wait_ms: int, *, hurry: bool) -> tuple[float, float]:
    """For profile batch: how long a first job waits for others, and the time between two calls about a scope.

    Both end before the wait of a record does, so that a call comes in time. `hurry`: nobody is waiting but us.
    """
    if hurry:
        return 0.0, 1.0
    wait = wait_ms / 1000
    return min(5.0, wait / 4), min(60.0, wait * 0.8)


_DETAIL_ATTEMPTS = 4
_DETAIL_OUTAGE_MS = 7 * DAY_MS


def detail_pause_seconds(attempts: int) -> float:
    """How long until a question about an ended job is asked again: 15 s, doubled each time, an hour at most."""
    return min(15.0 * float(1 << min(attempts, 10)), HOUR_MS / 1000)


def detail_given_up(reason: str, attempts: int, waited_ms: int, *, young: bool) -> bool:
    """Whether a question about an ended job is asked no more.

    What is not found may yet come while the job is `young`, a few times. An outage is waited out for a week.
    """
    if reason == "not_found":
        return not young or attempts >= _DETAIL_ATTEMPTS
    if reason == "unavailable":
        return waited_ms >= _DETAIL_OUTAGE_MS
    return attempts >= _DETAIL_ATTEMPTS
