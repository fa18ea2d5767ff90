"""What a migration does that its SQL cannot say: once, in the migration's transaction, a day of facts at a time.

Invariant: what is added for a fact is what its contribution has today, so that a later correction takes the same away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.sql import Database

__all__ = ["AFTER"]

_PLACE = "bucket, kind, project, run, job, class"
_SPAN = "max(0, f.stopped_at - f.{start})"
_NEW = "errors, skipped, reruns, estimated, duration_ok_ms, hold_ms, held, hold"
_OTHER = "n, ok, failed, canceled, credits, timed_ok, duration_ms, timed, queue_ms, queued"
# An approval adds to hold and held alone, and only where somebody gave it.
_FILL = """
INSERT INTO rollup_{table} ({place}, {new}, {other})
SELECT f.stopped_at / {length}, {kind}, f._project, f._run, {job}, f._class,
  sum(NOT {hold} AND w.status IS 'error'), sum(NOT {hold} AND w.status IS 'skipped'),
  sum(NOT {hold} AND f.rerun_of IS NOT NULL), {estimated},
  coalesce(sum({span}) FILTER (WHERE NOT {hold} AND w.status = 'success'), 0),
  coalesce(sum({span}) FILTER (WHERE {given}), 0), coalesce(sum({span} IS NOT NULL) FILTER (WHERE {given}), 0),
  pack_bins(bin_of({span}), 1) FILTER (WHERE {given} AND {span} IS NOT NULL),
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM {kind_name} f LEFT JOIN (SELECT id, our_status(text) AS status FROM dim WHERE family = 0 AND id IN
  (SELECT DISTINCT status FROM {kind_name} WHERE _terminal AND stopped_at >= :since AND stopped_at < :until)) w
  ON w.id = f.status
WHERE f._terminal AND f.stopped_at >= :since AND f.stopped_at < :until
GROUP BY 1, 3, 4, 5, 6 HAVING sum({hold} AND ({span} IS NULL OR w.status IS NOT 'success')) < count(*)
ON CONFLICT DO UPDATE SET errors = errors + excluded.errors, skipped = skipped + excluded.skipped,
  reruns = reruns + excluded.reruns, estimated = estimated + excluded.estimated,
  duration_ok_ms = duration_ok_ms + excluded.duration_ok_ms,
  hold_ms = hold_ms + excluded.hold_ms, held = held + excluded.held, hold = add_bins(hold, excluded.hold)
"""


def _fill(db: Database, kind: str, since_ms: int, until_ms: int, table: str) -> None:
    approval = db.execute("SELECT id FROM dim WHERE family = 0 AND text = 'approval'").get or 0
    is_job = kind == "job"
    statement = _FILL.format(
        table=table,
        length=HOUR_MS if table == "hour" else DAY_MS,
        place=_PLACE,
        new=_NEW,
        other=_OTHER,
        kind=2 if is_job else 1,
        kind_name=kind,
        estimated="0" if is_job else "coalesce(sum(f.credits) FILTER (WHERE f.credits_estimated), 0)",
        job="coalesce(f.name, 0)" if is_job else "0",
        hold=(hold := f"(f.type IS {approval})" if is_job else "0"),
        given=f"({hold} AND w.status IS 'success')",
        span=_SPAN.format(start="started_at" if is_job else "created_at"),
    )
    db.execute(statement, {"since": since_ms, "until": until_ms})


def fill_rollups(db: Database) -> None:
    """Sums that rollups did not keep before: errors, skipped, reruns, estimated, duration_ok_ms and waits of approvals.

    Of facts that retention has deleted by now these stay 0; all other sums know them.
    """
    whole_ms = (db.execute("SELECT n FROM counter WHERE name = 'kept:hours'").get or 0) * HOUR_MS
    for kind in ("workflow", "job"):
        at = _first_day(db, kind, 0)
        while at is not None:
            _fill(db, kind, at, at + DAY_MS, "day")
            if at >= whole_ms:
                _fill(db, kind, at, at + DAY_MS, "hour")
            at = _first_day(db, kind, at + DAY_MS)


def _first_day(db: Database, kind: str, since_ms: int) -> int | None:
    at = db.execute(f"SELECT min(stopped_at) FROM {kind} WHERE _terminal AND stopped_at >= ?", (since_ms,)).get
    return None if at is None else at // DAY_MS * DAY_MS


# Number of a migration -> what follows its SQL.
AFTER: Mapping[int, Callable[[Database], None]] = {7: fill_rollups}
