"""Questions about rows of the usage export and about parallel machines. Each gets a connection of a reader."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce

from headgate.core.detailrows import CREDIT_KINDS, NodeSum, UsageLoad, UsageName, UsageSum
from headgate.core.tally import Bounds
from headgate.store.percents import PackedPercents
from headgate.store.sql import Database
from headgate.store.usagedays import Place, both, days_of, loads_of, sums_of
from headgate.store.words import project_ids

__all__ = ["node_sums", "usage_days", "usage_loads", "usage_sums"]

_Names = tuple[str, str, str, str, str, str]


def _texts(db: Database, numbers: Iterable[int]) -> Mapping[int, str]:
    listed = ", ".join(map(str, set(numbers)))
    return {0: "", **dict(db.execute(f"SELECT id, text FROM dim WHERE id IN ({listed})").fetchall())}


def _named(db: Database, places: Collection[Place]) -> list[tuple[_Names, list[Place]]]:
    """Places by their names, in order; two projects of one slug share theirs."""
    slugs: dict[int, str] = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    texts = _texts(db, (number for place in places for number in place[1:]))
    found: dict[_Names, list[Place]] = {}
    for place in places:
        workflow, job, size, executor, system = (texts[number] for number in place[1:])
        found.setdefault((slugs[place[0]], workflow, job, size, executor, system), []).append(place)
    return sorted(found.items())


def usage_sums(db: Database, bounds: Bounds, by: Collection[UsageName]) -> list[UsageSum]:
    """By project and those of the names of workflows, jobs and machines."""
    sums, found = sums_of(db, bounds, by), list[UsageSum]()
    for names, places in _named(db, sums.keys()):
        runs, seconds, total, *used = map(sum, zip(*(sums[place] for place in places), strict=True))
        credits_of = {kind: n for kind, n in zip(CREDIT_KINDS, used, strict=True) if n}
        found.append(UsageSum(*names, runs, seconds, credits_of, total))
    return found


def usage_days(db: Database, bounds: Bounds) -> Mapping[str, Sequence[int]]:
    """Begins of days with rows, by project."""
    return days_of(db, bounds)


def usage_loads(db: Database, bounds: Bounds) -> list[UsageLoad]:
    """In the same order."""
    loads, found = loads_of(db, bounds), list[UsageLoad]()
    for names, places in _named(db, loads.keys()):
        runs, compute, *packed = reduce(both, [loads[place] for place in places])
        found.append(UsageLoad(*names, runs, compute, *map(PackedPercents, packed)))
    return found


def _numbers(db: Database, slug: str) -> str:
    return ", ".join(map(str, project_ids(db, slug) or [0]))


# A job runs for five hours at most, and its steps lie in it.
_LONGEST_JOB_MS = 6 * 3_600_000
_NODES = """
WITH node AS (
  SELECT job_id, _host, coalesce(node, 0) AS node, max(stopped_at) - min(started_at) AS ms
  FROM step INDEXED BY step_end
  WHERE _project IN ({projects}) AND stopped_at >= ?1 AND stopped_at < ?2 AND started_at IS NOT NULL
  AND job_id IN (SELECT o.job_id FROM step o INDEXED BY step_node
    WHERE o._project IN ({projects}) AND o.stopped_at >= ?1 AND o.stopped_at < ?2 AND o.node > 0)
  AND EXISTS (SELECT 1 FROM step o INDEXED BY step_node
    WHERE o._project IN ({projects}) AND o.stopped_at >= ?1 AND o.stopped_at < ?2 AND o.node > 0)
  GROUP BY 1, 2, 3
), spread AS (
  SELECT job_id, _host, count(*) AS nodes, max(ms) AS slowest, sum(ms) / count(*) AS mean
  FROM node GROUP BY 1, 2 HAVING count(*) > 1
)
SELECT coalesce(n.text, ''), coalesce(jn.text, ''), count(*), max(s.nodes), sum(s.slowest), sum(s.mean)
FROM spread s JOIN job j ON j._key = s.job_id AND j._host = s._host
LEFT JOIN dim n ON n.id = j._run
LEFT JOIN dim jn ON jn.id = j.name
WHERE j.stopped_at >= ?3 AND j.stopped_at < ?4
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
