"""Questions about why jobs failed and about the results of one test. Every function gets a connection of a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headgate.core.detailrows import MOST_FAILED_TESTS, FailedJob, FailedStep, FailedTest, TestRun
from headgate.core.runrows import JobRow
from headgate.core.status import FAILED, map_status
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS
from headgate.store.run_queries import jobs_where
from headgate.store.schema import KIND_NUMBER, decode_key, encode_key
from headgate.store.sql import Database
from headgate.store.words import project_ids, statuses_sql, word

__all__ = ["failed_jobs", "test_runs"]

# Steps of a job end before it does, but for clocks of machines that differ.
_SLACK_MS = 60_000
_LONGEST_JOB_MS = 6 * 3_600_000
# Where at most this share of all projects is asked for, jobs are found by their names: by their ends are those of all.
_FEW = 10
_SPANS = (
    "WITH RECURSIVE spans (project, since, until) AS MATERIALIZED ("
    " SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:spans))"
)
_PAGE = (
    " AND j.stopped_at >= s.since AND j.stopped_at < s.until AND {failed} AND (j.stopped_at, j._key) < (:at, :key)"
    " ORDER BY j.stopped_at DESC, j._key DESC LIMIT :limit"
)
_BY_TIME = (
    _SPANS
    + " SELECT j._id FROM job j INDEXED BY job_end CROSS JOIN spans s ON s.project = j._project"
    + " WHERE j._terminal AND j.stopped_at >= :since AND j.stopped_at <= :at"
    + _PAGE
)
_BY_NAME = (
    _SPANS + ", days (day) AS (SELECT max(:first, min(bucket)) FROM rollup_day"
    " UNION ALL SELECT day + 1 FROM days WHERE day < :last)"
    ", places (run, job, class, project, since, until) AS MATERIALIZED ("
    " SELECT DISTINCT r.run, r.job, r.class, s.project, s.since, s.until FROM spans s"
    " CROSS JOIN days e CROSS JOIN rollup_day r ON r.bucket = e.day AND r.kind = :kind AND r.project = s.project)"
    " SELECT j._id FROM places s CROSS JOIN job j INDEXED BY job_series ON j._project = s.project AND j._run = s.run"
    " AND j.name IS nullif(s.job, 0) AND j._class = s.class WHERE j._terminal AND j.stopped_at <= :at" + _PAGE
)
_STEPS = """
SELECT st.job_id, n.text, st."index", coalesce(st.node, 0), s.text, st.exit_code, coalesce(st.output_tail, '')
FROM step st INDEXED BY step_end
LEFT JOIN dim n ON n.id = st.name
LEFT JOIN dim s ON s.id = st.status
WHERE st._project IN ({projects}) AND st.stopped_at >= ? AND st.stopped_at <= ? AND {failed}
  AND st.job_id IN (SELECT _key FROM job WHERE _id IN ({jobs}))
ORDER BY st.job_id, st."index", st.node, st._key
"""
_TESTS = """
SELECT job_id, test_id, name, class_name, message, n FROM (
  SELECT t.job_id, t.test_id, coalesce(t.name, '') AS name, coalesce(c.text, '') AS class_name,
    coalesce(t.message, '') AS message, count(*) OVER (PARTITION BY t.job_id) AS n,
    row_number() OVER (PARTITION BY t.job_id ORDER BY t.name, t._key) AS place
  FROM test_result t INDEXED BY test_result_end LEFT JOIN dim c ON c.id = t.class_name
  WHERE t._project IN ({projects}) AND t.stopped_at >= ? AND t.stopped_at <= ? AND t.result = {failed}
    AND t.job_id IN (SELECT _key FROM job WHERE _id IN ({jobs}))
) WHERE place <= ? ORDER BY job_id, place
"""


def failed_jobs(db: Database, bounds: Bounds, before: tuple[int, str] | None, limit: int) -> list[FailedJob]:
    """Jobs by an index of ends, then what belongs to them from short ranges of other indices."""
    ids = _chosen(db, bounds, before, limit)
    listed = ", ".join(map(str, ids))
    rows = jobs_where(db, f"AND j._id IN ({listed}) ORDER BY j.stopped_at DESC, j._key DESC", ())
    if not rows:
        return []
    numbers = ", ".join(str(number) for slug in {row.project for row in rows} for number in project_ids(db, slug))
    steps, tests = _steps(db, rows, numbers, listed), _tests(db, rows, numbers, listed)
    notes = dict(
        db.execute(f"SELECT _key, messages FROM job WHERE _id IN ({listed}) AND messages IS NOT NULL").fetchall()
    )
    return [
        FailedJob(
            row=row,
            steps=tuple(steps.get(row.job_id, ())),
            tests=tests.get(row.job_id, ((), 0))[0],
            tests_failed=tests.get(row.job_id, ((), 0))[1],
            notes=tuple(map(str, msgspec.json.decode(notes.get(encode_key(row.job_id), "[]")))),
        )
        for row in rows
    ]


def _chosen(db: Database, bounds: Bounds, before: tuple[int, str] | None, limit: int) -> list[int]:
    """Row numbers of a page of failed jobs over all projects."""
    slugs = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    spans = {number: bounds[slug] for number, slug in slugs.items() if slug in bounds}
    if not spans:
        return []
    at_ms, key = before or (max(until_ms for _, until_ms in spans.values()), "")
    bound = {
        "spans": msgspec.json.encode([(number, *span) for number, span in spans.items()]).decode(),
        "since": min(since_ms for since_ms, _ in spans.values()),
        "at": at_ms,
        "key": encode_key(key),
        "first": min(since_ms for since_ms, _ in spans.values()) // DAY_MS,
        "last": at_ms // DAY_MS,
        "kind": KIND_NUMBER["job"],
        "limit": limit,
    }
    failed = statuses_sql(db, "j.status", FAILED)
    found = db.execute((_BY_NAME if len(spans) * _FEW <= len(slugs) else _BY_TIME).format(failed=failed), bound)
    return [row[0] for row in found]


def _steps(db: Database, rows: Sequence[JobRow], projects: str, jobs: str) -> dict[str, list[FailedStep]]:
    failed = statuses_sql(db, "st.status", FAILED)
    began = [row.started_ms for row in rows if row.started_ms is not None]
    span = (min(began, default=rows[-1].stopped_ms - _LONGEST_JOB_MS) - _SLACK_MS, rows[0].stopped_ms + _SLACK_MS)
    found: dict[str, list[FailedStep]] = {}
    for key, name, index, node, status, code, tail in db.execute(
        _STEPS.format(projects=projects, failed=failed, jobs=jobs), span
    ):
        step = FailedStep(name or "", index, node, map_status(status or ""), code, tail)
        found.setdefault(decode_key(key), []).append(step)
    return found


def _tests(
    db: Database, rows: Sequence[JobRow], projects: str, jobs: str
) -> dict[str, tuple[tuple[FailedTest, ...], int]]:
    found: dict[str, tuple[tuple[FailedTest, ...], int]] = {}
    span = (rows[-1].stopped_ms, rows[0].stopped_ms, MOST_FAILED_TESTS)
    for key, test, name, class_name, message, n in db.execute(
        _TESTS.format(projects=projects, failed=word(db, "fail") or 0, jobs=jobs), span
    ):
        one = FailedTest("" if test is None else decode_key(test), name, class_name, message)
        job = decode_key(key)
        found[job] = ((*found.get(job, ((), 0))[0], one), n)
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
