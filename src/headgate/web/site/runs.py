"""View model of one run: what it was about, its waterfall, its failed steps, and where it is at CircleCI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.core.status import FAILED
from headgate.web.site.asked import Unusable
from headgate.web.site.measures import Looks
from headgate.web.site.waterfall import draw

__all__ = ["run_view"]

_STEPS_SHOWN = 20


async def run_view(looks: Looks, workflow_id: str) -> Mapping[str, Any]:
    """A run, ended or not. Raises Unusable where it is not known."""
    run = await looks.store.run_detail(workflow_id)
    if run is None:
        hint = "Its id is that of a workflow at CircleCI. It may not be collected yet, or be past retention."
        raise Unusable(404, "No run has this id", hint)
    now_ms = looks.clock.now_ms()
    names = {job.job_id: job.job for job in run.jobs}
    failed = [step for step in run.steps if step.status in FAILED]
    return {
        "run": run,
        "waterfall": draw(run, now_ms),
        "names": names,
        "failed_steps": failed[:_STEPS_SHOWN],
        "now_ms": now_ms,
        "taken_ms": None if run.created_ms is None else (run.stopped_ms or now_ms) - run.created_ms,
    }
