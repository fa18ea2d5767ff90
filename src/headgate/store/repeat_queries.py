"""Questions about repeats of failed workflows. Every function gets a connection of a reader.

Invariant: only repeats are read, which are few, through an index of their own, or what they add up to by day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from headgate.core.detailrows import RepeatSum, RerunSum
from headgate.core.status import FAILED
from headgate.core.tally import Bounds, Dimension
from headgate.store.daysums import REPEATED_JOBS, REPEATS, Sums, add_to, sums_of
from headgate.store.sql import Database
from headgate.store.words import statuses_sql, texts_of

__all__ = ["repeat_sums", "rerun_sums"]

_REPEATS = """
WITH spans (project, since, until) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:spans)
)
SELECT s.project, {workflow}, {branch}, {branch_class}, {trigger}, count(*), sum({ok}), coalesce(sum(w.credits), 0),
  count(w.credits), coalesce(sum(max(0, w.stopped_at - w.created_at)), 0), coalesce(max(w.credits_estimated), 0)
FROM spans s CROSS JOIN workflow w INDEXED BY workflow_rerun ON w._project = s.project
CROSS JOIN workflow o ON o._key = w.rerun_of AND o._host = w._host
LEFT JOIN pipeline pl ON pl._key = iif({lacks}, w.pipeline_id, NULL) AND pl._host = w._host
WHERE w._terminal AND w.rerun_of IS NOT NULL AND w.stopped_at >= s.since AND w.stopped_at < s.until
  AND o._terminal AND o.stopped_at IS NOT NULL AND {failed}
GROUP BY 1, 2, 3, 4, 5
"""
# Words are numbers here, which are looked up together. A pipeline is read where the workflow lacks what it tells.
_COLUMNS: Mapping[Dimension, str] = {
    "workflow": "w.name",
    "branch": "coalesce(w.ref_name, pl.ref_name)",
    "branch_class": "w._class",
    "trigger": "coalesce(w.trigger_type, pl.trigger_type)",
}
_LACKS: Mapping[Dimension, str] = {"branch": "w.ref_name IS NULL", "trigger": "w.trigger_type IS NULL"}


def repeat_sums(db: Database, bounds: Bounds, by: Collection[Dimension]) -> list[RepeatSum]:
    """By branch or trigger run by run, else from days."""
    if {"branch", "trigger"}.isdisjoint(by):
        return _by_day(db, bounds, by)
    slugs = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    spans = [(number, *bounds[slug]) for number, slug in slugs.items() if slug in bounds]
    words: dict[str, str] = {
        **{name: column if name in by else "0" for name, column in _COLUMNS.items()},
        "lacks": " OR ".join(_LACKS[name] for name in _LACKS if name in by),
        "ok": f"coalesce({statuses_sql(db, 'w.status', ('success',))}, 0)",
        "failed": statuses_sql(db, "o.status", FAILED),
    }
    read = db.execute(_REPEATS.format(**words), {"spans": msgspec.json.encode(spans).decode()}).fetchall()
    texts = texts_of(db, {number for row in read for number in (row[1], row[2], row[4])})
    found: dict[tuple[str, str, str, int, str], Sums] = {}
    for project, name, ref, number, trigger, *sums in read:
        add_to(found, (slugs[project], texts[name], texts[ref], number, texts[trigger]), Sums(*sums))
    return [
        RepeatSum(*key, one.n, one.ok, one.credits, one.charged, bool(one.estimated), one.ms)
        for key, one in sorted(found.items())
    ]


def rerun_sums(db: Database, bounds: Bounds) -> list[RerunSum]:
    """From days that are added up and single jobs."""
    sums = sums_of(db, REPEATED_JOBS, bounds)
    texts = texts_of(db, {number for place in sums for number in place[1:]})
    slugs = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    found: dict[tuple[str, str, str], Sums] = {}
    for (project, run, job, _), one in sums.items():
        add_to(found, (slugs[project], texts[run], texts[job]), one)
    return [RerunSum(*key, one.n, one.credits, one.ms) for key, one in sorted(found.items())]


def _by_day(db: Database, bounds: Bounds, by: Collection[Dimension]) -> list[RepeatSum]:
    """From days that are added up and single runs, by what these know."""
    sums = sums_of(db, REPEATS, bounds)
    texts = texts_of(db, {run for _, run, _, _ in sums})
    slugs = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    found: dict[tuple[str, str, int], Sums] = {}
    for (project, run, _, branch_class), one in sums.items():
        name, number = texts[run] if "workflow" in by else "", branch_class if "branch_class" in by else 0
        add_to(found, (slugs[project], name, number), one)
    return [
        RepeatSum(slug, name, "", number, "", one.n, one.ok, one.credits, one.charged, bool(one.estimated), one.ms)
        for (slug, name, number), one in sorted(found.items())
    ]
