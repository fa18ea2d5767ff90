"""Questions about one run with its jobs and steps, and about what projects there are. Connections of a reader."""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.core.render import APP_URL, run_url
from headgate.core.runrows import ProjectRow, RunDetail, RunJob, RunStep
from headgate.core.status import OUR_STATUSES, map_status
from headgate.core.tally import Bounds
from headgate.store.run_queries import app_urls
from headgate.store.schema import decode_key, encode_key
from headgate.store.sql import Database
from headgate.store.words import project_ids, statuses_sql

__all__ = ["branch_counts", "projects", "run_detail"]

_RUN = """
SELECT w._host, w._project, p.slug, n.text, coalesce(r.text, pr.text), w._class, s.text, w.created_at, w.stopped_at,
  coalesce(w.revision, pl.revision), coalesce(w.pipeline_number, pl.number), c.text, w.credits, w.credits_estimated,
  w.attempt, w.rerun_of, coalesce(t.text, pt.text), coalesce(a.text, pa.text),
  coalesce(w.commit_subject, pl.commit_subject)
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
LEFT JOIN dim a ON a.id = w.author_login
LEFT JOIN dim pa ON pa.id = pl.author_login
WHERE w._key = ? LIMIT 1
"""
_JOBS = """
SELECT j._key, n.text, ty.text, s.text, j.created_at, j.queued_at, j.started_at, j.stopped_at, j.requires, rc.text,
  ex.text, j.parallelism, j.credits, j.number
FROM job j INDEXED BY job_workflow
LEFT JOIN dim n ON n.id = j.name
LEFT JOIN dim ty ON ty.id = j.type
LEFT JOIN dim s ON s.id = j.status
LEFT JOIN dim rc ON rc.id = j.resource_class
LEFT JOIN dim ex ON ex.id = j.executor
WHERE j.workflow_id = ? AND j._host = ? AND j._gone = 0
ORDER BY coalesce(j.queued_at, j.started_at, j.created_at, j._seen_ms), j._key
"""
# From branch to branch through the index, where mostly the first run of each decides; runs that do not tell theirs are
# asked for that of their pipeline.
_BRANCHES = """
WITH RECURSIVE branch (name) AS (
  SELECT min(ref_name) FROM workflow INDEXED BY workflow_branch WHERE _terminal AND _project = ?1 AND ref_name >= 0
  UNION ALL SELECT (SELECT min(ref_name) FROM workflow INDEXED BY workflow_branch
    WHERE _terminal AND _project = ?1 AND ref_name > branch.name) FROM branch WHERE name IS NOT NULL
)
SELECT count(*) FROM (
  SELECT name FROM branch WHERE EXISTS (SELECT 1 FROM workflow INDEXED BY workflow_branch
    WHERE _terminal AND _project = ?1 AND ref_name = branch.name AND stopped_at >= ?2 AND stopped_at < ?3 AND {ran})
  UNION SELECT pl.ref_name FROM workflow w INDEXED BY workflow_branch
    JOIN pipeline pl ON pl._key = w.pipeline_id AND pl._host = w._host
    WHERE w._terminal AND w._project = ?1 AND w.ref_name IS NULL AND w.stopped_at >= ?2 AND w.stopped_at < ?3
      AND pl.ref_name IS NOT NULL AND {ran}
)
"""
# A step ends while its job runs: a short range of the index by end.
_STEPS = """
SELECT st.job_id, st."index", st.node, n.text, s.text, st.started_at, st.stopped_at, st.exit_code
FROM step st INDEXED BY step_end
LEFT JOIN dim n ON n.id = st.name
LEFT JOIN dim s ON s.id = st.status
WHERE st._project = ? AND st.stopped_at >= ? AND st.stopped_at <= ? AND st._host = ?
  AND st.job_id IN (SELECT j._key FROM job j WHERE j.workflow_id = ? AND j._host = ?)
ORDER BY coalesce(st.started_at, st.stopped_at), st.node, st."index", st._key
"""
# Clocks of machines differ.
_SLACK_MS = 60_000


def projects(db: Database) -> list[ProjectRow]:
    """By slug."""
    rows = db.execute("SELECT slug, org, default_branch FROM dim_project ORDER BY slug, id")
    found: dict[str, ProjectRow] = {}
    for slug, org, branch in rows:
        found.setdefault(slug, ProjectRow(slug, org, branch or ""))
    return list(found.values())


def branch_counts(db: Database, bounds: Bounds) -> dict[str, int]:
    """A project at a time."""
    found: dict[str, int] = {}
    ran = statuses_sql(db, "status", {*OUR_STATUSES} - {"skipped"})
    for slug, (since_ms, until_ms) in bounds.items():
        for number in project_ids(db, slug):
            n = db.execute(_BRANCHES.format(ran=ran), (number, since_ms, until_ms)).get
            if n:
                found[slug] = found.get(slug, 0) + n
    return found


def run_detail(db: Database, workflow_id: str) -> RunDetail | None:
    """A workflow by its key."""
    key = encode_key(workflow_id)
    row = db.execute(_RUN, (key,)).fetchone()
    if row is None:
        return None
    host, project, slug, name, ref, branch, status, created, stopped, revision, number, source = row[:12]
    spent, estimated, attempt, rerun_of, trigger, author, subject = row[12:]
    jobs = tuple(_job(one) for one in db.execute(_JOBS, (key, host)))
    times = [at for job in jobs for at in (job.started_ms, job.stopped_ms) if at is not None]
    steps: tuple[RunStep, ...] = ()
    if times:
        bounds = (project, min(times) - _SLACK_MS, max(times) + _SLACK_MS)
        steps = tuple(_step(one) for one in db.execute(_STEPS, (*bounds, host, key, host)))
    return RunDetail(
        workflow_id=workflow_id,
        project=slug,
        workflow=name or "",
        ref=ref or "",
        branch_class=branch,
        status=map_status(status or ""),
        created_ms=created,
        stopped_ms=stopped,
        revision=revision or "",
        pipeline_number=number,
        url=run_url(slug, app_urls(db).get(source, APP_URL), number, workflow_id) or "",
        credits=spent,
        credits_estimated=bool(estimated),
        attempt=attempt or 1,
        rerun_of="" if rerun_of is None else decode_key(rerun_of),
        trigger=trigger or "",
        author=author or "",
        subject=subject or "",
        jobs=jobs,
        steps=steps,
    )


def _job(row: tuple[Any, ...]) -> RunJob:
    key, name, kind, status, created, queued, started, stopped, requires, size, executor, parallelism = row[:12]
    return RunJob(
        job_id=decode_key(key),
        job=name or "",
        type=kind or "",
        status=map_status(status or ""),
        created_ms=created,
        queued_ms=queued,
        started_ms=started,
        stopped_ms=stopped,
        requires=tuple(msgspec.json.decode(requires)) if requires else (),
        resource_class=size or "",
        executor=executor or "",
        parallelism=parallelism,
        credits=row[12],
        number=row[13],
    )


def _step(row: tuple[Any, ...]) -> RunStep:
    job, index, node, name, status, started, stopped, code = row
    return RunStep(decode_key(job), index, node or 0, name or "", map_status(status or ""), started, stopped, code)
