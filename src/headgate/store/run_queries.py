"""Questions about ended runs, jobs and deployments. Every function gets a connection inside a read transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from headgate.core.render import APP_URL, job_spans, run_url
from headgate.core.rollup import RollupKind
from headgate.core.runrows import DeploymentRow, JobRow, RunChoice, RunRow
from headgate.core.status import Status, map_status
from headgate.store.schema import decode_key, encode_key
from headgate.store.sql import Database
from headgate.store.words import project_ids, statuses_sql, texts_of, word

__all__ = [
    "JOB_COLUMNS",
    "OF_JOB",
    "app_urls",
    "deployments_between",
    "job_rows",
    "jobs_between",
    "newest_runs",
    "recent_runs",
    "runs_between",
    "series",
]

# Words are numbers, which are looked up together (`_texts`). A pipeline is read where the workflow lacks what it tells.
_ABOVE = (
    "iif(w.ref_name IS NULL OR w.revision IS NULL OR w.pipeline_number IS NULL OR w.trigger_type IS NULL, {0}, NULL)"
)
# The list of a workflow's jobs alone tells their types, and of approvals at all.
_APPROVAL = "h.type = (SELECT id FROM dim WHERE family = 0 AND text = 'approval')"
_IN_IT = "h.workflow_id = w._key AND h._host = w._host"
_RUN = f"""
SELECT w._key, p.slug, w.name, coalesce(w.ref_name, pl.ref_name), w._class, w.status, w.stopped_at, w.created_at,
  coalesce(w.revision, pl.revision), coalesce(w.pipeline_number, pl.number), w._source, w.credits, w.attempt,
  w.rerun_of, coalesce(w.trigger_type, pl.trigger_type), w.credits_estimated,
  (SELECT iif(count(h.type) = 0 OR max({_APPROVAL} AND h.started_at IS NOT NULL AND h.stopped_at IS NULL), NULL,
    coalesce(sum(iif({_APPROVAL}, max(0, h.stopped_at - h.started_at), 0)), 0)) FROM job h WHERE {_IN_IT})
FROM workflow w
JOIN dim_project p ON p.id = w._project
LEFT JOIN pipeline pl ON pl._key = {_ABOVE.format("w.pipeline_id")} AND pl._host = w._host
WHERE w._terminal AND w.stopped_at IS NOT NULL
"""
_RUN_WORDS = (2, 3, 5, 10, 14)
# From the newest on: a plan by project would read and sort all.
_FROM_THE_END = _RUN.replace("FROM workflow w\nJOIN", "FROM workflow w INDEXED BY workflow_end\nCROSS JOIN")
JOB_COLUMNS = """j._key, j.workflow_id, p.slug, j._run, j.name, coalesce(w.ref_name, pl.ref_name), j._class, j.status,
  j.type, j.resource_class, j.executor, j.parallelism, j.queued_at, j.started_at, j.stopped_at, j.credits,
  coalesce(w.revision, pl.revision), j.number, coalesce(w.pipeline_number, pl.number), j._source,
  coalesce(w.trigger_type, pl.trigger_type)"""
# What stands beside a job to make a row of it.
OF_JOB = f"""
JOIN dim_project p ON p.id = j._project
LEFT JOIN workflow w ON w._key = j.workflow_id AND w._host = j._host
LEFT JOIN pipeline pl ON pl._key = {_ABOVE.format("coalesce(j.pipeline_id, w.pipeline_id)")} AND pl._host = j._host
"""
_JOB = f"SELECT {JOB_COLUMNS} FROM job j {OF_JOB} WHERE j._terminal AND j.stopped_at IS NOT NULL "
_JOB_WORDS = (3, 4, 5, 7, 8, 9, 10, 19, 20)
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


def _texts(db: Database, rows: Sequence[tuple[Any, ...]], places: Collection[int]) -> dict[int | None, str]:
    """The words of some columns by their numbers."""
    columns = list(zip(*rows, strict=True))
    return texts_of(db, set().union(*(columns[place] for place in places)) if columns else ())


def _runs(db: Database, more: str, bound: tuple[Any, ...], head: str = _RUN) -> list[RunRow]:
    """Ended workflows; `more` is the rest of the query, written in this module."""
    urls, rows = app_urls(db), db.execute(head + more, bound).fetchall()
    texts = _texts(db, rows, _RUN_WORDS)
    found = []
    for row in rows:
        key, slug, name, ref, branch, status, stopped, created, revision, number, source = row[:11]
        spent, attempt, rerun_of, trigger, estimated, hold = row[11:]
        text = decode_key(key)
        found.append(
            RunRow(
                workflow_id=text,
                project=slug,
                workflow=texts[name],
                ref=texts[ref],
                branch_class=branch,
                status=map_status(texts[status]),
                stopped_ms=stopped,
                duration_ms=None if created is None else max(0, stopped - created),
                revision=revision or "",
                pipeline_number=number,
                url=run_url(slug, urls.get(texts[source], APP_URL), number, text) or "",
                created_ms=created,
                hold_ms=hold,
                credits=spent,
                attempt=attempt or 1,
                rerun_of=_key(rerun_of),
                trigger=texts[trigger],
                credits_estimated=bool(estimated),
                source=texts[source],
            )
        )
    return found


def _jobs(db: Database, more: str, bound: tuple[Any, ...]) -> list[JobRow]:
    """Ended jobs; `more` is the rest of the query, written in this module."""
    return job_rows(db, db.execute(_JOB + more, bound).fetchall())


def job_rows(db: Database, rows: Sequence[tuple[Any, ...]]) -> list[JobRow]:
    """Jobs of rows that begin with `JOB_COLUMNS`, in their order."""
    urls, texts = app_urls(db), _texts(db, rows, _JOB_WORDS)
    statuses = {number: map_status(text) for number, text in texts.items()}
    return [_job(row, texts, statuses, urls) for row in rows]


def _job(
    row: tuple[Any, ...],
    texts: Mapping[int | None, str],
    statuses: Mapping[int | None, Status],
    urls: Mapping[str, str],
) -> JobRow:
    """Its arguments are in the order of the fields: told by name, they take a third of the time of all this."""
    key, run, slug, workflow, name, ref, branch, status, kind, size, executor, parallelism = row[:12]
    queued, started, stopped, spent, revision, number, pipeline, source, trigger = row[12:21]
    run = "" if run is None else decode_key(run)
    url = run_url(slug, urls.get(texts[source], APP_URL), pipeline, run or None) or ""
    return JobRow(
        decode_key(key),
        run,
        slug,
        texts[workflow],
        texts[name],
        texts[ref],
        branch,
        statuses[status],
        texts[kind],
        texts[size],
        texts[executor],
        parallelism,
        started,
        stopped,
        *job_spans(statuses[status], texts[kind], queued, started, stopped),
        spent,
        revision or "",
        number,
        f"{url}/jobs/{number}" if url and number is not None else url,
        texts[trigger],
    )


def recent_runs(db: Database, limit: int, project: str | None) -> list[RunRow]:
    """Newest ended workflows first, of one project (slug) or all."""
    if project is None:
        return _runs(db, "ORDER BY w.stopped_at DESC, w._id DESC LIMIT ?", (limit,), _FROM_THE_END)
    of_it = "AND w._project IN (SELECT project FROM dim_project_slug WHERE slug = ?)"
    return _runs(db, f"{of_it} ORDER BY w.stopped_at DESC, w._id DESC LIMIT ?", (project, limit))


def _page(since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int) -> tuple[Any, ...]:
    at_ms, key = after or (since_ms - 1, "")
    return max(since_ms, at_ms), until_ms, at_ms, encode_key(key), limit


def runs_between(db: Database, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int) -> list[RunRow]:
    """A page of ended workflows by end time and id, oldest first."""
    return _runs(db, _PAGE.format("w"), _page(since_ms, until_ms, after, limit))


def jobs_between(db: Database, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int) -> list[JobRow]:
    """A page of ended jobs by end time and id, oldest first."""
    return _jobs(db, _PAGE.format("j"), _page(since_ms, until_ms, after, limit))


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
    texts = _texts(db, rows, (2, 3, 4, 11))
    return [
        DeploymentRow(
            deployment_id=decode_key(key),
            project=slugs[number],
            name=texts[name],
            environment=texts[environment],
            status=texts[status],
            revision=revision or "",
            version=version or "",
            started_ms=started,
            stopped_ms=stopped,
            workflow_id=_key(run),
            job_id=_key(job),
            origin=texts[origin],
            url=url or "",
        )
        for key, number, name, environment, status, revision, version, started, stopped, run, job, origin, url in rows
    ]


# A word of a run, or of that of a job; where it has none, of its pipeline.
_OF_RUN = "(SELECT {0} FROM workflow WHERE _key = w.workflow_id AND _host = w._host)"
_SAYS: Mapping[RollupKind, str] = {
    "workflow": "coalesce(w.{0}, (SELECT {0} FROM pipeline WHERE _key = w.pipeline_id AND _host = w._host))",
    "job": f"coalesce({_OF_RUN}, (SELECT {{0}} FROM pipeline WHERE _host = w._host"
    f" AND _key = coalesce(w.pipeline_id, {_OF_RUN.format('pipeline_id')})))",
}


def series(
    db: Database,
    kind: RollupKind,
    *,
    project: str,
    workflow: str,
    job: str | None,
    chosen: RunChoice,
    statuses: Collection[str],
    span: tuple[int, int],
    limit: int,
) -> list[RunRow | JobRow]:
    """The newest that qualify, oldest first: an index look-up for each branch class, then the rows themselves."""
    names = [word(db, workflow)] if job is None else [word(db, workflow) or 0, word(db, job)]
    if (job is None) is not (kind == "workflow") or (workflow and not names[0]) or (job and not names[1]):
        return []
    place = "name IS ?" if job is None else "_run = ? AND name IS ?"
    found: list[tuple[int, bytes | str, int]] = []
    words = {"ref_name": chosen.branch, "trigger_type": chosen.trigger}
    named = {name: word(db, text) for name, text in words.items() if text}
    more = "".join(f" AND {_SAYS[kind].format(name)} = ?" for name in named)
    for number in project_ids(db, project):
        for one in (0, 1) if chosen.branch_class is None else (chosen.branch_class,):
            found += db.execute(
                f"SELECT stopped_at, _key, _id FROM {kind} w INDEXED BY {kind}_series WHERE _terminal AND _project = ?"
                f" AND {place} AND _class = ? AND stopped_at >= ? AND stopped_at < ?"
                f" AND {statuses_sql(db, 'status', statuses)}{more} ORDER BY stopped_at DESC, _key DESC LIMIT ?",
                (number, *names, one, *span, *named.values(), limit),
            ).fetchall()
    return _with_ids(db, kind, (number for _, _, number in sorted(found, key=_newest)[:limit]))


def newest_runs(
    db: Database,
    names: Mapping[str, Collection[str] | None],
    chosen: RunChoice,
    span: tuple[int, tuple[int, str]],
    limit: int,
) -> list[RunRow]:
    """Where the newest of all are not asked for, by look-ups for each name and class or the branch; newest first."""
    taken = _taken(db, chosen)
    since_ms, (at_ms, key) = span
    whole = [project for project, workflows in names.items() if workflows is None]
    last = _from_the_end(db, whole, (since_ms, at_ms), limit) if chosen == RunChoice() and not key else {}
    ids = [row_id for of_project in last.values() for row_id in of_project]
    bound = {**taken[1], "since": since_ms, "at": at_ms, "key": encode_key(key), "limit": limit}
    for project in names.keys() - last.keys():
        numbers, found = project_ids(db, project), list[tuple[int, bytes | str, int]]()
        for place in _places(chosen, numbers, _words(db, numbers, names[project])):
            found += db.execute(_NEWEST.format(*place[:2], taken[0]), {**bound, **place[2]}).fetchall()
        ids += [row_id for _, _, row_id in sorted(found, key=_newest)[:limit]]
    listed = ", ".join(map(str, ids))
    runs = _runs(db, f"AND w._id IN ({listed}) ORDER BY w.stopped_at DESC, w._key DESC", ())
    left = dict.fromkeys(names, limit)
    return [run for run in runs if _takes_one(left, run.project)]


def _takes_one(left: dict[str, int], project: str) -> bool:
    """Whether there was one left."""
    left[project] -= 1
    return left[project] >= 0


_LATEST = (
    "SELECT stopped_at, _project, _id FROM workflow INDEXED BY workflow_end"
    " WHERE _terminal AND stopped_at >= ? AND stopped_at < ? ORDER BY stopped_at DESC LIMIT ?"
)
# How many more than are wanted of each project are looked at, and how many at most: looking one up costs as much as a
# hundred of these.
_TIMES, _MOST_LATEST = 8, 20_000


def _from_the_end(
    db: Database, projects: Collection[str], span: tuple[int, int], limit: int
) -> Mapping[str, Sequence[int]]:
    """Project -> rows with its last `limit` runs, and those that ended at once with the earliest of them.

    Projects that have had fewer lately are absent.
    """
    slugs: dict[int, str] = dict(db.execute("SELECT id, slug FROM dim_project").fetchall()) if projects else {}
    most = min(_TIMES * limit * len(slugs), _MOST_LATEST)
    rows = db.execute(_LATEST, (*span, most)).fetchall()
    found: dict[str, list[tuple[int, int]]] = {project: [] for project in projects}
    for stopped_ms, number, row_id in rows:
        last = found.get(slugs.get(number, ""))
        if last is not None and (len(last) < limit or last[-1][0] == stopped_ms):
            last.append((stopped_ms, row_id))
    # Others may have ended at once with the last one that was looked at.
    after_ms = rows[-1][0] if len(rows) == most and rows else -1
    return {
        project: [row_id for _, row_id in last]
        for project, last in found.items()
        if after_ms < 0 or (len(last) >= limit and last[-1][0] > after_ms)
    }


_NAMES = """
WITH RECURSIVE known (name) AS (
  SELECT min(name) FROM workflow INDEXED BY workflow_series WHERE _terminal AND _project = ?1 AND name >= 0
  UNION ALL SELECT (SELECT min(name) FROM workflow INDEXED BY workflow_series
    WHERE _terminal AND _project = ?1 AND name > known.name) FROM known WHERE name IS NOT NULL
)
SELECT name FROM known
"""


def _words(db: Database, projects: Iterable[int], names: Collection[str] | None) -> list[int | None]:
    """Numbers of names that any run has; None for runs without one."""
    if names is None:
        return list({row[0] for number in projects for row in db.execute(_NAMES, (number,))})
    return [None if not name else number for name in names if (number := word(db, name)) or not name]


_NEWEST = (
    "SELECT w.stopped_at, w._key, w._id FROM workflow w INDEXED BY {0} WHERE w._terminal AND w._project = :project"
    " AND {1}{2} AND w.stopped_at >= :since AND w.stopped_at <= :at AND (w.stopped_at, w._key) < (:at, :key)"
    " ORDER BY w.stopped_at DESC, w._key DESC LIMIT :limit"
)
_IS = _SAYS["workflow"] + " = :{0}"


def _taken(db: Database, chosen: RunChoice) -> tuple[str, dict[str, int | None]]:
    """What a choice asks of rows beside what an index finds by, and what is bound in either."""
    more, bound = "", {"ref_name": word(db, chosen.branch), "trigger_type": word(db, chosen.trigger)}
    if chosen.status:
        more += f" AND {statuses_sql(db, 'w.status', (chosen.status,))}"
    if chosen.trigger:
        more += f" AND {_IS.format('trigger_type')}"
    return more, bound


def _places(
    chosen: RunChoice, projects: Sequence[int], words: Sequence[int | None]
) -> Iterator[tuple[str, str, dict[str, int | None]]]:
    """The index to look in, by which condition, and what is bound in that."""
    classes = (0, 1) if chosen.branch_class is None else (chosen.branch_class,)
    if not chosen.branch:
        for project, name, one in product(projects, words, classes):
            bound = {"project": project, "name": name, "class": one}
            yield "workflow_series", "w.name IS :name AND w._class = :class", bound
        return
    names = ", ".join(str(name or 0) for name in words)
    kept = f"coalesce(w.name, 0) IN ({names}) AND w._class IN ({', '.join(map(str, classes))})"
    for project in projects:
        for where in ("w.ref_name = :ref_name", f"w.ref_name IS NULL AND {_IS.format('ref_name')}"):
            yield "workflow_branch", f"{where} AND {kept}", {"project": project}


def _newest(row: tuple[int, bytes | str, int]) -> tuple[int, bool, list[int]]:
    """Sorts the newest first, of equal ends that with the greatest id as the database orders them."""
    key = row[1]
    return -row[0], isinstance(key, str), [-one for one in (key.encode() if isinstance(key, str) else key)]


def _with_ids(db: Database, kind: RollupKind, numbers: Iterable[int]) -> list[RunRow | JobRow]:
    listed = ", ".join(map(str, numbers))
    if kind == "workflow":
        return [*_runs(db, f"AND w._id IN ({listed}) ORDER BY w.stopped_at, w._key", ())]
    return [*_jobs(db, f"AND j._id IN ({listed}) ORDER BY j.stopped_at, j._key", ())]
