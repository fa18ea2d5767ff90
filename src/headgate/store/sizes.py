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
_TEST_SUMS = ("test_part", "test_form", "test_job")
_DAY_SUMS = ("outage", "outage_upto", "day_sum", "day_summed", "usage_part", "usage_whole", "deployment_begun")
# Part -> its tables. What is in none of them, such as names and cursors, is `other`.
PARTS: Mapping[str, Sequence[str]] = {
    "inbox": ("inbox", "inbox_settled"),
    "inbox_dead": ("inbox_dead",),
    "facts": (*_FACTS, "job_alias", "released"),
    "steps": ("step",),
    "test_results": ("test_result",),
    "log": ("log_live", "log_backfill", "amended"),
    "dead_letters": ("dead_letter",),
    "rollups_hour": ("rollup_hour",),
    "rollups_day": ("rollup_day",),
    "sums": ("rollup_span", "span_built", "rollup_cut", "cut_built", *_TEST_SUMS, *_DAY_SUMS),
    "alerts": ("alert", "alert_history", "outbox", "silence", "notifier_memory"),
    "trail": ("trail",),
    "other": (),
}
_LOG = " UNION ALL ".join(
    f"SELECT * FROM (SELECT at_ms AS at FROM log_{lane} ORDER BY seq {way} LIMIT 1)"
    for lane in ("live", "backfill")
    for way in ("ASC", "DESC")
)
# Part -> the times among which its oldest and newest are; an index or the rows at a table's ends answer each.
_TIMES: Mapping[str, str] = {
    "inbox": (
        "SELECT * FROM (SELECT arrived_ms AS at FROM inbox ORDER BY id LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT arrived_ms FROM inbox ORDER BY id DESC LIMIT 1)"
    ),
    "inbox_dead": "SELECT at_ms AS at FROM inbox_dead",
    "facts": (
        "SELECT min(stopped_at) AS at FROM workflow WHERE _terminal"
        " UNION ALL SELECT max(stopped_at) FROM workflow WHERE _terminal"
    ),
    "log": _LOG,
    "dead_letters": "SELECT last_ms AS at FROM dead_letter",
    "rollups_hour": (
        f"SELECT min(bucket) * {HOUR_MS} AS at FROM rollup_hour"
        f" UNION ALL SELECT max(bucket) * {HOUR_MS} FROM rollup_hour"
    ),
    "rollups_day": (
        f"SELECT min(bucket) * {DAY_MS} AS at FROM rollup_day UNION ALL SELECT max(bucket) * {DAY_MS} FROM rollup_day"
    ),
    "trail": (
        "SELECT * FROM (SELECT at_ms AS at FROM trail ORDER BY id LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT at_ms FROM trail ORDER BY id DESC LIMIT 1)"
    ),
    "alerts": (
        "SELECT * FROM (SELECT at_ms AS at FROM alert_history ORDER BY id LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT at_ms FROM alert_history ORDER BY id DESC LIMIT 1)"
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
    if part not in _TIMES:
        return None, None
    oldest, newest = db.execute(f"SELECT min(at), max(at) FROM ({_TIMES[part]})").fetchone() or (None, None)
    return oldest, newest
