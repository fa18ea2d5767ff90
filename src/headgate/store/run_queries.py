"""Questions about ended runs, jobs and deployments. Every function gets a connection inside a read transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Any

from headgate.core.render import APP_URL, duration_ms, queue_ms, run_url
from headgate.core.rollup import RollupKind
from headgate.core.runrows import DeploymentRow, JobRow, RunRow
from headgate.core.status import map_status
from headgate.store.schema import decode_key, encode_key
from headgate.store.sql import Database
from headgate.store.words import project_ids, statuses_sql, word

__all__ = [
    "app_urls",
    "deployments_between",
    "jobs_between",
    "jobs_where",
    "newest_runs",
    "recent_runs",
    "runs_between",
    "series",
]

_RUN = """
SELECT w._key, p.slug, n.text, coalesce(r.text, pr.text), w._class, s.text, w.stopped_at, w.created_at,
  coalesce(w.revision, pl.revision), coalesce(w.pipeline_number, pl.number), c.text, w.credits, w.attempt, w.rerun_of,
  coalesce(t.text, pt.text), w.credits_estimated,
  (SELECT coalesce(sum(max(0, h.stopped_at - h.started_at)), 0) FROM job h WHERE h.workflow_id = w._key
    AND h._host = w._host AND h.type = (SELECT id FROM dim WHERE family = 0 AND text = 'approval'))
FROM workflow w
JOIN dim_project p ON p.id = w._project
JOIN dim c ON c.id = w._source
LEFT JOIN pipeline pl ON pl._key = w.pipeline_id AND pl._host = w._host
LEFT JOIN dim n ON n.id = w.name
LEFT JOIN dim r ON r.id = w.ref_name
LEFT JOIN dim pr ON pr.id = pl.ref_name
LEFT JOIN dim s ON s.id = w.status
LEFT JOIN dim t ON t.id = w.trigger_type
LEFT JOIN dim pt ON pt.id = pl.trigger_type
WHERE w._terminal AND w.stopped_at IS NOT NULL
"""
# From the newest on: a plan by project would read all runs there are and sort them.
_FROM_THE_END = _RUN.replace("FROM workflow w\nJOIN", "FROM workflow w INDEXED BY workflow_end\nCROSS JOIN")
_JOB = """
SELECT j._key, j.workflow_id, p.slug, n.text, jn.text, coalesce(r.text, pr.text), j._class, s.text, ty.text, rc.text,
  ex.text, j.parallelism, j.queued_at, j.started_at, j.stopped_at, j.credits, coalesce(w.revision, pl.revision),
  j.number, coalesce(w.pipeline_number, pl.number), c.text, coalesce(t.text, pt.text)
FROM job j
JOIN dim_project p ON p.id = j._project
JOIN dim c ON c.id = j._source
LEFT JOIN workflow w ON w._key = j.workflow_id AND w._host = j._host
LEFT JOIN pipeline pl ON pl._key = coalesce(j.pipeline_id, w.pipeline_id) AND pl._host = j._host
LEFT JOIN dim n ON n.id = j._run
LEFT JOIN dim jn ON jn.id = j.name
LEFT JOIN dim r ON r.id = w.ref_name
LEFT JOIN dim pr ON pr.id = pl.ref_name
LEFT JOIN dim s ON s.id = j.status
LEFT JOIN dim ty ON ty.id = j.type
LEFT JOIN dim rc ON rc.id = j.resource_class
LEFT JOIN dim ex ON ex.id = j.executor
LEFT JOIN dim t ON t.id = w.trigger_type
LEFT JOIN dim pt ON pt.id = pl.trigger_type
WHERE j._terminal AND j.stopped_at IS NOT NULL
"""
_DEPLOYMENT = """
SELECT d._key, d._project, d.name, d.environment, d.status, d.revision, d.version, d.started_at, d.stopped_at,
  d.workflow_id, d.job_id, d.origin, d.url
FROM deployment d INDEXED BY deployment_end
WHERE d.stopped_at IS NOT NULL
"""
_PAGE = (
    "AND {0}.stopped_at >= ? AND {0}.stopped_at < ? AND ({0}.stopped_at, {0}._key) > (?, ?)"
    " ORDER BY {0}.stopped_at, {0}._key LIMIT ?"
)


def app_urls(db: Database) -> dict[str, str]:
    """Source -> where its pages are."""
    prefix = "app_url:"
    rows = db.execute("SELECT key, value FROM meta WHERE key GLOB ?", (f"{prefix}*",)).fetchall()
    return {key.removeprefix(prefix): str(value) for key, value in rows}


def _key(value: bytes | str | None) -> str:
    return "" if value is None else decode_key(value)


def _runs(db: Database, more: str, bound: tuple[Any, ...], head: str = _RUN) -> list[RunRow]:
    """Ended workflows; `more` is the rest of the query, written in this module."""
    urls = app_urls(db)
    found = []
    for row in db.execute(head + more, bound):
        key, slug, name, ref, branch, status, stopped, created, revision, number, source = row[:11]
        spent, attempt, rerun_of, trigger, estimated, hold = row[11:]
        text = decode_key(key)
        found.append(
            RunRow(
                workflow_id=text,
                project=slug,
                workflow=name or "",
                ref=ref or "",
                branch_class=branch,
                status=map_status(status or ""),
                stopped_ms=stopped,
                duration_ms=None if created is None else max(0, stopped - created),
                revision=revision or "",
                pipeline_number=number,
                url=run_url(slug, urls.get(source, APP_URL), number, text) or "",
                created_ms=created,
                hold_ms=hold,
                credits=spent,
                attempt=attempt or 1,
                rerun_of=_key(rerun_of),
                trigger=trigger or "",
                credits_estimated=bool(estimated),
            )
        )
    return found


def jobs_where(db: Database, more: str, bound: tuple[Any, ...]) -> list[JobRow]:
    """Ended jobs; `more` is the rest of the query, which callers write of their own words alone."""
    urls = app_urls(db)
    found = []
    for row in db.execute(_JOB + more, bound):
        key, run, slug, workflow, name, ref, branch, status, kind, size, executor, parallelism = row[:12]
        queued, started, stopped, spent, revision, number, pipeline, source, trigger = row[12:]
        known = {"status": status, "type": kind, "queued_at": queued, "started_at": started, "stopped_at": stopped}
        values = {name_of: value for name_of, value in known.items() if value is not None}
        url = run_url(slug, urls.get(source, APP_URL), pipeline, _key(run) or None) or ""
        found.append(
            JobRow(
                job_id=decode_key(key),
                workflow_id=_key(run),
                project=slug,
                workflow=workflow or "",
                job=name or "",
                ref=ref or "",
                branch_class=branch,
                status=map_status(status or ""),
                type=kind or "",
                resource_class=size or "",
                executor=executor or "",
                parallelism=parallelism,
                started_ms=started,
                stopped_ms=stopped,
                duration_ms=duration_ms("job", values),
                queue_ms=queue_ms(values),
                credits=spent,
                revision=revision or "",
                number=number,
                url=f"{url}/jobs/{number}" if url and number is not None else url,
                trigger=trigger or "",
            )
        )
    return found


def recent_runs(db: Database, limit: int, project: str | None) -> list[RunRow]:
    """Newest ended workflows first, of one project (slug) or all."""
    if project is None:
        return _runs(db, "ORDER BY w.stopped_at DESC, w._id DESC LIMIT ?", (limit,), _FROM_THE_END)
    return _runs(
        db,
        "AND w._project IN (SELECT project FROM dim_project_slug WHERE slug = ?)"
        " ORDER BY w.stopped_at DESC, w._id DESC LIMIT ?",
        (project, limit),
    )


def _page(since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int) -> tuple[Any, ...]:
    at_ms, key = after or (since_ms - 1, "")
    return max(since_ms, at_ms), until_ms, at_ms, encode_key(key), limit


def runs_between(db: Database, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int) -> list[RunRow]:
    """A page of ended workflows by end time and id, oldest first."""
    return _runs(db, _PAGE.format("w"), _page(since_ms, until_ms, after, limit))


def jobs_between(db: Database, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int) -> list[JobRow]:
    """A page of ended jobs by end time and id, oldest first."""
    return jobs_where(db, _PAGE.format("j"), _page(since_ms, until_ms, after, limit))


def deployments_between(
    db: Database,
    since_ms: int,
    until_ms: int,
    after: tuple[int, str] | None,
    *,
    limit: int,
    project: str | None,
) -> list[DeploymentRow]:
    """A page of ended deployments by end time and id, oldest first, of one project (slug) or all."""
    slugs: dict[int, str] = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    wanted = [number for number, slug in slugs.items() if project in (None, slug)]
    of = f"AND d._project IN ({', '.join(map(str, wanted))}) "
    rows = db.execute(_DEPLOYMENT + of + _PAGE.format("d"), _page(since_ms, until_ms, after, limit)).fetchall()
    numbers = {number for row in rows for number in (row[2], row[3], row[4], row[11]) if number is not None}
    listed = ", ".join(map(str, numbers))
    texts: dict[int | None, str] = dict(db.execute(f"SELECT id, text FROM dim WHERE id IN ({listed})").fetchall())
    return [
        DeploymentRow(
            deployment_id=decode_key(key),
            project=slugs[number],
            name=texts.get(name, ""),
            environment=texts.get(environment, ""),
            status=texts.get(status, ""),
            revision=revision or "",
            version=version or "",
            started_ms=started,
            stopped_ms=stopped,
            workflow_id=_key(run),
            job_id=_key(job),
            origin=texts.get(origin, ""),
            url=url or "",
        )
        for key, number, name, environment, status, revision, version, started, stopped, run, job, origin, url in rows
    ]


def series(
    db: Database,
    kind: RollupKind,
    *,
    project: str,
    workflow: str,
    job: str | None,
    branch_class: int | None,
    statuses: Collection[str],
    before_ms: int,
    limit: int,
) -> list[RunRow | JobRow]:
    """The newest that qualify, oldest first: an index look-up for each branch class, then the rows themselves."""
    if (job is None) is not (kind == "workflow"):
        return []
    names = [word(db, workflow)] if job is None else [word(db, workflow) or 0, word(db, job)]
    if (workflow and not names[0]) or (job and not names[1]):
        return []
    place = "name IS ?" if job is None else "_run = ? AND name IS ?"
    found: list[tuple[int, bytes | str, int]] = []
    for number in project_ids(db, project):
        for one in (0, 1) if branch_class is None else (branch_class,):
            found += db.execute(
                f"SELECT stopped_at, _key, _id FROM {kind} INDEXED BY {kind}_series WHERE _terminal AND _project = ?"
                f" AND {place} AND _class = ? AND stopped_at < ? AND {statuses_sql(db, 'status', statuses)}"
                " ORDER BY stopped_at DESC, _key DESC LIMIT ?",
                (number, *names, one, before_ms, limit),
            ).fetchall()
    return _with_ids(db, kind, (number for _, _, number in sorted(found, key=_newest)[:limit]))


def newest_runs(
    db: Database, names: Mapping[str, Collection[str]], branch_class: int | None, before_ms: int, limit: int
) -> list[RunRow]:
    """Look-ups in the index for each project, name and class, then the rows themselves, newest first."""
    chosen: list[int] = []
    for project, workflows in names.items():
        words = [None if not name else number for name in workflows if (number := word(db, name)) or not name]
        found: list[tuple[int, bytes | str, int]] = []
        for number, name, one in product(project_ids(db, project), words, (0, 1)):
            if branch_class in (None, one):
                found += db.execute(_NEWEST, (number, name, one, before_ms, limit)).fetchall()
        chosen += [row_id for _, _, row_id in sorted(found, key=_newest)[:limit]]
    listed = ", ".join(map(str, chosen))
    return _runs(db, f"AND w._id IN ({listed}) ORDER BY w.stopped_at DESC, w._key DESC", ())


_NEWEST = (
    "SELECT stopped_at, _key, _id FROM workflow INDEXED BY workflow_series WHERE _terminal AND _project = ?"
    " AND name IS ? AND _class = ? AND stopped_at < ? ORDER BY stopped_at DESC, _key DESC LIMIT ?"
)


def _newest(row: tuple[int, bytes | str, int]) -> tuple[int, bool, list[int]]:
    """Sorts the newest first, of equal ends that with the greatest id as the database orders them."""
    key = row[1]
    return -row[0], isinstance(key, str), [-one for one in (key.encode() if isinstance(key, str) else key)]


def _with_ids(db: Database, kind: RollupKind, numbers: Iterable[int]) -> list[RunRow | JobRow]:
    listed = ", ".join(map(str, numbers))
    if kind == "workflow":
        return [*_runs(db, f"AND w._id IN ({listed}) ORDER BY w.stopped_at, w._key", ())]
    return [*jobs_where(db, f"AND j._id IN ({listed}) ORDER BY j.stopped_at, j._key", ())]
