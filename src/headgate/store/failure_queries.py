"""Questions about why jobs failed and about the results of one test. Every function gets a connection of a reader."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from headgate.core.detailrows import MOST_FAILED_TESTS, FailedJob, FailedStep, FailedTest, TestRun
from headgate.core.runrows import JobRow
from headgate.core.status import FAILED, map_status
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS
from headgate.store.run_queries import JOB_COLUMNS, OF_JOB, job_rows
from headgate.store.schema import KIND_NUMBER, decode_key, encode_key
from headgate.store.sql import Database
from headgate.store.words import project_ids, statuses_sql, texts_of, word

__all__ = ["failed_jobs", "test_runs"]

# Steps of a job end before it does, but for clocks of machines that differ.
_SLACK_MS = 60_000
_LONGEST_JOB_MS = 6 * 3_600_000
# Where at most this share of all projects is asked for, jobs are found by their names: by their ends are those of all.
_FEW = 10
# The cast lets SQLite look bounds up by their project: a value of JSON has no type.
_SPANS = (
    "WITH RECURSIVE spans (project, since, until) AS MATERIALIZED ("
    " SELECT CAST(value ->> 0 AS INTEGER), value ->> 1, value ->> 2 FROM json_each(:spans))"
)
_NEWEST = (
    " AND j.stopped_at >= s.since AND j.stopped_at < s.until AND {failed}"
    " ORDER BY j.stopped_at DESC, j._key DESC LIMIT :limit"
)
_BY_TIME = (
    _SPANS
    + " SELECT j._id FROM job j INDEXED BY job_end CROSS JOIN spans s ON s.project = j._project"
    + " WHERE j._terminal AND j.stopped_at >= :since AND j.stopped_at < :until"
    + _NEWEST
)
# All have the same bounds: joined with them, each job would be held against those of every project.
_BY_TIME_ALONE = (
    "SELECT j._id FROM job j INDEXED BY job_end WHERE j._terminal AND j.stopped_at >= :since AND j.stopped_at < :until"
    " AND j._project {projects} AND {failed}"
    " ORDER BY j.stopped_at DESC, j._key DESC LIMIT :limit"
)
_BY_NAME = (
    _SPANS + ", days (day) AS (SELECT max(:first, min(bucket)) FROM rollup_day"
    " UNION ALL SELECT day + 1 FROM days WHERE day < :last)"
    ", places (run, job, class, project, since, until) AS MATERIALIZED ("
    " SELECT DISTINCT r.run, r.job, r.class, s.project, s.since, s.until FROM spans s"
    " CROSS JOIN days e CROSS JOIN rollup_day r ON r.bucket = e.day AND r.kind = :kind AND r.project = s.project)"
    " SELECT j._id FROM places s CROSS JOIN job j INDEXED BY job_series ON j._project = s.project AND j._run = s.run"
    " AND j.name IS nullif(s.job, 0) AND j._class = s.class WHERE j._terminal" + _NEWEST
)
_JOBS = """
SELECT {columns}, j.messages FROM ({chosen}) c CROSS JOIN job j ON j._id = c._id {of}
ORDER BY j.stopped_at DESC, j._key DESC
"""
# `JOB_COLUMNS` without what workflows and pipelines tell.
_OWN_COLUMNS = """j._key, j.workflow_id, p.slug, j._run, j.name, NULL, j._class, j.status,
  j.type, j.resource_class, j.executor, j.parallelism, j.queued_at, j.started_at, j.stopped_at, j.credits,
  NULL, j.number, NULL, j._source, NULL"""
_WHOLE, _ALONE = (JOB_COLUMNS, OF_JOB), (_OWN_COLUMNS, "JOIN dim_project p ON p.id = j._project")
# The index alone tells whose they are: steps of other jobs are not looked up.
_STEPS_OF = """
SELECT st.job_id, st._id FROM step st INDEXED BY step_end
WHERE st._project IN ({projects}) AND st.stopped_at >= :since AND st.stopped_at <= :until AND {failed}
"""
_STEPS = """
SELECT st.job_id, st.name, st."index", coalesce(st.node, 0), st.status, st.exit_code, coalesce(st.output_tail, '')
FROM json_each(?) e CROSS JOIN step st ON st._id = e.value
ORDER BY st.job_id, st."index", st.node, st._key
"""
_TESTS = """
SELECT job_id, test_id, name, class_name, message, n FROM (
  SELECT t.job_id, t.test_id, coalesce(t.name, '') AS name, coalesce(c.text, '') AS class_name,
    coalesce(t.message, '') AS message, count(*) OVER (PARTITION BY t.job_id) AS n,
    row_number() OVER (PARTITION BY t.job_id ORDER BY t.name, t._key) AS place
  FROM test_result t INDEXED BY test_result_end LEFT JOIN dim c ON c.id = t.class_name
  WHERE t._project IN ({projects}) AND t.stopped_at >= :since AND t.stopped_at <= :until AND t.result = {failed}
) WHERE place <= :most ORDER BY job_id, place
"""


def failed_jobs(db: Database, bounds: Bounds, limit: int, *, alone: bool) -> list[FailedJob]:
    """Jobs by an index of ends or of names, then what belongs to them from short ranges of other indexes."""
    told = _newest(db, bounds, limit, alone=alone)
    if not told:
        return []
    rows = job_rows(db, told)
    seen, slugs = {row.project for row in rows}, db.execute("SELECT id, slug FROM dim_project")
    numbers = ", ".join(str(number) for number, slug in slugs if slug in seen)
    steps, tests = _steps(db, rows, numbers, {one[0] for one in told}), _tests(db, rows, numbers)
    return [
        FailedJob(row, steps.get(one[0], ()), *tests.get(one[0], _NO_TESTS), _notes(one[-1]))
        for row, one in zip(rows, told, strict=True)
    ]


def _notes(messages: str | None) -> tuple[str, ...]:
    return () if messages is None else tuple(map(str, msgspec.json.decode(messages)))


def _newest(db: Database, bounds: Bounds, limit: int, *, alone: bool) -> list[tuple[Any, ...]]:
    """Failed jobs over all projects, newest first, with what is noted of them."""
    slugs = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    spans = {number: bounds[slug] for number, slug in slugs.items() if slug in bounds}
    if not spans:
        return []
    since_ms, until_ms = (
        min(since_ms for since_ms, _ in spans.values()),
        max(until_ms for _, until_ms in spans.values()),
    )
    bound = {
        "spans": msgspec.json.encode([(number, *span) for number, span in spans.items()]).decode(),
        "since": since_ms,
        "until": until_ms,
        "first": since_ms // DAY_MS,
        "last": until_ms // DAY_MS,
        "kind": KIND_NUMBER["job"],
        "limit": limit,
    }
    by_time = _BY_TIME_ALONE if len(set(spans.values())) == 1 else _BY_TIME
    chosen = _BY_NAME if len(spans) * _FEW <= len(slugs) else by_time
    # Each job that ended is looked at, so the shorter list matters.
    others, mine = (", ".join(map(str, numbers)) for numbers in (slugs.keys() - spans.keys(), spans))
    of_projects = f"NOT IN ({others})" if len(slugs) < 2 * len(spans) else f"IN ({mine})"
    chosen = chosen.format(failed=statuses_sql(db, "j.status", FAILED), projects=of_projects)
    columns, of = _ALONE if alone else _WHOLE
    return list(db.execute(_JOBS.format(columns=columns, chosen=chosen, of=of), bound).fetchall())


def _steps(
    db: Database, rows: Sequence[JobRow], projects: str, jobs: Collection[bytes | str]
) -> Mapping[bytes | str, tuple[FailedStep, ...]]:
    began = (row.stopped_ms - _LONGEST_JOB_MS if row.started_ms is None else row.started_ms for row in rows)
    bound = {"since": min(began) - _SLACK_MS, "until": rows[0].stopped_ms + _SLACK_MS}
    of = _STEPS_OF.format(projects=projects, failed=statuses_sql(db, "st.status", FAILED))
    chosen = [number for job, number in db.execute(of, bound) if job in jobs]
    told = db.execute(_STEPS, (msgspec.json.encode(chosen).decode(),)).fetchall()
    texts = texts_of(db, {row[1] for row in told} | {row[4] for row in told})
    statuses = {number: map_status(texts[number]) for number in {row[4] for row in told}}
    found = dict[bytes | str, tuple[FailedStep, ...]]()
    for key, name, index, node, status, code, tail in told:
        one = FailedStep(texts[name], index, node, statuses[status], code, tail)
        found[key] = (*found[key], one) if key in found else (one,)
    return found


_NO_TESTS: tuple[tuple[FailedTest, ...], int] = ((), 0)


def _tests(
    db: Database, rows: Sequence[JobRow], projects: str
) -> Mapping[bytes | str, tuple[tuple[FailedTest, ...], int]]:
    """The first of each job that ended in that time, and how many it has."""
    found = dict[bytes | str, tuple[tuple[FailedTest, ...], int]]()
    bound = {"since": rows[-1].stopped_ms, "until": rows[0].stopped_ms, "most": MOST_FAILED_TESTS}
    for job, test, name, class_name, message, n in db.execute(
        _TESTS.format(projects=projects, failed=word(db, "fail") or 0), bound
    ):
        one = FailedTest("" if test is None else decode_key(test), name, class_name, message)
        found[job] = ((*found.get(job, _NO_TESTS)[0], one), n)
    return found


_RUNS = """
SELECT t.test_id, coalesce(t.name, ''), coalesce(su.text, ''), coalesce(cl.text, ''), coalesce(fi.text, ''),
  coalesce(re.text, ''), coalesce({broken}, 0), t.run_ms, coalesce(t.message, ''), t.node, t.stopped_at, t.job_id,
  coalesce(jn.text, ''), j.workflow_id, coalesce(wn.text, ''), coalesce(r.text, pr.text, ''),
  coalesce(w.revision, pl.revision, ''), j.number, coalesce(j._class, 0)
FROM test_result t INDEXED BY test_result_end
LEFT JOIN job j ON j._key = t.job_id AND j._host = t._host
LEFT JOIN workflow w ON w._key = j.workflow_id AND w._host = t._host
LEFT JOIN pipeline pl ON pl._key = coalesce(j.pipeline_id, w.pipeline_id) AND pl._host = t._host
LEFT JOIN dim su ON su.id = t.suite
LEFT JOIN dim cl ON cl.id = t.class_name
LEFT JOIN dim fi ON fi.id = t.file
LEFT JOIN dim re ON re.id = t.result
LEFT JOIN dim jn ON jn.id = j.name
LEFT JOIN dim wn ON wn.id = w.name
LEFT JOIN dim r ON r.id = w.ref_name
LEFT JOIN dim pr ON pr.id = pl.ref_name
WHERE t._project IN ({projects}) AND t.stopped_at >= ? AND t.stopped_at < ? AND t.test_id = ?
ORDER BY t.stopped_at DESC, t._key DESC LIMIT ?
"""


def test_runs(db: Database, project: str, test_id: str, window: tuple[int, int], limit: int) -> list[TestRun]:
    """The newest results of one test."""
    numbers = ", ".join(map(str, project_ids(db, project) or [0]))
    broken = statuses_sql(db, "j.status", ("error",))
    rows = db.execute(_RUNS.format(projects=numbers, broken=broken), (*window, encode_key(test_id), limit))
    return [_test_run(row) for row in rows]


def _test_run(row: tuple[Any, ...]) -> TestRun:
    test, name, suite, class_name, file, result, broken, run_ms, message, node, stopped = row[:11]
    job_id, job, workflow_id, workflow, ref, revision, number, branch = row[11:]
    return TestRun(
        test_id=decode_key(test),
        name=name,
        suite=suite,
        class_name=class_name,
        file=file,
        result=result,
        infra=bool(broken),
        run_ms=run_ms,
        message=message,
        node=node,
        stopped_ms=stopped,
        job_id="" if job_id is None else decode_key(job_id),
        job=job,
        workflow_id="" if workflow_id is None else decode_key(workflow_id),
        workflow=workflow,
        ref=ref,
        revision=revision,
        number=number,
        branch_class=branch,
    )
