"""Asks about one job over sockets and keeps its results in a store; started by test_many_results.py.

Arguments: base URL, folder. Prints one line of JSON: results, and peak memory before and after in kB.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from headgate.collect.details import Details
from headgate.collect.intake import Intake
from headgate.collect.settings import SourceSettings
from headgate.collect.state import Polled
from headgate.core.clock import SystemClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.core.release import ReleasePolicy
from headgate.sources.circleci import CircleCIConfig, CircleCISource
from headgate.store import SqliteStore

RUN = "33333333-3333-4333-8333-333333333333"
JOB = "44444444-4444-4444-8444-444444444444"


def _job(now_ms: int) -> list[Observation]:
    project = ProjectRef("circleci.com", "gh/acme/web", "gh/acme")
    run = {"name": "w", "status": "success", "created_at": now_ms - 9000, "stopped_at": now_ms, "ref_name": "main"}
    job = {"number": 8, "name": "test", "status": "success", "workflow_id": RUN, "started_at": now_ms - 9000}
    job["stopped_at"] = now_ms
    return [
        Observation("workflow", RUN, project, "v2", now_ms, True, run),
        Observation("job", JOB, project, "v2", now_ms, True, job),
    ]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def main(base_url: str, folder: Path) -> None:
    """Merge a job, ask about it, and tell."""
    clock, metrics = SystemClock(), NullMetrics()
    config = CircleCIConfig.model_validate(
        {"token": "t", "base_url": base_url, "host": "circleci.com", "details": {"tests": "all"}}
    )
    source = CircleCISource("ci", config, BuildContext(clock, metrics, "test"))
    store = SqliteStore(folder / "many.db", clock=clock, metrics=metrics)
    await store.open()
    polled = Polled(source, SourceSettings(policy=ReleasePolicy("none")), clock, metrics)
    intake = Intake(store, clock=clock, metrics=metrics)
    details = Details(store, intake, polled, source)
    await intake.merge(polled, _job(clock.now_ms()))
    await details.look()
    before = _peak()
    await details.once()
    facts = (await store.figures()).facts
    print(json.dumps({"results": facts.get("test_result", 0), "before_kb": before, "after_kb": _peak()}))  # noqa: T201  # its answer
    await store.close()
    await source.aclose()


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
