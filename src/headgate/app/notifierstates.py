"""How each notifier does, from what waits for it and what it never took."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.core.storeport import OutboxRow, Store
from headgate.core.times import DAY_MS, format_ms
from headgate.web.operations import Json

__all__ = ["notifier_views"]

_MOST_WAITING = 10_000


async def notifier_views(store: Store, names: Iterable[str], now_ms: int) -> dict[str, Json]:
    """Name -> `{"state", "waiting", "lag_seconds", "dead", "failing_since", "last_error"}`.

    `state`: ok; retrying while its last attempt failed; failing when it took nothing since a message was given up.
    `lag_seconds`: age of the oldest message that should have gone out; `dead`: given up since it took one. Notifiers
    that are not configured any more are listed while something waits for them.
    """
    waiting: dict[str, list[OutboxRow]] = {}
    for row in await store.outbox_due(now_ms=now_ms + DAY_MS, limit=_MOST_WAITING):
        waiting.setdefault(row.notifier, []).append(row)
    failing = await store.outbox_failing()
    found: dict[str, Json] = {}
    for name in sorted({*names, *waiting}):
        rows = waiting.get(name, [])
        late = [row for row in rows if row.due_ms <= now_ms or row.attempts]
        tried = max((row for row in rows if row.attempts), key=lambda row: row.due_ms, default=None)
        since_ms, dead, error = failing.get(name, (None, 0, ""))
        found[name] = {
            "state": "failing" if dead else "retrying" if tried else "ok",
            "waiting": len(rows),
            "lag_seconds": max((now_ms - row.created_ms for row in late), default=0) / 1000,
            "dead": dead,
            "failing_since": None if since_ms is None else format_ms(since_ms),
            "last_error": (tried.last_error if tried else error) or None,
        }
    return found
