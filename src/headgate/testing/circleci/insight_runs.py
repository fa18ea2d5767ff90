"""Which runs Insights knows about at a moment.

What ended lately is not in it yet: on the cloud for `insights_delay`, on a Server until the next rebuild (03:00
UTC; hourly series at minute 35; facts of CircleCI's Server documentation). Invariant: everything is said as of that
earlier moment, so a run that was going on then has not ended; a run of a tag is never in it; pure in the world.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headgate.testing.circleci.history import History
from headgate.testing.circleci.model import Job, Workflow
from headgate.testing.circleci.times import DAY, HOUR, MINUTE, SECOND
from headgate.testing.circleci.world import World

KEPT_MS = 90 * DAY  # how far back Insights goes ("Workflow runs going back at most 90 days", API v2 document)
FOR_EVER = 1 << 62

_REBUILT_AT = 3 * HOUR
_HOURLY_REBUILT_AT = 35 * MINUTE


@dataclass(frozen=True, slots=True)
class Span:
    """What Insights covers: created from `since`, and what had happened by `until`."""

    since: int
    until: int

    def holds(self, run: Workflow) -> bool:
        """Say whether a run counts at all, ended or not."""
        return run.pipeline.branch is not None and self.since <= run.created <= self.until

    def lists(self, run: Workflow) -> bool:
        """Say whether a run is in the list of runs, which has only what ended."""
        return self.holds(run) and run.done_at(self.until)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow or job; `stopped` is 0, `status` blank and `credits` 0 while it has not ended."""

    created: int
    stopped: int
    status: str
    credits: int

    @property
    def seconds(self) -> int:
        """Give the duration in whole seconds, floored."""
        return max(0, self.stopped - self.created) // SECOND


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked for: a workflow (None: all) on a branch (None: all), created since and before a moment."""

    workflow: str | None
    branch: str | None
    since: int
    before: int


def span(world: World, *, hourly: bool = False) -> Span:
    """Give what Insights covers now; `hourly` series are rebuilt more often on a Server."""
    now, delay = world.now(), int(world.options.knobs.insights_delay * SECOND)
    until = now - delay
    if world.options.mode == "server" and delay:
        every, at = (HOUR, _HOURLY_REBUILT_AT) if hourly else (DAY, _REBUILT_AT)
        until = (now - at) // every * every + at
    return Span(now - KEPT_MS, until)


def select(covered: Span, history: History, scope: Scope) -> Iterator[Workflow]:
    """Give the runs in scope, ended or not, in order of generation."""
    for run in history.workflows:
        if (
            covered.holds(run)
            and scope.since <= run.created < scope.before
            and scope.workflow in {None, run.spec.name}
            and scope.branch in {None, run.pipeline.branch}
        ):
            yield run


def of_workflows(covered: Span, runs: Iterable[Workflow]) -> list[Run]:
    """Give workflows as Insights counts them."""
    return [
        Run(run.created, run.stopped, run.status, run.credits)
        if run.done_at(covered.until)
        else Run(run.created, 0, "", 0)
        for run in runs
    ]


def builds(covered: Span, runs: Iterable[Workflow]) -> Iterator[Job]:
    """Give the builds of some workflows that had started; approvals and what a rerun took over do not count."""
    for run in runs:
        for job in run.jobs:
            if job.workflow is run and not job.approval and 0 < job.started <= covered.until:
                yield job


def of_job(covered: Span, job: Job) -> Run:
    """Give a build as Insights counts it."""
    if 0 < job.stopped <= covered.until:
        return Run(job.started, job.stopped, job.status, job.credits)
    return Run(job.started, 0, "", 0)
