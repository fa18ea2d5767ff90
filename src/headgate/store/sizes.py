"""How much room each part of the store takes, and from when to when it reaches.

Looks at every page of the file: seconds for a large one, so nobody asks for it at every turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.core.readport import StorePart
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.sql import Database

__all__ = ["PARTS", "parts"]

_FACTS = ("pipeline", "workflow", "job", "usage", "platform_event", "deployment", "insight", "flaky_test", "audit")
# Part -> its tables. What is in none of them, such as names and cursors, is `other`.
PARTS: Mapping[str, Sequence[str]] = {
    "inbox": ("inbox", "inbox_settled"),
    "inbox_dead": ("inbox_dead",),
    "facts": (*_FACTS, "job_alias", "released", "released_blocks"),
    "steps": ("step",),
    "test_results": ("test_result",),
    "log": ("log_live", "log_backfill", "amended"),
    "dead_letters": ("dead_letter",),
    "rollups_hour": ("rollup_hour",),
    "rollups_day": ("rollup_day",),
    "alerts": ("alert", "alert_history", "outbox", "silence", "notifier_memory"),
    "other": (),
}
_ENDS = "SELECT min(at), max(at) FROM ({})"
# Part -> oldest and newest, milliseconds; each half is answered by an index or a row at the end of a table.
_SPANS: Mapping[str, tuple[str, int]] = {
    "inbox": (
        "SELECT (SELECT arrived_ms FROM inbox ORDER BY id LIMIT 1), (SELECT max(arrived_ms) FROM (SELECT arrived_ms"
        " FROM inbox ORDER BY id DESC LIMIT 100))",
        1,
    ),
    "inbox_dead": ("SELECT min(at_ms), max(at_ms) FROM inbox_dead", 1),
    "facts": (
        "SELECT (SELECT min(stopped_at) FROM workflow WHERE _terminal), (SELECT max(stopped_at) FROM workflow WHERE"
        " _terminal)",
        1,
    ),
    "log": (
        _ENDS.format(
            " UNION ALL ".join(
                f"SELECT * FROM (SELECT at_ms AS at FROM log_{lane} ORDER BY seq {way} LIMIT 1)"
                for lane in ("live", "backfill")
                for way in ("ASC", "DESC")
            )
        ),
        1,
    ),
    "dead_letters": ("SELECT min(last_ms), max(last_ms) FROM dead_letter", 1),
    "rollups_hour": ("SELECT (SELECT min(bucket) FROM rollup_hour), (SELECT max(bucket) FROM rollup_hour)", HOUR_MS),
    "rollups_day": ("SELECT (SELECT min(bucket) FROM rollup_day), (SELECT max(bucket) FROM rollup_day)", DAY_MS),
    "alerts": (
        "SELECT (SELECT at_ms FROM alert_history ORDER BY id LIMIT 1), (SELECT at_ms FROM alert_history"
        " ORDER BY id DESC LIMIT 1)",
        1,
    ),
}


def parts(db: Database) -> list[StorePart]:
    """Every part, in the order of PARTS."""
    table_of = dict(db.execute("SELECT name, tbl_name FROM sqlite_schema").fetchall())
    part_of = {table: part for part, tables in PARTS.items() for table in tables}
    sizes = dict.fromkeys(PARTS, 0)
    for name, size in db.execute("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE"):
        sizes[part_of.get(table_of.get(name, name), "other")] += size
    return [StorePart(part, size, *_span(db, part)) for part, size in sizes.items()]


def _span(db: Database, part: str) -> tuple[int | None, int | None]:
    if part not in _SPANS:
        return None, None
    sql, unit = _SPANS[part]
    oldest, newest = db.execute(sql).fetchone() or (None, None)
    return None if oldest is None else oldest * unit, None if newest is None else newest * unit
