"""One run: its jobs by dependency with queue, approval and execution, the critical path, the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.runrows import RunDetail, RunJob, RunStep
from headgate.core.status import FAILED
from headgate.core.tally import class_name
from headgate.core.times import format_ms
from headgate.insights.views.criticalpath import Bar, Path, critical_path, exclusive_ms
from headgate.insights.views.failures import JobFailure, failures_of_run
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import Refused

__all__ = ["JobBar", "RunPage", "StepBar", "run_page"]


@dataclass(frozen=True, slots=True)
class StepBar:
    """One step. `begin`: seconds from the begin of the run, None where unknown; `duration`: seconds.

    `node`: which of the parallel machines, from 0.
    """

    step: str
    node: int
    index: int | None
    status: str
    begin: float | None
    duration: float | None
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class JobBar:
    """One job of the waterfall. `begin`, `started`, `ended`: seconds from the begin of the run, None where unknown.

    `queue`: seconds that it waited for a machine; `approval_wait`: that it waited for a person, of approvals alone;
    `duration`: that it ran. `critical`: on the critical path, where it moved the end by `critical_share` seconds;
    `exclusive`: seconds that it ran while no other job did. What has not ended yet is told up to now. `requires`: ids.
    """

    id: str
    job: str
    type: str
    status: str
    requires: tuple[str, ...]
    begin: float | None
    started: float | None
    ended: float | None
    queue: float | None
    approval_wait: float | None
    duration: float | None
    critical: bool
    critical_share: float
    exclusive: float
    resource_class: str
    executor: str
    parallelism: int | None
    credits: int | None
    number: int | None
    url: str
    steps: tuple[StepBar, ...]


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run, ended or not. `duration`: creation to end, or up to now, seconds. `jobs`: by begin.

    Clocks of machines may differ: what would end before it begins has 0, as in sums.

    `failures`: why jobs of it failed, by their end.
    `critical_path`: ids of jobs, first one first; `critical_path_known`: it follows what jobs require, not time alone.
    `critical_gap`: seconds between jobs of the path in which nothing that is known waited or ran.
    `approvals_known`: the list of its jobs was read, which alone tells of approvals.
    """

    id: str
    project: str
    workflow: str
    team: str
    branch: str
    branch_class: str
    trigger: str
    status: str
    ended: bool
    created_at: str | None
    stopped_at: str | None
    duration: float | None
    credits: int | None
    credits_estimated: bool
    revision: str
    author: str
    subject: str
    pipeline_number: int | None
    attempt: int
    rerun_of: str
    url: str
    critical_path: tuple[str, ...]
    critical_path_known: bool
    critical_gap: float
    approvals_known: bool
    jobs: tuple[JobBar, ...]
    failures: tuple[JobFailure, ...]


async def run_page(lens: Lens, *, run: str) -> RunPage:
    """A run by the id of its workflow. Raises Refused."""
    found = await lens.store.run_detail(run.strip().lower())
    if found is None:
        raise Refused(
            "unknown-run", f"nothing is known about {run}; it is not collected yet, or past retention", parameter="run"
        )
    end_ms = lens.now_ms if found.stopped_ms is None else found.stopped_ms
    bars = [bar for job in found.jobs if (bar := _bar(job, end_ms)) is not None]
    path = critical_path(bars)
    return RunPage(
        id=found.workflow_id,
        project=found.project,
        workflow=found.workflow,
        team=lens.owners.team(found.project, found.workflow, ""),
        branch=found.ref,
        branch_class=class_name(found.branch_class),
        trigger=found.trigger,
        status=found.status,
        ended=found.stopped_ms is not None,
        created_at=_text(found.created_ms),
        stopped_at=_text(found.stopped_ms),
        duration=_lasted(found.created_ms, end_ms),
        credits=found.credits,
        credits_estimated=found.credits_estimated,
        revision=found.revision,
        author=found.author,
        subject=found.subject,
        pipeline_number=found.pipeline_number,
        attempt=found.attempt,
        rerun_of=found.rerun_of,
        url=found.url,
        critical_path=path.jobs,
        critical_path_known=path.known,
        critical_gap=path.gap_ms / 1000,
        approvals_known=any(job.type for job in found.jobs),
        jobs=_jobs(found, bars, path, end_ms),
        failures=await _failures(lens, found),
    )


async def _failures(lens: Lens, found: RunDetail) -> tuple[JobFailure, ...]:
    ends_ms = [job.stopped_ms for job in found.jobs if job.status in FAILED and job.stopped_ms is not None]
    return await failures_of_run(lens, found.project, found.workflow_id, ends_ms) if ends_ms else ()


def _jobs(found: RunDetail, bars: Sequence[Bar], path: Path, end_ms: int) -> tuple[JobBar, ...]:
    alone = exclusive_ms(bars)
    times = [bar.wait_ms for bar in bars]
    zero_ms = found.created_ms if found.created_ms is not None else min(times, default=end_ms)
    steps: dict[str, list[RunStep]] = {}
    for step in found.steps:
        steps.setdefault(step.job_id, []).append(step)
    return tuple(
        _job(
            job,
            found,
            zero_ms=zero_ms,
            end_ms=end_ms,
            path=path,
            alone=alone,
            steps=steps.get(job.job_id, ()),
        )
        for job in found.jobs
    )


def _job(
    job: RunJob,
    found: RunDetail,
    *,
    zero_ms: int,
    end_ms: int,
    path: Path,
    alone: Mapping[str, int],
    steps: Sequence[RunStep],
) -> JobBar:
    held = job.type == "approval"
    waits_ms = _first(job.started_ms, job.stopped_ms, None if job.status == "canceled" else end_ms)
    stop_ms = _first(job.stopped_ms, end_ms)
    link = f"{found.url}/jobs/{job.number}" if found.url and job.number is not None else found.url
    return JobBar(
        id=job.job_id,
        job=job.job,
        type=job.type,
        status=job.status,
        requires=job.requires,
        begin=_seconds(zero_ms, _first(job.queued_ms, job.started_ms, job.created_ms)),
        started=_seconds(zero_ms, job.started_ms),
        ended=_seconds(zero_ms, job.stopped_ms),
        queue=None if held else _lasted(job.queued_ms, waits_ms),
        approval_wait=_lasted(_first(job.started_ms, job.created_ms), stop_ms) if held else None,
        duration=None if held else _lasted(job.started_ms, stop_ms),
        critical=job.job_id in path.share_ms,
        critical_share=path.share_ms.get(job.job_id, 0) / 1000,
        exclusive=alone.get(job.job_id, 0) / 1000,
        resource_class=job.resource_class,
        executor=job.executor,
        parallelism=job.parallelism,
        credits=job.credits,
        number=job.number,
        url=link,
        steps=tuple(_step(step, zero_ms) for step in steps),
    )


def _step(step: RunStep, zero_ms: int) -> StepBar:
    return StepBar(
        step=step.step,
        node=step.node,
        index=step.index,
        status=step.status,
        begin=_seconds(zero_ms, step.started_ms),
        duration=_lasted(step.started_ms, step.stopped_ms),
        exit_code=step.exit_code,
    )


def _bar(job: RunJob, end_ms: int) -> Bar | None:
    """What a job is to the path; None for one that has not begun to wait or was skipped. An approval never runs."""
    wait_ms = _first(job.queued_ms, job.started_ms)
    if wait_ms is None or job.status in ("skipped", "blocked"):
        return None
    stop_ms = job.stopped_ms if job.stopped_ms is not None else end_ms
    start_ms = job.started_ms if job.started_ms is not None and job.type != "approval" else stop_ms
    return Bar(job.job_id, wait_ms, start_ms, stop_ms, job.requires)


def _first(*times: int | None) -> int | None:
    return next((at for at in times if at is not None), None)


def _seconds(since_ms: int | None, until_ms: int | None) -> float | None:
    """Seconds from one to the other, negative where it is the earlier one; None where either is unknown."""
    return None if since_ms is None or until_ms is None else (until_ms - since_ms) / 1000


def _lasted(since_ms: int | None, until_ms: int | None) -> float | None:
    """Seconds between, never negative; None where either is unknown."""
    found = _seconds(since_ms, until_ms)
    return None if found is None else max(0.0, found)


def _text(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_ms(at_ms)
