"""Questions about rows of the usage export and about parallel machines. Each gets a connection of a reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headgate.core.detailrows import CREDIT_KINDS, NodeSum, UsageLoad, UsageSum
from headgate.core.tally import Bounds
from headgate.store.sql import Database
from headgate.store.words import project_ids

__all__ = ["node_sums", "usage_loads", "usage_sums"]

_AT = "coalesce(u.stopped_at, u.started_at, u.queued_at, u._seen_ms)"
_PLACE = "u.workflow_name, u.job_name, u.resource_class, u.executor, u.operating_system"
_WHERE = f"FROM usage u INDEXED BY usage_place WHERE u._project IN ({{projects}}) AND {_AT} >= ? AND {_AT} < ?"
_SUMS = (
    f"SELECT {_PLACE}, count(*), coalesce(sum(u.run_seconds), 0), coalesce(sum(u.total_credits), 0), "
    + ", ".join(f"coalesce(sum(u.{kind}_credits), 0)" for kind in CREDIT_KINDS)
    + f" {_WHERE} GROUP BY 1, 2, 3, 4, 5"
)
_MEASURES = ("ram_max", "cpu_median", "cpu_max")
_LOADS = (
    f"SELECT {_PLACE}, "
    + ", ".join(f"CAST(ceil(u.{name}_pct) AS INTEGER)" for name in _MEASURES)
    + f", count(*) {_WHERE} AND coalesce(u.ram_max_pct, u.cpu_median_pct, u.cpu_max_pct) IS NOT NULL"
    " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
)
_Place = tuple[int | None, ...]
_Names = tuple[str, str, str, str, str]


def _texts(db: Database, numbers: Iterable[int | None]) -> Mapping[int | None, str]:
    listed = ", ".join(str(number) for number in {*numbers} if number is not None)
    found: dict[int | None, str] = dict(db.execute(f"SELECT id, text FROM dim WHERE id IN ({listed})").fetchall())
    return {None: "", **found}


def _numbers(db: Database, slug: str) -> str:
    return ", ".join(map(str, project_ids(db, slug) or [0]))


def usage_sums(db: Database, bounds: Bounds) -> list[UsageSum]:
    """A project at a time."""
    found: list[UsageSum] = []
    for slug in sorted(bounds):
        rows = db.execute(_SUMS.format(projects=_numbers(db, slug)), bounds[slug]).fetchall()
        texts = _texts(db, (number for row in rows for number in row[:5]))
        sums = [
            UsageSum(
                slug,
                *_names(texts, row),
                row[5],
                row[6],
                {kind: n for kind, n in zip(CREDIT_KINDS, row[8:], strict=True) if n},
                row[7],
            )
            for row in rows
        ]
        found += sorted(sums, key=_place_of)
    return found


def _names(texts: Mapping[int | None, str], row: Sequence[int | None]) -> _Names:
    workflow, job, size, executor, system = row[:5]
    return texts[workflow], texts[job], texts[size], texts[executor], texts[system]


def _place_of(row: UsageSum | UsageLoad) -> tuple[str, ...]:
    return row.workflow, row.job, row.resource_class, row.executor, row.operating_system


def usage_loads(db: Database, bounds: Bounds) -> list[UsageLoad]:
    """A project at a time; the file's rows are grouped by whole percents before they are spread over three counts."""
    found: list[UsageLoad] = []
    for slug in sorted(bounds):
        counts: dict[_Place, tuple[dict[int, int], dict[int, int], dict[int, int]]] = {}
        for row in db.execute(_LOADS.format(projects=_numbers(db, slug)), bounds[slug]):
            into = counts.setdefault(row[:5], ({}, {}, {}))
            for count, percent in zip(into, row[5:8], strict=True):
                if percent is not None:
                    count[percent] = count.get(percent, 0) + row[8]
        texts = _texts(db, (number for place in counts for number in place))
        loads = [UsageLoad(slug, *_names(texts, place), *into) for place, into in counts.items()]
        found += sorted(loads, key=_place_of)
    return found


# A job runs for five hours at most, and its steps lie in it.
_LONGEST_JOB_MS = 6 * 3_600_000
_NODES = """
WITH node AS (
  SELECT job_id, _host, coalesce(node, 0) AS node, max(stopped_at) - min(started_at) AS ms
  FROM step INDEXED BY step_end
  WHERE _project IN ({projects}) AND stopped_at >= ? AND stopped_at < ? AND started_at IS NOT NULL GROUP BY 1, 2, 3
), spread AS (
  SELECT job_id, _host, count(*) AS nodes, max(ms) AS slowest, sum(ms) / count(*) AS mean
  FROM node GROUP BY 1, 2 HAVING count(*) > 1
)
SELECT coalesce(n.text, ''), coalesce(jn.text, ''), count(*), max(s.nodes), sum(s.slowest), sum(s.mean)
FROM spread s JOIN job j ON j._key = s.job_id AND j._host = s._host
LEFT JOIN dim n ON n.id = j._run
LEFT JOIN dim jn ON jn.id = j.name
WHERE j.stopped_at >= ? AND j.stopped_at < ?
GROUP BY 1, 2 ORDER BY 1, 2
"""


def node_sums(db: Database, bounds: Bounds) -> list[NodeSum]:
    """A project at a time."""
    found: list[NodeSum] = []
    for slug in sorted(bounds):
        since_ms, until_ms = bounds[slug]
        steps = (since_ms - _LONGEST_JOB_MS, until_ms)
        rows = db.execute(_NODES.format(projects=_numbers(db, slug)), (*steps, since_ms, until_ms))
        found += [NodeSum(slug, *row) for row in rows]
    return found
