"""Questions about what has not ended, and about tests and steps. Every function gets a connection of a reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import msgspec

from headgate.core.render import APP_URL, run_url
from headgate.core.runrows import LiveChoice, LiveRow, RunChoice, StepFailures, TestOutcome
from headgate.core.status import map_status
from headgate.core.tally import Bounds
from headgate.store.daysums import STEPS, sums_of
from headgate.store.run_queries import app_urls
from headgate.store.schema import IN_KEYS, decode_key, encode_key, keys_json
from headgate.store.sql import Database
from headgate.store.words import project_ids, statuses_sql, texts_of

__all__ = ["chosen_outcomes", "in_flight", "live_counts", "steps_failed", "test_id", "test_outcomes"]

_OPEN = "{0}._terminal = 0 AND {0}._gone = 0"
_WORD = "(SELECT id FROM dim WHERE family = 0 AND text = '{0}')"
_OF_RUN = f"FROM job h WHERE h.workflow_id = w._key AND h._host = w._host AND {_OPEN.format('h')}"
_HOLDS = f"{_OF_RUN} AND h.status = {_WORD.format('on_hold')}"
_ELSE = (
    f"EXISTS (SELECT 1 {_OF_RUN} AND h.status IS NOT {_WORD.format('on_hold')}"
    f" AND h.status IS NOT coalesce({_WORD.format('blocked')}, 0))"
)
# All that is left of it waits for somebody.
_HELD = f"(EXISTS (SELECT 1 {_HOLDS}) AND NOT {_ELSE})"
_CHOSEN_RUNS = f"""
FROM workflow w INDEXED BY workflow_unfinished
JOIN dim_project p ON p.id = w._project
LEFT JOIN pipeline pl ON pl._key = w.pipeline_id AND pl._host = w._host
LEFT JOIN dim n ON n.id = w.name
WHERE {_OPEN.format("w")}
"""
_CHOSEN_JOBS = f"""
FROM workflow w INDEXED BY workflow_unfinished
CROSS JOIN job j INDEXED BY job_workflow ON j.workflow_id = w._key AND j._host = w._host
JOIN dim_project p ON p.id = j._project
LEFT JOIN pipeline pl ON pl._key = coalesce(j.pipeline_id, w.pipeline_id) AND pl._host = j._host
LEFT JOIN dim n ON n.id = j._run
LEFT JOIN dim jn ON jn.id = j.name
WHERE {_OPEN.format("w")} AND {_OPEN.format("j")} AND j.status IS NOT coalesce({_WORD.format("blocked")}, 0)
"""
_ABOVE = """
LEFT JOIN dim r ON r.id = w.ref_name
LEFT JOIN dim pr ON pr.id = pl.ref_name
LEFT JOIN dim tr ON tr.id = coalesce(w.trigger_type, pl.trigger_type)
"""
# What a row says is looked up for those alone that are among the first.
_RUNS = f"""
WITH first AS MATERIALIZED (SELECT w._id, coalesce(w.created_at, w._seen_ms) AS at
  {_CHOSEN_RUNS} {{where}} ORDER BY at {{order}}, w._key LIMIT :limit)
SELECT w._key, NULL, p.slug, n.text, NULL, coalesce(r.text, pr.text), w._class, s.text,
  (SELECT max(h.stopped_at) FROM job h WHERE h.workflow_id = w._key AND h._host = w._host
    AND h.type = {_WORD.format("approval")}),
  (SELECT min(coalesce(h.started_at, h.queued_at, h.created_at, h._seen_ms)) {_HOLDS}),
  first.at, coalesce(w.pipeline_number, pl.number), c.text, {_ELSE}, tr.text
FROM first
CROSS JOIN workflow w ON w._id = first._id
JOIN dim_project p ON p.id = w._project
JOIN dim c ON c.id = w._source
LEFT JOIN pipeline pl ON pl._key = w.pipeline_id AND pl._host = w._host
LEFT JOIN dim n ON n.id = w.name
LEFT JOIN dim s ON s.id = w.status {_ABOVE}
"""
_JOBS = f"""
WITH first AS MATERIALIZED (SELECT w._id AS run, j._id, coalesce(j.created_at, j._seen_ms) AS at
  {_CHOSEN_JOBS} {{where}} ORDER BY at {{order}}, j._key LIMIT :limit)
SELECT j._key, j.workflow_id, p.slug, n.text, jn.text, coalesce(r.text, pr.text), j._class, s.text, j.queued_at,
  j.started_at, first.at, coalesce(w.pipeline_number, pl.number), c.text, j.number, tr.text
FROM first
CROSS JOIN workflow w ON w._id = first.run
CROSS JOIN job j ON j._id = first._id
JOIN dim_project p ON p.id = j._project
JOIN dim c ON c.id = j._source
LEFT JOIN pipeline pl ON pl._key = coalesce(j.pipeline_id, w.pipeline_id) AND pl._host = j._host
LEFT JOIN dim n ON n.id = j._run
LEFT JOIN dim jn ON jn.id = j.name
LEFT JOIN dim s ON s.id = j.status {_ABOVE}
"""
_COUNT_RUNS = f"""
SELECT p.slug, coalesce(n.text, ''), '', iif({{held}}, 'on_hold', (SELECT text FROM dim WHERE id = w.status)), count(*)
{_CHOSEN_RUNS} {{where}} GROUP BY 1, 2, 4
"""
_COUNT_JOBS = f"""
SELECT p.slug, coalesce(n.text, ''), coalesce(jn.text, ''), 'queued', count(*) {_CHOSEN_JOBS} {{where}} GROUP BY 1, 2, 3
"""


def in_flight(db: Database, limit: int, chosen: LiveChoice, *, newest: bool) -> list[LiveRow]:
    """Workflows that have not ended and their jobs, by creation."""
    urls, rows = app_urls(db), []
    for kind, query in (("workflow", _RUNS), ("job", _JOBS)):
        if chosen.kind in ("", kind):
            where, bound = _where(db, chosen, "wj"[kind == "job"])
            text = query.format(where=where, order="DESC" if newest else "")
            rows += [_live(urls, row) for row in db.execute(text, {**bound, "limit": limit})]
    sign = -1 if newest else 1
    return sorted(rows, key=lambda row: (sign * row.created_ms, row.kind == "job", row.id))[:limit]


def live_counts(db: Database, run: RunChoice) -> dict[tuple[str, str, str, str], int]:
    """Workflows, and jobs that are queued, by status and place."""
    held = f"({statuses_sql(db, 'w.status', ('on_hold',))} OR {_HELD})"
    found: Counter[tuple[str, str, str, str]] = Counter()
    where, bound = _where(db, LiveChoice("workflow", run=run), "w")
    for slug, workflow, job, theirs, n in db.execute(_COUNT_RUNS.format(held=held, where=where), bound):
        found[map_status(theirs or ""), slug, workflow, job] += n
    found = Counter({key: n for key, n in found.items() if key[0] != "queued"})
    where, bound = _where(db, LiveChoice("job", ("queued",), run=run), "j")
    for slug, workflow, job, status, n in db.execute(_COUNT_JOBS.format(where=where), bound):
        found[status, slug, workflow, job] += n
    return dict(found)


def _where(db: Database, chosen: LiveChoice, table: str) -> tuple[str, dict[str, Any]]:
    """More conditions for what is chosen, of workflows `w` or jobs `j`, and what is bound in them."""
    run, more = chosen.run, ""
    bound: dict[str, Any] = {}
    if chosen.statuses:
        words = statuses_sql(db, f"{table}.status", chosen.statuses)
        held = f"OR {_HELD}" if "on_hold" in chosen.statuses else f"AND NOT {_HELD}"
        more += f" AND ({words} {held if table == 'w' else ''})"
    if chosen.places is not None:
        job = "''" if table == "w" else "coalesce(jn.text, '')"
        listed = "SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:places)"
        more += f" AND (p.slug, coalesce(n.text, ''), {job}) IN ({listed})"
        bound["places"] = msgspec.json.encode(sorted(chosen.places)).decode()
    for name, value in (("ref_name", run.branch), ("trigger_type", run.trigger)):
        if value:
            more += f" AND coalesce(w.{name}, pl.{name}) = (SELECT id FROM dim WHERE family = 0 AND text = :{name})"
            bound[name] = value
    if run.branch_class is not None:
        more += f" AND {table}._class = :class"
        bound["class"] = run.branch_class
    return more, bound


def _live(urls: dict[str, str], row: tuple[Any, ...]) -> LiveRow:
    key, run, slug, workflow, job, ref, branch, theirs, queued, started, created, pipeline, source, last, trigger = row
    is_job, status = run is not None, map_status(theirs or "")
    if not is_job and started is not None and not last:  # nothing else of it goes on
        status = "on_hold"  # of one with a failed job CircleCI says `failing`, but all that is left waits for somebody
    began = (queued, None) if status == "queued" else (started, queued)
    if not is_job and status != "on_hold":
        began = (max(queued or 0, created), None)  # it runs since the last of its approvals was given
    url = run_url(slug, urls.get(source, APP_URL), pipeline, decode_key(run if is_job else key)) or ""
    return LiveRow(
        kind="job" if is_job else "workflow",
        id=decode_key(key),
        project=slug,
        workflow=workflow or "",
        job=job or "",
        ref=ref or "",
        branch_class=branch,
        status=status,
        theirs=theirs or "",
        since_ms=next((at for at in began if at is not None), created),
        created_ms=created,
        url=f"{url}/jobs/{last}" if is_job and url and last is not None else url,
        trigger=trigger or "",
    )


# Of one project: whoever sorts them sorts no more.
_TESTS = """
SELECT t.test_id, coalesce(w.revision, pl.revision, '') AS revision, max(t.name), max(su.text), max(cl.text),
  max(fi.text), sum(re.text IS 'pass'), sum(re.text IS 'fail' AND NOT {broken}), sum(re.text IS 'fail' AND {broken}),
  json_group_array(DISTINCT jn.text), min(t.stopped_at), max(t.stopped_at), coalesce(sum(t.run_ms), 0),
  coalesce(max(j._class), 0)
FROM test_result t INDEXED BY test_result_end
LEFT JOIN job j ON j._key = t.job_id AND j._host = t._host
LEFT JOIN workflow w ON w._key = j.workflow_id AND w._host = t._host
LEFT JOIN pipeline pl ON pl._key = coalesce(j.pipeline_id, w.pipeline_id) AND pl._host = t._host
LEFT JOIN dim su ON su.id = t.suite
LEFT JOIN dim cl ON cl.id = t.class_name
LEFT JOIN dim fi ON fi.id = t.file
LEFT JOIN dim re ON re.id = t.result
LEFT JOIN dim jn ON jn.id = j.name
WHERE t._project IN ({projects}) AND t.stopped_at >= ? AND t.stopped_at < ? AND t.test_id >= ? {failing}
GROUP BY 1, 2 HAVING (t.test_id, coalesce(w.revision, pl.revision, '')) > (?, ?) ORDER BY 1, 2 LIMIT ?
"""

_FAILING = """
AND t.test_id IN (SELECT f.test_id FROM test_result f INDEXED BY test_result_end JOIN dim fr ON fr.id = f.result
  WHERE f._project IN ({projects}) AND f.stopped_at >= ? AND f.stopped_at < ? AND fr.text = 'fail')
"""


def test_outcomes(
    db: Database, bounds: Bounds, after: tuple[str, str, str] | None, limit: int, *, failing: bool
) -> list[TestOutcome]:
    """Results by project, test and commit, a project at a time."""
    broken = f"coalesce({statuses_sql(db, 'j.status', ('error',))}, 0)"
    last_project, last_test, last_revision = after or ("", "", "")
    found: list[TestOutcome] = []
    for slug in sorted(slug for slug in bounds if slug >= last_project):
        behind = (encode_key(last_test), last_revision) if slug == last_project else ("", "")
        numbers = ", ".join(map(str, project_ids(db, slug) or [0]))
        chosen, again = (_FAILING.format(projects=numbers), bounds[slug]) if failing else ("", ())
        rows = db.execute(
            _TESTS.format(broken=broken, projects=numbers, failing=chosen),
            (*bounds[slug], behind[0], *again, *behind, limit - len(found)),
        )
        found += [_outcome(slug, row) for row in rows]
        if len(found) >= limit:
            break
    return found


def chosen_outcomes(
    db: Database, slug: str, window: tuple[int, int], tests: Collection[bytes | str]
) -> list[TestOutcome]:
    """Of some tests of one project."""
    broken = f"coalesce({statuses_sql(db, 'j.status', ('error',))}, 0)"
    numbers = ", ".join(map(str, project_ids(db, slug) or [0]))
    chosen = _TESTS.format(broken=broken, projects=numbers, failing=f"AND t.test_id {IN_KEYS}")
    return [_outcome(slug, row) for row in db.execute(chosen, (*window, "", keys_json(tests), "", "", -1))]


def _outcome(slug: str, row: tuple[Any, ...]) -> TestOutcome:
    test, revision, name, suite, class_name, file, passed, failed, infra, jobs, first, last, run_ms, branch = row
    return TestOutcome(
        slug,
        test_id(test),
        revision,
        name or "",
        suite or "",
        class_name or "",
        file or "",
        passed,
        failed,
        infra,
        _names(jobs),
        first,
        last,
        run_ms,
        branch,
    )


# A page of tests reads tens of thousands of rows, of few tests and fewer sets of jobs.
test_id = lru_cache(maxsize=4_096)(decode_key)


@lru_cache(maxsize=4_096)
def _names(jobs: str) -> tuple[str, ...]:
    names: list[str | None] = msgspec.json.decode(jobs)
    return tuple(sorted(name for name in names if name))


def steps_failed(db: Database, bounds: Bounds) -> list[StepFailures]:
    """Which steps failed how often, from days that are added up and single steps."""
    sums = sums_of(db, STEPS, bounds)
    texts = texts_of(db, {number for place in sums for number in place[1:]})
    slugs = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    found: dict[tuple[str, str, str, str], tuple[int, int]] = {}
    for (project, *names), one in sums.items():
        run, job, step = (texts[number] for number in names)
        key = slugs[project], run, job, step
        more, later = found.get(key, (0, 0))
        found[key] = one.n + more, max(one.last, later)
    return [StepFailures(*key, *ends) for key, ends in sorted(found.items())]
