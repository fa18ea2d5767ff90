"""What a filled store has beside runs and jobs: repeats, deployments, failure texts, steps, bills of jobs, alerts.

Added once to a store of `benchmarks.bigstore`, in shares of its runs and jobs, so that it grows with them:

- one of ten failed runs is repeated, and a repeat has jobs of its own;
- one of five runs of one workflow of each project on the default branch deploys, one of twelve of those fails;
- every failed job of the last 30 days has three steps, the last of which failed with one of 600 texts;
- every failed test has a message;
- one of three jobs of the last 30 days is in the usage export;
- 300 alerts that fire, each with its evidence.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import msgspec

from benchmarks.bigstore import NOW_MS, PROJECTS, Filler, slug
from headgate.core.alertdata import Alert, AlertState, encode_alert
from headgate.core.clock import SystemClock
from headgate.core.evidence import Evidence
from headgate.core.metrics import NullMetrics
from headgate.core.storeport import AlertChange, AlertRow
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.store import SqliteStore
from headgate.store.schema import OWN_COLUMNS, set_up
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["add_details", "fingerprint"]

_FORM = 1
_TABLES = ("workflow", "job", "deployment", "step", "usage", "test_result")
_SINCE_MS = NOW_MS - 30 * DAY_MS
_ALERTS = 300
_OWN = ", ".join(OWN_COLUMNS)
# What the store keeps of a fact that ended and was released; `f` is the fact that it belongs to.
_KEPT = "NULL, new_key(), f._host, f._project, f._source, 1, 1, 0, 2, NULL, {class_}, {run}, 0, zeroblob(64)"
_NONE = _KEPT.format(class_=0, run=0)
_FAILED = "(SELECT id FROM dim WHERE family = 0 AND text = 'failed')"
_REPEATED = f"""
SELECT _key, _project, _run, _class, stopped_at, pipeline_id, pipeline_number, trigger_type, ref_name, revision
FROM workflow WHERE _terminal AND status = {_FAILED} AND _id % 10 = 0 AND stopped_at < {NOW_MS - HOUR_MS}
ORDER BY stopped_at
"""
_DEPLOYMENTS = f"""
INSERT INTO deployment ({_OWN}, name, environment, status, revision, started_at, stopped_at, workflow_id, origin)
SELECT {_NONE}, :service, CASE WHEN f._id % 3 THEN :production ELSE :staging END,
  CASE WHEN f._id % 12 THEN :succeeded ELSE :broken END, f.revision, f.stopped_at - 60000, f.stopped_at, f._key, :rule
FROM workflow f WHERE f._terminal AND f._class = 1 AND f.name = :w3 AND f.rerun_of IS NULL AND f._id % 10 < 2
"""
_STEPS = f"""
INSERT INTO step ({_OWN}, job_id, "index", node, name, type, status, started_at, stopped_at, exit_code, output_tail)
SELECT {_NONE}, f._key, s.value, 0,
  CASE s.value WHEN 0 THEN :spin WHEN 1 THEN :checkout ELSE :run END, :run,
  CASE s.value WHEN 2 THEN f.status ELSE :success END,
  f.started_at + (f.stopped_at - f.started_at) * s.value / 3,
  f.started_at + (f.stopped_at - f.started_at) * (s.value + 1) / 3,
  CASE s.value WHEN 2 THEN 1 ELSE 0 END, CASE s.value WHEN 2 THEN failure_text(f._id, f._project, f.name) END
FROM job f INDEXED BY job_end CROSS JOIN json_each('[0, 1, 2]') s
WHERE f._terminal AND f.stopped_at >= {_SINCE_MS} AND f.status IN (:failed, :infra)
"""
_MESSAGES = """
UPDATE test_result SET message = 'AssertionError: expected ' || (run_ms % 7) || ' of ' || name || ' but got '
  || (run_ms % 997) || ' at 0x' || hex(_id) WHERE result = :fail
"""
_USAGE = f"""
INSERT INTO usage ({_OWN}, job_id, workflow_id, stopped_at, resource_class, executor, operating_system, run_seconds,
  cpu_median_pct, cpu_max_pct, ram_median_pct, ram_max_pct, compute_credits, storage_credits, total_credits, status,
  queued_at, started_at, number, job_name, workflow_name, pipeline_id)
SELECT {_KEPT.format(class_="f._class", run="f._run")}, f._key, f.workflow_id, f.stopped_at, f.resource_class,
  f.executor, :linux,
  (f.stopped_at - f.started_at) / 1000, 20 + f._id * 7 % 40, 60 + f._id * 11 % 40, 15 + f._project % 40,
  20 + f._project % 40 + f._id * 13 % 30, f.credits, f._id % 5, f.credits + f._id % 5, f.status, f.queued_at,
  f.started_at, f.number, f.name, f._run, f.pipeline_id
FROM job f INDEXED BY job_end WHERE f._terminal AND f.stopped_at >= {_SINCE_MS} AND f._id % 3 = 0
"""
_WORDS = (
    *("service", "production", "staging", "rule", "linux", "success", "failed", "fail", "run"),
    *("w3", "Spin up environment", "Checkout code", "succeeded", "infrastructure_fail"),
)


def add_details(path: Path) -> float:
    """Add all of it, unless it is there; seconds that it took."""
    done = path.with_suffix(f".details{_FORM}")
    began = time.monotonic()
    if not done.exists():
        _fill(path)
        asyncio.run(_alerts(path))
        done.touch()
    return time.monotonic() - began


def _fill(path: Path) -> None:
    """Without indexes of what grows, but those that are read by."""
    db = Database(str(path))
    set_up(db, writer=True)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-400000")
    draw = random.Random(11)
    db.create_scalar_function("new_key", lambda *_: draw.getrandbits(128).to_bytes(16, "big"), 0)
    db.create_scalar_function("failure_text", _failure_text, 3)
    _repeat(db)
    session = Session(db).load()
    db.execute("BEGIN")
    dims = {word: session.dim(0, word) for word in _WORDS}
    bound = {name: dims[name] for name in ("service", "production", "staging", "rule", "linux", "w3", "run")}
    bound |= {name: dims[name] for name in ("success", "failed", "fail", "succeeded")}
    bound |= {"broken": dims["failed"], "infra": dims["infrastructure_fail"]}
    bound |= {"spin": dims["Spin up environment"], "checkout": dims["Checkout code"]}
    for sql in (_DEPLOYMENTS, _STEPS, _MESSAGES, _USAGE):
        db.execute(sql, bound)
    for kind in ("deployment", "step", "usage"):
        session.put(f"fact:{kind}", db.execute(f"SELECT count(*) FROM {kind}").get)
    session.flush()
    db.execute("COMMIT")
    db.execute("PRAGMA optimize")
    db.wal_checkpoint()
    db.close()


def _repeat(db: Database) -> None:
    """Runs that repeat failed ones, some minutes later."""
    filler = Filler(db, seed=12)
    for number, row in enumerate(db.execute(_REPEATED).fetchall()):
        key, project, name, main, stopped, pipeline, *told = row
        begun = stopped + (1 + number % 30) * MINUTE_MS
        filler.end_run(begun, (project, name, main), pipeline, (pipeline, *told), repeats=key)
        if number % 20_000 == 0:
            filler.flush()
    filler.flush()


def _failure_text(*args: int) -> str:
    """Of a project one of six texts in each job, with what differs from failure to failure."""
    number, project, job = args
    kind = (number // 7) % 6
    return (
        f"collected {number % 300} items\n"
        f"FAILED tests/test_{project % 20}_{job % 5}.py::test_{kind} - AssertionError: {number % 1009} != {project}\n"
        f"=== 1 failed in {number % 90}.{number % 10}s at 2026-11-{1 + number % 28:02d}T10:00:00Z ==="
    )


def fingerprint(number: int) -> str:
    """Of an alert by its number, from 0."""
    return f"{number:064x}"


async def _alerts(path: Path) -> None:
    store = SqliteStore(path, clock=SystemClock(), metrics=NullMetrics())
    await store.open()
    for number in range(_ALERTS):
        await store.transition(_fired(number))
    await store.close()


def _fired(number: int) -> AlertChange:
    """An alert about the success rate of a workflow, of all of one project, or of a budget."""
    labels = {"project": slug(number % PROJECTS + 1), "workflow": f"w{number % 4}"}
    group = labels if number % 2 else {"project": labels["project"]}
    evidence = Evidence(
        kind="threshold",
        metric=("success_rate", "duration_p95", "credits")[number % 3],
        over="workflow",
        group=group,
        where=(("branch_class", "=", "@default"),) if number % 5 else (),
        window_ms=(DAY_MS, 2 * DAY_MS, 7 * DAY_MS)[number % 3],
        limits={"warning": 0.7},
        first_bad_ms=NOW_MS - 5 * HOUR_MS,
    )
    alert = Alert(
        born_ms=NOW_MS - 3 * HOUR_MS,
        state=AlertState.FIRING,
        level=1,
        since_ms=NOW_MS - 2 * HOUR_MS,
        fired_ms=NOW_MS - 2 * HOUR_MS,
        at_ms=NOW_MS,
        value=0.5,
        n=20,
    )
    name = fingerprint(number)
    told = {"who": "engine", "rule": f"Rule {number % 40}", "labels": labels, "why": "breach", "value": 0.5}
    told |= {"n": 20, "at_ms": NOW_MS}
    history = [
        (
            name,
            NOW_MS - back * HOUR_MS,
            msgspec.json.encode(told | {"from": was, "to": became, "at_ms": NOW_MS, **more}),
        )
        for back, was, became, more in (
            (3, "inactive", "pending", {"evidence": evidence}),
            (2, "pending", "firing", {}),
        )
    ]
    row = AlertRow(name, f"Rule {number % 40}", labels, "firing", encode_alert(alert), NOW_MS)
    return AlertChange(rows=[row], history=history)
