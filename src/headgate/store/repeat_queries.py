"""Questions about repeats of failed workflows. Every function gets a connection of a reader.

Invariant: only repeats are read, which are few, through an index of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headgate.core.detailrows import RepeatSum, RerunSum
from headgate.core.status import FAILED
from headgate.core.tally import Bounds, Dimension
from headgate.store.sql import Database
from headgate.store.words import project_ids, statuses_sql, word

__all__ = ["repeat_sums", "rerun_sums"]

_FROM = """
FROM workflow w INDEXED BY workflow_rerun
CROSS JOIN workflow o ON o._key = w.rerun_of AND o._host = w._host
"""
_WHERE = """
WHERE w._terminal AND w.rerun_of IS NOT NULL AND w._project IN ({projects}) AND w.stopped_at >= ? AND w.stopped_at < ?
  AND o._terminal AND o.stopped_at IS NOT NULL AND {failed}
"""
_REPEATS = (
    "SELECT {workflow}, {branch}, {branch_class}, {trigger}, count(*), sum({ok}), coalesce(sum(w.credits), 0),"
    " count(w.credits), coalesce(max(w.credits_estimated), 0), coalesce(sum(max(0, w.stopped_at - w.created_at)), 0)"
    + _FROM
    + "{above}"
    + _WHERE
    + " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
)
_NAME = "coalesce((SELECT text FROM dim WHERE id = {}), '')"
_COLUMNS: Mapping[Dimension, str] = {
    "workflow": _NAME.format("w.name"),
    "branch": _NAME.format("coalesce(w.ref_name, pl.ref_name)"),
    "branch_class": "w._class",
    "trigger": _NAME.format("coalesce(w.trigger_type, pl.trigger_type)"),
}
_ABSENT: Mapping[Dimension, str] = {"branch_class": "0"}
_PIPELINE = " LEFT JOIN pipeline pl ON pl._key = w.pipeline_id AND pl._host = w._host"


def repeat_sums(db: Database, bounds: Bounds, by: Collection[Dimension]) -> list[RepeatSum]:
    """A project at a time."""
    words: dict[str, str] = {
        **{name: column if name in by else _ABSENT.get(name, "''") for name, column in _COLUMNS.items()},
        "above": _PIPELINE if "branch" in by or "trigger" in by else "",
        "ok": f"coalesce({statuses_sql(db, 'w.status', ('success',))}, 0)",
        "failed": statuses_sql(db, "o.status", FAILED),
    }
    found: list[RepeatSum] = []
    for slug in sorted(bounds):
        for row in db.execute(_REPEATS.format(projects=_numbers(db, slug), **words), bounds[slug]):
            name, ref, branch_class, trigger, runs, green, used, charged, estimated, ms = row
            found.append(
                RepeatSum(slug, name, ref, branch_class, trigger, runs, green, used, charged, bool(estimated), ms)
            )
    return found


def _numbers(db: Database, slug: str) -> str:
    return ", ".join(map(str, project_ids(db, slug) or [0]))


_JOBS = (
    "SELECT coalesce(n.text, ''), coalesce(jn.text, ''), count(*), coalesce(sum(j.credits), 0),"
    " coalesce(sum(max(0, j.stopped_at - j.started_at)), 0)"
    + _FROM
    + "CROSS JOIN job j INDEXED BY job_workflow ON j.workflow_id = w._key AND j._host = w._host"
    " LEFT JOIN dim n ON n.id = w.name LEFT JOIN dim jn ON jn.id = j.name"
    + _WHERE
    + " AND j._terminal AND j.stopped_at IS NOT NULL AND j.type IS NOT {approval} AND {ran}"
    " GROUP BY 1, 2 ORDER BY 1, 2"
)


def rerun_sums(db: Database, bounds: Bounds) -> list[RerunSum]:
    """A project at a time."""
    words = {
        "failed": statuses_sql(db, "o.status", FAILED),
        "ran": f"NOT coalesce({statuses_sql(db, 'j.status', ('skipped',))}, 0)",
        "approval": word(db, "approval") or 0,
    }
    found: list[RerunSum] = []
    for slug in sorted(bounds):
        rows = db.execute(_JOBS.format(projects=_numbers(db, slug), **words), bounds[slug])
        found += [RerunSum(slug, *row) for row in rows]
    return found
