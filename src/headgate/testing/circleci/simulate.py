"""Plays one workflow through, from its creation to its end.

Invariant: pure in the random source it is given; it reads nothing of other runs but the jobs a rerun keeps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp
from random import Random

from headgate.testing.circleci.knobs import Knobs
from headgate.testing.circleci.model import FLAKY_TESTS, Job, Workflow
from headgate.testing.circleci.plan import JobSpec
from headgate.testing.circleci.plants import PLANTED_TEST
from headgate.testing.circleci.stories import Stories
from headgate.testing.circleci.times import DAY, MINUTE, SECOND


@dataclass(frozen=True, slots=True)
class Mood:
    """How well a workflow is going to go: rate of success of the whole, factor on durations."""

    success_rate: float
    slowdown: float = 1.0


@dataclass(frozen=True, slots=True)
class Player:
    """Simulates workflows with one set of knobs and stories."""

    knobs: Knobs
    stories: Stories

    def play(self, rng: Random, run: Workflow, mood: Mood, kept: Mapping[int, Job]) -> None:
        """Fill in jobs, status and end of a new workflow; `kept` are jobs of an earlier attempt."""
        knobs = self.knobs
        if rng.random() < knobs.error_rate:
            run.status, run.stopped = "error", run.created + rng.randint(200, 900)
            return
        builds = sum(job.type == "build" for job in run.spec.jobs) - len(kept)
        bad_rate = 1 - mood.success_rate ** (1 / max(builds, 1))
        refused = rng.random() < knobs.unauthorized_rate
        jobs: list[Job] = []
        for position, spec in enumerate(run.spec.jobs):
            job = kept.get(position) or Job(run, position, self._as_configured(run, spec))
            jobs.append(job)
            if job.workflow is run:
                self._place(rng, job, jobs, bad_rate, mood.slowdown, refused=refused)
        run.jobs = tuple(jobs)
        _finish(run)
        if rng.random() < knobs.cancel_rate or (not run.stopped and rng.random() < 0.5):
            _cancel(rng, run)

    def _as_configured(self, run: Workflow, spec: JobSpec) -> JobSpec:
        """The job as the configuration says at that moment."""
        machine = self.stories.plants.machine(run.pipeline.project.index, run.created, spec.name)
        return spec if machine is None else replace(spec, resource_class=machine)

    def _place(
        self, rng: Random, job: Job, jobs: list[Job], bad_rate: float, slowdown: float, *, refused: bool
    ) -> None:
        """Give one job its times and status, from those of the jobs it requires."""
        needs = [jobs[position] for position in job.spec.requires]
        if any(need.status not in {"success", "blocked"} for need in needs):
            job.status = "not_run"
            return
        if any(need.status == "blocked" for need in needs):
            return
        if refused and job.spec.context:
            job.status = "unauthorized"
            return
        created = job.workflow.created
        ready = max((need.stopped for need in needs), default=created)
        job.queued = max(ready, created) + rng.randint(120, 900)
        if job.approval:
            self._hold(rng, job)
        else:
            self._run(rng, job, bad_rate, slowdown)

    def _hold(self, rng: Random, job: Job) -> None:
        job.started = job.queued
        if rng.random() >= self.knobs.approval_never_rate:
            job.stopped = job.started + _skewed(rng, job.spec.seconds, 1.1)
            job.status = "success"

    def _run(self, rng: Random, job: Job, bad_rate: float, slowdown: float) -> None:
        knobs, project = self.knobs, job.workflow.pipeline.project.index
        patience = knobs.queue_seconds * self.stories.queue_factor(project, job.queued)
        job.started = job.queued + _skewed(rng, patience, knobs.queue_sigma)
        slowdown *= self.stories.plants.slowdown(project, job.workflow.created, job.workflow.spec.name, job.spec.name)
        length = _skewed(rng, job.spec.seconds * slowdown, knobs.duration_sigma)
        coin = rng.random()
        job.status = "success"
        broken = knobs.outage_fail_rate if self.stories.breaks(project, job.started) else 0.0
        hangs = self.stories.plants.hangs(project, job.workflow.created, job.workflow.spec.name, job.spec.name)
        if hangs:
            length = hangs
        elif coin < max(broken, self.stories.plants.broken(project, job.started)):
            job.status, length = "infrastructure_fail", rng.randint(8 * SECOND, MINUTE)
        elif coin < knobs.infrastructure_fail_rate:
            job.status, length = "infrastructure_fail", min(length, rng.randint(5 * SECOND, 2 * MINUTE))
        elif coin < knobs.infrastructure_fail_rate + knobs.timeout_rate:
            job.status, length = "timedout", max(10 * MINUTE, length) + 10 * MINUTE
        elif rng.random() < bad_rate:
            job.status, length = "failed", max(SECOND, int(length * (0.3 + 0.7 * rng.random())))
            job.flaky = job.spec.tests > 0 and rng.random() < knobs.flaky_share
            if knobs.plants and not job.flaky and job.spec.tests:
                job.blamed = _at_fault(job)
        else:
            self._flake(rng, job)
        job.stopped = job.started + length

    def _flake(self, rng: Random, job: Job) -> None:
        """Let the planted test fail a build that nothing is wrong with."""
        share = self.stories.plants.flaky(job.workflow.pipeline.project.index, job.workflow.created, job.spec.name)
        if share and rng.random() < share:
            job.status, job.flaky, job.blamed = "failed", True, PLANTED_TEST


def _at_fault(job: Job) -> int:
    """Give the test that a faulty commit fails, in every attempt the same."""
    return Random(f"{job.workflow.pipeline.index}/{job.spec.name}").randrange(FLAKY_TESTS, job.spec.tests)


def _skewed(rng: Random, median_seconds: float, sigma: float) -> int:
    """Draw a log-normal span of milliseconds, at least one."""
    return max(1, int(median_seconds * SECOND * exp(rng.gauss(0.0, sigma))))


def _finish(run: Workflow) -> None:
    """Set the end of a workflow: with the last of its jobs, or never while an approval is open."""
    if any(job.approval and job.started and not job.stopped for job in run.jobs):
        return
    ends = [job.stopped for job in run.jobs if job.workflow is run and job.stopped]
    run.stopped = max(ends, default=run.created + SECOND)
    words = {job.status for job in run.jobs}
    if words & {"failed", "infrastructure_fail", "timedout"}:
        run.status = "failed"
    else:
        run.status = "unauthorized" if "unauthorized" in words else "success"


def _cancel(rng: Random, run: Workflow) -> None:
    """Cut a workflow short: what runs or waits is canceled, what was to come never runs."""
    end = run.stopped or run.created + rng.randint(DAY, 5 * DAY)
    if run.stopped:
        end = run.created + int((end - run.created) * (0.1 + 0.8 * rng.random()))
    hit = [job for job in run.jobs if job.workflow is run and not 0 < job.stopped <= end]
    if not hit:
        return
    for job in hit:
        job.flaky = False
        if 0 < job.queued <= end:
            job.status, job.stopped = "canceled", end
            job.started = job.started if job.started <= end else 0
        else:
            job.status, job.queued, job.started, job.stopped = "not_run", 0, 0, 0
    run.status, run.stopped = "canceled", end
